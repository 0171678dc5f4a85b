import { isObject } from "../../src/util/json.ts";

/**
 * A JSON text in parts. Numbers, texts and keys stay as they are spelled, and a key may be there twice: what a reader
 * has to tell apart is lost in parsed values.
 */
export type JsonTree = JsonLeaf | JsonList | JsonMembers;

/** A number, text or word, as it stands in the file. */
export interface JsonLeaf {
  readonly kind: "leaf";
  text: string;
}

export interface JsonList {
  readonly kind: "list";
  items: JsonTree[];
}

export interface JsonMembers {
  readonly kind: "members";
  members: JsonMember[];
}

/** A key, with its quotation marks, and what it stands for. */
export interface JsonMember {
  key: string;
  value: JsonTree;
}

export const leaf = (text: string): JsonLeaf => ({ kind: "leaf", text });

/** The tree of a parsed value, spelled as JSON.stringify does. */
export function treeOf(value: unknown): JsonTree {
  if (Array.isArray(value)) return { kind: "list", items: value.map(treeOf) };
  if (!isObject(value)) return leaf(JSON.stringify(value) ?? "null");
  const members = Object.entries(value).map(([key, inner]) => ({
    key: JSON.stringify(key),
    value: treeOf(inner),
  }));
  return { kind: "members", members };
}

/** A tree of its own with the same content. */
export function copyTree(tree: JsonTree): JsonTree {
  if (tree.kind === "leaf") return leaf(tree.text);
  if (tree.kind === "list") return { kind: "list", items: tree.items.map(copyTree) };
  const members = tree.members.map(({ key, value }) => ({ key, value: copyTree(value) }));
  return { kind: "members", members };
}

/** The text. */
export function textOf(tree: JsonTree): string {
  const pieces: string[] = [];
  const write = (node: JsonTree): void => {
    if (node.kind === "leaf") pieces.push(node.text);
    else if (node.kind === "list") {
      node.items.forEach((item, i) => {
        pieces.push(i === 0 ? "[" : ",");
        write(item);
      });
      pieces.push(node.items.length === 0 ? "[]" : "]");
    } else {
      node.members.forEach(({ key, value }, i) => {
        pieces.push(i === 0 ? "{" : ",", key, ":");
        write(value);
      });
      pieces.push(node.members.length === 0 ? "{}" : "}");
    }
  };
  write(tree);
  return pieces.join("");
}
