import { append } from "../../../util/arrays.ts";
import type { ModelJson } from "../schema/models.ts";
import { unsupported } from "./component.ts";
import { byteTokens, type Model, modelOf, unknownId, type Vocabulary, vocabularyOf } from "./model.ts";

type BpeJson = Extract<ModelJson, { readonly type: "BPE" }>;

/** Two ids make one key that a double holds exactly. */
export const MOST_IDS = 2 ** 26;

/** Words that have been split are kept, up to this many of at most this length. */
const CACHED_WORDS = 10_000;
const CACHED_LENGTH = 256;

/** Byte-pair encoding: a word's characters, merged pair by pair in the order in which the merges were learnt. */
export function bpe(json: BpeJson, path: string): Model {
  const vocabulary = vocabularyOf(Object.entries(json.vocab));
  if (vocabulary.highestId >= MOST_IDS) unsupported(path, `the token id ${vocabulary.highestId}`);
  if (json.dropout) unsupported(`${path}.dropout`, "leaving merges out at random", "set it to null");
  const symbols = symbolReader(json, vocabulary);
  const merges = new Merges(json, vocabulary);
  const known = new Map<string, readonly number[]>();

  return modelOf(vocabulary, (word) => {
    const whole = json.ignore_merges ? vocabulary.ids.get(word) : undefined;
    if (whole !== undefined) return [whole];
    const cached = known.get(word);
    if (cached) return cached;
    const ids = merges.apply(symbols(word));
    if (word.length <= CACHED_LENGTH) {
      if (known.size >= CACHED_WORDS) known.clear();
      // A part of a text would keep the whole text in memory; a joined one is a text of its own.
      known.set(word.split("").join(""), ids);
    }
    return ids;
  });
}

/** The ids that a word begins as, one for each character. */
function symbolReader(json: BpeJson, vocabulary: Vocabulary): (word: string) => number[] {
  const prefix = json.continuing_subword_prefix ?? "";
  const suffix = json.end_of_word_suffix ?? "";
  const unknown = json.unk_token ?? undefined;

  const bytesOf = json.byte_fallback ? byteTokens(vocabulary) : undefined;

  return (word) => {
    const ids: number[] = [];
    // The id for unknown text waits for the next known character: bytes between the two overtake it, as in Rust.
    let waiting: number | undefined;
    let position = 0;
    for (const character of word) {
      const isFirst = position === 0;
      position += character.length;
      const text = (isFirst ? "" : prefix) + character + (position === word.length ? suffix : "");
      const id = vocabulary.ids.get(text);
      if (id !== undefined) {
        if (waiting !== undefined) ids.push(waiting);
        waiting = undefined;
        ids.push(id);
        continue;
      }
      const bytes = bytesOf?.(text);
      if (bytes) append(ids, bytes);
      else if (unknown !== undefined) {
        if (waiting !== undefined && !json.fuse_unk) ids.push(waiting);
        waiting = unknownId(vocabulary, unknown);
      }
    }
    if (waiting !== undefined) ids.push(waiting);
    return ids;
  };
}

class Merges {
  /** Rank of a pair of ids; of a pair that is there twice the later rank counts. */
  private readonly ranks = new Map<number, number>();
  /** By rank: the id that the pair becomes. */
  private readonly merged: Int32Array;

  constructor({ merges, continuing_subword_prefix: prefix }: BpeJson, vocabulary: Vocabulary) {
    // The schema has seen to it that all three are tokens.
    const idOf = (token: string) => vocabulary.ids.get(token) ?? 0;
    this.merged = Int32Array.from(merges, ([left, right], rank) => {
      this.ranks.set(idOf(left) * MOST_IDS + idOf(right), rank);
      return idOf(left + right.slice(prefix?.length ?? 0));
    });
  }

  /** Merges the symbols of a word, the lowest rank first and of equal ones the leftmost. */
  apply(symbols: number[]): number[] {
    if (symbols.length < 2) return symbols;
    const ids = Int32Array.from(symbols);
    const [last, gone] = [ids.length, -1];
    const previous = Int32Array.from(ids, (_, i) => i - 1);
    const next = Int32Array.from(ids, (_, i) => i + 1);
    const queue = new MergeQueue();
    const rankAt = (at: number) => this.ranks.get(ids[at]! * MOST_IDS + ids[next[at]!]!);
    const enqueue = (at: number) => {
      const rank = at >= 0 && next[at]! < last ? rankAt(at) : undefined;
      if (rank !== undefined) queue.push(rank, at);
    };
    for (let at = 0; at < last - 1; at++) enqueue(at);
    for (let merge = queue.pop(); merge; merge = queue.pop()) {
      const { rank, at } = merge;
      if (ids[at] === gone || next[at]! >= last) continue;
      const current = rankAt(at);
      // One of the two may have become part of another token since.
      if (current === undefined || this.merged[current] !== this.merged[rank]) continue;
      const right = next[at]!;
      ids[at] = this.merged[rank]!;
      ids[right] = gone;
      next[at] = next[right]!;
      if (next[at]! < last) previous[next[at]!] = at;
      enqueue(previous[at]!);
      enqueue(at);
    }
    return [...ids].filter((id) => id !== gone);
  }
}

/** Positions are below this; a rank times it and a position are one number that a double holds exactly. */
const MOST_POSITIONS = 2 ** 31;

/** Merges that may be made, the lowest rank first and of equal ones the leftmost: a binary heap. */
class MergeQueue {
  private readonly heap: number[] = [];

  push(rank: number, at: number): void {
    const { heap } = this;
    const key = rank * MOST_POSITIONS + at;
    let i = heap.length;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent]! <= key) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = key;
  }

  pop(): { rank: number; at: number } | undefined {
    const { heap } = this;
    const [top, key] = [heap[0], heap.pop()];
    if (top === undefined || key === undefined) return undefined;
    if (heap.length > 0) this.sink(key);
    return { rank: Math.floor(top / MOST_POSITIONS), at: top % MOST_POSITIONS };
  }

  /** Puts a key in the place of the first. */
  private sink(key: number): void {
    const { heap } = this;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
      if (child >= heap.length || heap[child]! >= key) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = key;
  }
}
