import { createHash } from "node:crypto";
import { isObject } from "../../../src/util/json.ts";

/** Makes the mutants of `fixtures/make_tokenizer_mutations.py` anew; each change is explained there. */

export type Tree = null | boolean | number | string | Tree[] | { [key: string]: Tree };

interface Node {
  holder: Tree[] | { [key: string]: Tree };
  key: string | number;
}

const get = ({ holder, key }: Node): Tree => (holder as { [key: string | number]: Tree })[key]!;
const set = ({ holder, key }: Node, value: Tree): void => {
  (holder as { [key: string | number]: Tree })[key] = value;
};

/** Every value of a tree, in the order of the file; the first is the tree itself. */
function nodes(tree: Tree): Node[] {
  const found: Node[] = [];
  const visit = (node: Node) => {
    found.push(node);
    const value = get(node);
    if (typeof value !== "object" || value === null) return;
    for (const key of Object.keys(value))
      visit({ holder: value, key: Array.isArray(value) ? Number(key) : key });
  };
  visit({ holder: [tree], key: 0 });
  return found;
}

/** The base file with changes such as `12v3` made to it, separated by commas. */
export function mutant(base: Tree, changes: string, values: readonly Tree[]): Tree {
  return changes
    .split(",")
    .filter(Boolean)
    .reduce((tree, change) => apply(tree, change, values), structuredClone(base));
}

function apply(tree: Tree, change: string, values: readonly Tree[]): Tree {
  const [, number, letter, argument] = /^(\d+)(\w)(\d*)$/.exec(change)!;
  const everything = nodes(tree);
  const node = everything[Number(number)];
  if (node === undefined) return tree;
  const from = everything[Number(argument)];
  if (letter === "v") set(node, structuredClone(values[Number(argument)]!));
  else if (letter === "p" && from !== undefined) set(node, structuredClone(get(from)));
  else if (Array.isArray(node.holder)) changeItem(node.holder, Number(node.key), letter!);
  else changeField(node.holder, String(node.key), letter!);
  changeValue(node, letter!);
  return get(everything[0]!);
}

function changeItem(list: Tree[], index: number, letter: string): void {
  const value = list[index]!;
  if (letter === "d") list.splice(index, 1);
  if (letter === "c") list.splice(index, 0, structuredClone(value));
  if (letter === "s") [list[index], list[index + 1]] = [list[index + 1]!, value];
}

function changeField(fields: { [key: string]: Tree }, key: string, letter: string): void {
  if (letter === "r") fields[`${key}_`] = fields[key]!;
  if (letter === "d" || letter === "r") delete fields[key];
}

function changeValue(node: Node, letter: string): void {
  if (!"wueokh".includes(letter)) return;
  const value = get(node);
  if (letter === "w") set(node, [value]);
  else if (letter === "o") set(node, other(value));
  else if (typeof value === "string") set(node, letter === "k" ? otherCase(value) : firstHalf(value));
  else if (typeof value !== "object" || value === null) return;
  else if (letter === "u") set(node, Object.values(value)[0]!);
  else if (Array.isArray(value)) value.push(null);
  else value.extra = 1;
}

function other(value: Tree): Tree {
  if (typeof value === "boolean") return !value;
  return typeof value === "string" ? `${value}x` : Number(value) + 1;
}

function otherCase(text: string): string {
  if (/[^\0-\x7f]/.test(text)) return text;
  return text.replace(/[A-Za-z]/g, (letter) => (letter < "a" ? letter.toLowerCase() : letter.toUpperCase()));
}

function firstHalf(text: string): string {
  const points = [...text];
  return points.slice(0, Math.floor(points.length / 2)).join("");
}

/** Six digits of the hash of what has been read, as the maker gives them of what Rust has read. */
export function fingerprint(read: unknown): string {
  return createHash("sha1")
    .update(JSON.stringify(sortKeys(read)))
    .digest("hex")
    .slice(0, 6);
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sortKeys(value[key])]),
  );
}
