import { packRows } from "../data/batch.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import { freePositions, type LanguageModel } from "../models/model.ts";
import type { KvCache } from "../nn/cache.ts";
import { lastTokens } from "../nn/pooling.ts";

/** What a model has read of one text. */
interface ReadText {
  /** The text, of which the first {@link length} tokens are read; whoever writes it may append to it. */
  readonly ids: readonly number[];
  length: number;
  /** How long the text was when its first tokens were read: rotations may depend on it. */
  readonly begunAt: number;
}

/** Texts of tokens side by side that a model goes on with, and the keys and values of what it has read of them. */
export class TextCache {
  readonly #model: LanguageModel;
  #cache: KvCache | undefined;
  #texts: ReadText[] = [];

  constructor(model: LanguageModel) {
    this.#model = model;
  }

  /** Makes room for this many texts, of which nothing is read, in place of all others. */
  open(texts: number, capacity: number): void {
    this.release();
    this.#cache = this.#model.newCache(capacity, texts);
    this.#texts = Array.from({ length: texts }, () => ({ ids: [], length: 0, begunAt: 0 }));
  }

  /**
   * Takes up one text in place of the one before. What both begin with stays read, but for the last token, whose scores
   * are wanted; where the model would rotate it otherwise in a text of the new length, nothing does.
   * @param capacity tokens that there is room for afterwards, at least
   * @returns the number of tokens that need not be read again
   */
  begin(ids: readonly number[], capacity: number): number {
    const [text] = this.#texts;
    const cache = this.#cache;
    if (!text || !cache || this.#texts.length > 1) {
      this.open(1, capacity);
      return 0;
    }
    const isAlike = this.#model.rotatesAlike?.(text.begunAt, ids.length) ?? true;
    const length = isAlike ? Math.min(commonLength(text.ids, ids, text.length), ids.length - 1) : 0;
    cache.truncate(0, length);
    this.#texts = [{ ids, length, begunAt: length > 0 ? text.begunAt : 0 }];
    // Twice as much, so that a chat that grows is not copied at every turn.
    const maxPositions = freePositions(this.#model);
    if (capacity > cache.capacity) {
      cache.arrange([{ cache, row: 0 }], Math.max(capacity, Math.min(2 * cache.capacity, maxPositions)));
    }
    return length;
  }

  /** Keeps these of its texts only, in this order. */
  keep(rows: readonly number[]): void {
    const cache = this.#cache as KvCache;
    const texts = this.#texts;
    if (rows.length > 0) {
      const sources = rows.map((row) => ({ cache, row }));
      cache.arrange(sources, cache.capacity);
    } else this.release();
    this.#texts = rows.map((row) => texts[row] as ReadText);
  }

  /** Takes the texts of another cache behind its own. */
  join(other: TextCache): void {
    const [own, others] = [this.#cache, other.#cache];
    if (!others) return;
    if (own) {
      const rows = [own, others].flatMap((cache) => cache.rows.map((_, row) => ({ cache, row })));
      own.arrange(rows, Math.max(own.capacity, others.capacity));
      others.release();
    }
    this.#cache = own ?? others;
    this.#texts = [...this.#texts, ...other.#texts];
    other.#cache = undefined;
    other.#texts = [];
  }

  /**
   * Reads what is new of each text, which begins with what was read of it.
   * @param model the model of the cache; through which adapters it goes may change from text to text
   * @returns the scores of what comes next, `[N, V]`
   */
  scores(texts: readonly (readonly number[])[], model = this.#model): Tensor {
    const { device } = model;
    const cache = this.#cache as KvCache;
    this.#forgetRotated(texts);
    const news = texts.map((ids, row) => ids.slice(this.#texts[row]?.length));
    const batch = packRows(
      news.map((ids) => [ids]),
      { padToMultipleOf: 1 },
    );
    const geometry = cache.place(batch);
    const input = fromArray(device, batch.inputIds, [batch.batchSize, batch.length]);
    const context = { training: false, seed: 0, cache, geometry };
    const hidden = model.hidden(input, context);
    cache.extend(geometry);
    this.#texts = texts.map((ids, row) => {
      const { length = 0, begunAt = 0 } = this.#texts[row] ?? {};
      return { ids, length: ids.length, begunAt: length > 0 ? begunAt : ids.length };
    });
    const { hiddenSize } = model.config;
    const last = batch.length === 1 ? hidden : lastTokens(hidden, context);
    return model.logits(last.reshape([texts.length, hiddenSize]));
  }

  /** Forgets everything, and gives the memory back. */
  release(): void {
    this.#cache?.release();
    this.#cache = undefined;
    this.#texts = [];
  }

  /** Keys that do not fit a text of its new length are computed again. */
  #forgetRotated(texts: readonly (readonly number[])[]): void {
    for (const [row, { length: past }] of this.#texts.entries()) {
      if (this.#model.keepsCache?.(past, (texts[row] as readonly number[]).length) !== false) continue;
      this.#cache?.truncate(row, 0);
      this.#texts[row] = { ids: [], length: 0, begunAt: 0 };
    }
  }
}

/** How many tokens two texts begin with in common, `most` at most. */
function commonLength(a: readonly number[], b: readonly number[], most: number): number {
  let length = 0;
  while (length < most && length < b.length && a[length] === b[length]) length++;
  return length;
}
