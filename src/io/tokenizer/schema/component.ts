import { isObject } from "../../../util/json.ts";
import { shown } from "../../../util/shown.ts";
import { INVALID, type Place, type Shape, type Shaped } from "../../json/shape.ts";

/** A part's components by name: the shape of each, without its `type`. */
export type ComponentTable = { readonly [name: string]: Shape<object> };

/** One of a table's components: its name as `type`, and its fields. */
export type ComponentOf<Table> = {
  [Name in keyof Table]: { readonly type: Name } & Shaped<Table[Name]>;
}[keyof Table];

export interface ComponentRules {
  /**
   * Components that Rust also knows by their fields alone, in the order in which it tries them. Files from before
   * tokenizers 0.9 have models without a `type`.
   */
  untyped: readonly string[];
  /**
   * Rust never looks at the `type` of this part's untyped components: the first whose fields are all there wins,
   * whatever the file calls it. Where that is another one, the file is refused.
   */
  ignoresType?: boolean;
}

/** A component of a part of `tokenizer.json`: an object whose `type` says which. */
export function component<T>(
  table: ComponentTable,
  { untyped, ignoresType = false }: ComponentRules,
): Shape<T> {
  const names = Object.keys(table);
  const read = (name: string, value: unknown, at: Place): T | typeof INVALID => {
    const fields = table[name]!(value, at);
    return fields === INVALID ? INVALID : ({ type: name, ...fields } as T);
  };
  const fitting = (among: readonly string[], value: unknown, at: Place) =>
    among.find((name) => read(name, value, at.apart()) !== INVALID);

  return (value, at) => {
    if (!isObject(value)) return at.expected("an object", value);
    const { type } = value;
    const name = type === undefined ? fitting(untyped, value, at) : type;
    if (typeof name !== "string" || !Object.hasOwn(table, name)) {
      return at.at("type").expected(`one of ${names.join(", ")}`, type);
    }
    const known = read(name, value, at);
    const rank = untyped.indexOf(name);
    const earlier = ignoresType ? untyped.slice(0, rank < 0 ? undefined : rank) : [];
    const other = fitting(earlier, value, at);
    if (known === INVALID || other === undefined) return known;
    return at.at("type").invalid(`is ${shown(name)}, but tokenizers takes this for ${other} by its fields`);
  };
}
