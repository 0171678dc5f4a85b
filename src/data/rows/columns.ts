import { fail } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";
import { fieldProblem } from "./fields.ts";
import type { RowReader } from "./rows.ts";

/**
 * A reader of rows whose columns have other names.
 * @param columns the column for each name that the reader knows: `{"prompt": "question"}`
 */
export function withColumns<T extends object>(
  reader: RowReader<T>,
  columns: Readonly<Record<string, string>>,
): RowReader<T> {
  const renamed = Object.entries(columns);
  if (renamed.length === 0) return reader;
  const sources = new Set(renamed.map(([, source]) => source));
  return {
    ...reader,
    read(values) {
      const absent = renamed.find(([, source]) => !Object.hasOwn(values, source));
      if (absent) return fieldProblem(values, absent[1], "a value");
      const others = Object.entries(values).filter(([key]) => !sources.has(key));
      const moved = renamed.map(([name, source]) => [name, values[source]] as const);
      return reader.read(Object.fromEntries([...others, ...moved]) as JsonObject);
    },
  };
}

/** @throws LoraError where nothing says what the columns of a table without a header are */
export function checkColumnsKnown(header: boolean, columns: Readonly<Record<string, string>>): void {
  if (header || Object.keys(columns).length > 0) return;
  const help = "say which is what, by their numbers from 0: --columns text=0,label=1";
  fail("header", "without a line that names them the columns of a table have numbers", help);
}
