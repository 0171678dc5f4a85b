import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { fail } from "../../util/fail.ts";

/** The tokens of a row before any is cut off. */
export interface WholeText {
  readonly ids: readonly number[];
  /** Which are cut off: from one place to another, the end not included. */
  readonly cuts: readonly (readonly [start: number, end: number])[];
  /** Whether these are not all of its tokens: a very long text is not tokenised to its end. */
  readonly isLonger?: boolean;
}

/** Two texts as the tokens of one row. */
export interface EncodedPair {
  readonly ids: readonly number[];
  /** Which segment each id is of, 0 or 1: the `token_type_ids` of models that tell them apart. */
  readonly segments: readonly number[];
}

/**
 * Turns pairs of texts into at most `maxLength` tokens, cut as transformers cuts them by default (`longest_first`).
 * @throws LoraError where the special tokens alone fill `maxLength`
 */
export function pairEncoder(
  tokenizer: Tokenizer,
  maxLength: number,
): (first: string, second: string) => EncodedPair & { readonly whole: WholeText } {
  const plain = (text: string) => tokenizer.encode(text, { addSpecialTokens: false });
  const { before, between, after, inside } = pairFrame(tokenizer);
  const room = maxLength - before.ids.length - between.ids.length - after.ids.length;
  if (room < 2) {
    const message = `${maxLength} leaves no room for two texts beside their special tokens`;
    fail("max_length", message, `give ${maxLength + 2 - room} or more`);
  }
  return (first, second) => {
    const [a, b] = [plain(first), plain(second)];
    const [kept, keptOfSecond] = longestFirst(a.length, b.length, room);
    const part = (ids: readonly number[], segment: number) => ({ ids, segments: ids.map(() => segment) });
    const texts = [part(a.slice(0, kept), inside[0]), part(b.slice(0, keptOfSecond), inside[1])] as const;
    const parts = [before, texts[0], between, texts[1], after];
    const behind = before.ids.length + a.length + between.ids.length;
    const cuts = [
      [before.ids.length + kept, before.ids.length + a.length],
      [behind + keptOfSecond, behind + b.length],
    ] as const;
    return {
      ids: parts.flatMap(({ ids }) => ids),
      segments: parts.flatMap(({ segments }) => segments),
      whole: { ids: [...before.ids, ...a, ...between.ids, ...b, ...after.ids], cuts },
    };
  };
}

/**
 * What stays of two texts in a room for both: the longer one is cut to the length of the other, then both to half.
 * The odd token stays with the longer one, or with the second where they are equal (`truncate_encodings` of the Rust
 * library).
 */
function longestFirst(first: number, second: number, room: number): readonly [number, number] {
  if (first + second <= room) return [first, second];
  const shorter = Math.min(first, second);
  const least = Math.floor(room / 2);
  const kept: readonly [number, number] =
    shorter <= least ? [shorter, room - shorter] : [least, room - least];
  return first > second ? [kept[1], kept[0]] : kept;
}

/** The special tokens of a pair, and the segments of its two texts. */
interface PairFrame {
  readonly before: EncodedPair;
  readonly between: EncodedPair;
  readonly after: EncodedPair;
  readonly inside: readonly [number, number];
}

function pairFrame(tokenizer: Tokenizer): PairFrame {
  const [a, b] = ["a", "b"].map((text) => tokenizer.encode(text, { addSpecialTokens: false })) as [
    number[],
    number[],
  ];
  const { ids, segments } = tokenizer.encodePair("a", "b");
  const find = (part: readonly number[], from: number) =>
    Math.max(
      from,
      ids.findIndex((_, at) => at >= from && part.every((id, j) => ids[at + j] === id)),
    );
  const first = find(a, 0);
  const second = find(b, first + a.length);
  const cut = (from: number, to?: number) => ({
    ids: ids.slice(from, to),
    segments: segments.slice(from, to),
  });
  return {
    before: cut(0, first),
    between: cut(first + a.length, second),
    after: cut(second + b.length),
    inside: [segments[first] ?? 0, segments[second] ?? 0],
  };
}
