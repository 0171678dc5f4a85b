import { labelIndex, type PairedTexts, type TaggedWords, type TextWithLabel } from "../rows/labelled.ts";
import type { WholeText } from "./encode-pair.ts";
import type { RowFate } from "./encode-rows.ts";
import { labelledItem, tagFinder, taggedItem, type WholeEncoder } from "./encode-task.ts";

/** A text of a row as tokens, those that are cut off too. */
export interface TaskText extends WholeText {
  /** What it is called where a row has several. */
  readonly name?: string;
  /** The class of a token, where each has one. */
  readonly tagOf?: (at: number) => string | undefined;
}

/** A row of a task that is no language modelling, as it is trained on, or why it is not. */
export interface EncodedItem<Item = unknown> {
  /** Its place among the rows that were given, from 0. */
  readonly place: number;
  readonly fate: Extract<RowFate, "kept" | "empty" | "too long">;
  readonly texts: readonly TaskText[];
  /** The classes that it teaches: its own, or those of its words. */
  readonly labels: readonly string[];
  /** Words without a token, such as empty ones, whose classes nothing teaches. */
  readonly unread?: number;
  /** Of what is no text, a key for its content. */
  readonly key?: number;
  /** What the model is given. */
  readonly item: Item;
}

/** Encodes rows one at a time. */
export type ItemEncoder<Row, Item> = (
  row: Row,
) => Pick<EncodedItem<Item>, "texts" | "labels" | "item" | "unread">;

/** Texts, or pairs of them, with the index of their class. */
export function labelledItems(encoder: WholeEncoder, classes: readonly string[]) {
  const index = labelIndex(classes);
  return ({ text, textPair, label }: TextWithLabel) => {
    const of = { labels: [nameOf(label, classes, index)] };
    if (textPair === undefined) {
      const whole = encoder.whole(text);
      return { texts: [whole], ...of, item: labelledItem({ ids: keptOf(whole) }, index(label)) };
    }
    const { ids, segments, whole } = encoder.wholePair(text, textPair);
    return { texts: [whole], ...of, item: labelledItem({ ids, segments }, index(label)) };
  };
}

/** A label may be the number of a class. */
function nameOf(label: string, classes: readonly string[], index: (label: string) => number): string {
  return classes[index(label)] ?? label;
}

/** Words whose first tokens have a class each. */
export function taggedItems(encoder: WholeEncoder, classes: readonly string[]) {
  const index = labelIndex(classes);
  return ({ words, tags }: TaggedWords) => {
    const { ids, wordOf, whole } = encoder.wholeWords(words);
    const tagOf = tagFinder(wordOf, tags);
    const taught = ids.map((_, i) => tagOf(i)).filter((tag) => tag !== undefined);
    const read = new Set(wordOf);
    const cut = whole.cuts.some(([start, end]) => end > start);
    return {
      texts: [{ ...whole, tagOf }],
      labels: taught.map((tag) => nameOf(tag, classes, index)),
      unread: cut ? 0 : words.filter((_, word) => !read.has(word)).length,
      item: taggedItem(ids, tagOf, index),
    };
  };
}

/** Texts of which tokens are hidden while they are learnt. */
export function maskedItems(encoder: WholeEncoder) {
  return ({ text }: { readonly text: string }) => {
    const whole = encoder.whole(text);
    return { texts: [whole], labels: [], item: { inputIds: keptOf(whole), labels: [] as number[] } };
  };
}

/** Pairs of texts that mean the same. */
export function pairedItems(encoder: WholeEncoder) {
  return ({ anchor, positive }: PairedTexts) => {
    const [first, second] = [encoder.whole(anchor), encoder.whole(positive)];
    return {
      texts: [
        { ...first, name: "anchor" },
        { ...second, name: "positive" },
      ],
      labels: [],
      item: { first: keptOf(first), second: keptOf(second) },
    };
  };
}

/** The ids that are not cut off. */
export function keptOf({ ids, cuts }: WholeText): number[] {
  return ids.filter((_, i) => !cuts.some(([start, end]) => i >= start && i < end));
}

/** Whether something is cut off. */
export function isCut({ cuts }: WholeText): boolean {
  return cuts.some(([start, end]) => end > start);
}
