import { fail } from "../../util/fail.ts";
import { firstOf } from "../../util/group-lines.ts";
import { fieldProblem, labelOf, labelProblem, textProblem } from "./fields.ts";
import type { RowReader } from "./rows.ts";

/** A text, or a pair of them, and the name of its class. */
export interface TextWithLabel {
  /** The text, or the first of a pair. */
  readonly text: string;
  /** The second text of a pair. */
  readonly textPair?: string;
  /** The name of its class. */
  readonly label: string;
}

/** Key of the second text of a pair, as transformers calls it. */
const PAIR = "text_pair";

/** Words and the name of each one's class. */
export interface TaggedWords {
  /** The words of a text, in order. */
  readonly words: readonly string[];
  /** The class of each word. */
  readonly tags: readonly string[];
}

/** Two texts that mean the same. */
export interface PairedTexts {
  /** The first text. */
  readonly anchor: string;
  /** The text that means the same. */
  readonly positive: string;
}

/**
 * Rows with `text` and `label`, and in all of them or in none `text_pair`. A label is a text, a whole number, or true or
 * false. A reader is for one file: its first row says whether all are pairs.
 */
export function labelledTextReader(): RowReader<TextWithLabel> {
  let arePairs: boolean | undefined;
  return {
    wanted: '"text" and "label", and in all rows or in none "text_pair"',
    read(values) {
      const isPair = Object.hasOwn(values, PAIR);
      arePairs ??= isPair;
      const problem = textProblem(values, "text") ?? labelProblem(values, "label");
      if (problem !== undefined) return problem;
      const [text, label] = [values.text as string, String(values.label)];
      if (isPair && !arePairs) return `has "${PAIR}", which the first row has not`;
      if (!arePairs) return { text, label };
      return textProblem(values, PAIR) ?? { text, textPair: values[PAIR] as string, label };
    },
  };
}

/** Rows with `tokens` and `tags` (or `ner_tags`, `labels`): two lists of equal length. */
export const TAGGED_WORDS_READER: RowReader<TaggedWords> = {
  wanted: '"tokens" and "tags"',
  read(values) {
    const key = ["tags", "ner_tags", "labels"].find((name) => (values[name] ?? undefined) !== undefined);
    const words = listOf(values.tokens, (word) => (isText(word) ? word : undefined));
    const tags = listOf(values[key ?? "tags"], labelOf);
    if (!words) return fieldProblem(values, "tokens", "a list of strings");
    if (!tags) return fieldProblem(values, key ?? "tags", "a list of names or whole numbers");
    if (words.length !== tags.length) return `has ${words.length} tokens and ${tags.length} tags`;
    return { words, tags };
  },
};

/** Rows with `anchor` and `positive`. */
export const PAIRED_TEXTS_READER: RowReader<PairedTexts> = {
  wanted: '"anchor" and "positive"',
  read(values) {
    const problem = textProblem(values, "anchor") ?? textProblem(values, "positive");
    return problem ?? { anchor: values.anchor as string, positive: values.positive as string };
  },
};

/** Rows with `text`. */
export const TEXT_READER: RowReader<{ text: string }> = {
  wanted: '"text"',
  read: (values) => textProblem(values, "text") ?? { text: values.text as string },
};

function isText(value: unknown): value is string {
  return typeof value === "string" && value.isWellFormed();
}

function listOf(value: unknown, read: (item: unknown) => string | undefined): string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const items = value.map(read);
  return items.some((item) => item === undefined) ? undefined : (items as string[]);
}

/** The classes that occur, in order: of numbers where all are, else of their letters' codes. */
export function labelNames(labels: Iterable<string>): string[] {
  const names = [...new Set(labels)];
  const areNumbers = names.every((name) => /^\d+$/.test(name));
  return areNumbers ? names.sort((a, b) => Number(a) - Number(b) || (a < b ? -1 : 1)) : names.sort();
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
  const message = `the labels ${firstOf(alien)} are outside the head, which has ${firstOf(names)}`;
  fail(where, message, "a label is one of these names, or where they are no numbers an index from 0");
}
