import { rowName } from "../../data/check-items.ts";
import type { RowStream } from "../../data/files/row-stream.ts";
import type { RowReader } from "../../data/rows/rows.ts";
import { fail, failAll, Problems } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { describe } from "../../util/options.ts";
import type { NamedRows } from "./named-rows.ts";

/** What messages call rows that a program gives. */
const ROWS = "the rows";

/**
 * Rows as a program gave them, by the rules for rows of a file.
 * @throws LoraError naming those that cannot be used
 */
export function givenRows<Row extends object>(
  rows: readonly unknown[],
  reader: RowReader<Row>,
  nameOf: (place: number) => string = rowName,
): NamedRows<Row> {
  if (!Array.isArray(rows))
    fail("rows", `the rows are no list, but ${describe(rows)}`, "give a list, or what streamRows gives");
  if (rows.length === 0) fail("rows", "there are no rows", "give one or more");
  const problems = new Problems();
  const read: Row[] = [];
  for (const [place, row] of rows.entries()) {
    const found = readGiven(row, reader);
    if (typeof found === "string") problems.push(`${nameOf(place)} ${found}`);
    else read.push(found);
  }
  failAll("rows", problems, `each needs ${reader.wanted}`);
  return { path: ROWS, rows: read, nameOf };
}

/** Rows of a stream, each of which is looked at when it is read: the stream may be one of another task's. */
export function givenStream<Row extends object>(
  stream: RowStream<Row>,
  reader: RowReader<Row>,
): RowStream<Row> {
  const { path, sets, labels, isPlainText } = stream;
  return {
    ...{ path, sets, labels, isPlainText },
    nameOf: (place) => stream.nameOf(place),
    notes: () => stream.notes(),
    refuse: (place, problem) => stream.refuse(place, problem),
    async read(places) {
      const rows = await stream.read(places);
      return rows.flatMap(({ row, place }) => {
        const read = readGiven(row, reader);
        if (typeof read !== "string") return [{ row: read, place }];
        stream.refuse(place, read);
        return [];
      });
    },
  };
}

function readGiven<Row extends object>(row: unknown, reader: RowReader<Row>): Row | string {
  return isObject(row) ? reader.read(inFileKeys(row)) : `is ${describe(row)}, wanted an object`;
}

/** The keys that files have, for those of the library's own rows. */
const FILE_KEYS: Readonly<Record<string, string>> = { textPair: "text_pair", words: "tokens" };

function inFileKeys(row: object): JsonObject {
  const entries = Object.entries(row).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries.map(([key, value]) => [FILE_KEYS[key] ?? key, value]));
}
