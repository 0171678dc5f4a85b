import { fail } from "../util/fail.ts";
import { nearest } from "../util/nearest.ts";
import { mapRows, type Row } from "./rows.ts";

/** A text, or a pair of them, and the name of its class. */
export interface TextWithLabel {
  readonly text: string;
  /** The second text of a pair. */
  readonly textPair?: string;
  readonly label: string;
}

/** Key of the second text of a pair, as transformers calls it. */
const PAIR = "text_pair";

/** Words and the name of each one's class. */
export interface TaggedWords {
  readonly words: readonly string[];
  readonly tags: readonly string[];
}

/** Two texts that mean the same. */
export interface PairedTexts {
  readonly anchor: string;
  readonly positive: string;
}

/**
 * Rows with `text` and `label`, and in all of them or in none `text_pair`. A label is a text, a whole number, or true or
 * false.
 */
export function readLabelledTexts(rows: readonly Row[], label: string): TextWithLabel[] {
  const arePairs = rows.some(({ values }) => Object.hasOwn(values, PAIR));
  const read = ({ values }: Row) => {
    const text = textOf(values, "text");
    const name = labelOf(values.label);
    if (text === undefined) return wrong(values, "text", "a string");
    if (name === undefined) return wrong(values, "label", "a name or a whole number");
    if (!arePairs) return { text, label: name };
    const textPair = textOf(values, PAIR);
    return textPair === undefined ? wrong(values, PAIR, "a string") : { text, textPair, label: name };
  };
  return mapRows(rows, label, read, arePairs ? '"text", "text_pair" and "label"' : '"text" and "label"');
}

/** Rows with `tokens` and `tags` (or `ner_tags`, `labels`): two lists of equal length. */
export function readTaggedWords(rows: readonly Row[], label: string): TaggedWords[] {
  const read = ({ values }: Row) => {
    const words = listOf(values.tokens, (word) => (typeof word === "string" ? word : undefined));
    const tags = listOf(values.tags ?? values.ner_tags ?? values.labels, labelOf);
    if (!words) return wrong(values, "tokens", "a list of strings");
    if (!tags) return wrong(values, "tags", "a list of names or whole numbers");
    if (words.length !== tags.length) return `has ${words.length} tokens and ${tags.length} tags`;
    return { words, tags };
  };
  return mapRows(rows, label, read, '"tokens" and "tags"');
}

/** Rows with `anchor` and `positive`. */
export function readPairedTexts(rows: readonly Row[], label: string): PairedTexts[] {
  const read = ({ values }: Row) => {
    const anchor = textOf(values, "anchor");
    const positive = textOf(values, "positive");
    if (anchor === undefined) return wrong(values, "anchor", "a string");
    if (positive === undefined) return wrong(values, "positive", "a string");
    return { anchor, positive };
  };
  return mapRows(rows, label, read, '"anchor" and "positive"');
}

/** Rows with `text`. */
export function readTexts(rows: readonly Row[], label: string): { text: string }[] {
  const read = ({ values }: Row) => {
    const text = textOf(values, "text");
    return text === undefined ? wrong(values, "text", "a string") : { text };
  };
  return mapRows(rows, label, read, '"text"');
}

function textOf(values: Row["values"], key: string): string | undefined {
  const value = values[key];
  return typeof value === "string" ? value : undefined;
}

function labelOf(value: unknown): string | undefined {
  const isName = (typeof value === "string" && value !== "") || typeof value === "boolean";
  return isName || Number.isInteger(value) ? String(value) : undefined;
}

function listOf(value: unknown, read: (item: unknown) => string | undefined): string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items = value.map(read);
  return items.some((item) => item === undefined) ? undefined : (items as string[]);
}

function wrong(values: Row["values"], key: string, wanted: string): string {
  if (Object.hasOwn(values, key)) {
    return `${JSON.stringify(key)} is ${JSON.stringify(values[key])?.slice(0, 80)}, wanted ${wanted}`;
  }
  const keys = Object.keys(values);
  const meant = nearest(key, keys);
  const has = keys.map((name) => JSON.stringify(name)).join(", ") || "nothing";
  return `has no ${JSON.stringify(key)}, but ${has}${meant ? `; is ${JSON.stringify(meant)} meant?` : ""}`;
}

/** The classes that occur, in order: of numbers where all are, else of their letters' codes. */
export function labelNames(labels: Iterable<string>): string[] {
  const names = [...new Set(labels)];
  const areNumbers = names.every((name) => /^\d+$/.test(name));
  return areNumbers ? names.sort((a, b) => Number(a) - Number(b)) : names.sort();
}

/**
 * Index of a class: by its name, or by its number where the names are not numbers themselves.
 * @returns a function that gives −1 for a label outside the head
 */
export function labelIndex(names: readonly string[]): (label: string) => number {
  const byName = new Map(names.map((name, i) => [name, i]));
  return (label) => {
    const found = byName.get(label);
    if (found !== undefined) return found;
    const index = /^\d+$/.test(label) ? Number(label) : -1;
    return index < names.length && !byName.has(String(index)) ? index : -1;
  };
}

/** @throws LoraError naming every label of the data that the head has no place for. */
export function checkLabels(labels: Iterable<string>, names: readonly string[], where: string): void {
  const index = labelIndex(names);
  const alien = labelNames(labels).filter((label) => index(label) < 0);
  if (alien.length === 0) return;
  const has = names.length > 20 ? `${names.slice(0, 20).join(", ")} … (${names.length})` : names.join(", ");
  const message = `the labels ${alien.slice(0, 20).join(", ")} are outside the head, which has ${has}`;
  fail(where, message, "a label is one of these names, or where they are no numbers an index from 0");
}
