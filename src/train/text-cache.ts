import { packRows } from "../data/batch.ts";
import type { Replay } from "../gpu/replay.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import { freePositions, type LanguageModel } from "../models/model.ts";
import type { KvCache } from "../nn/cache.ts";
import { lastTokens } from "../nn/chosen-tokens.ts";
import { seenOnHost } from "./seen-on-host.ts";

/** What a model has read of one text. */
interface ReadText {
  /** The text, of which the first {@link length} tokens are read, perhaps before they stand here: whoever writes it appends to it. */
  readonly ids: readonly number[];
  readonly length: number;
  /** The text as it was when it was taken up, before anything was written: adapters that wait for certain tokens look here. */
  readonly prompt: readonly number[];
  /** How long the text was when its first tokens were read: rotations may depend on it. */
  readonly begunAt: number;
}

/** Texts of tokens side by side that a model goes on with, and the keys and values of what it has read of them. */
export class TextCache {
  /** Where there is one, it launches the passes of one more token, which are much alike. */
  replay: Replay | undefined;
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
    this.#texts = Array.from({ length: texts }, () => ({ ids: [], length: 0, prompt: [], begunAt: 0 }));
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
    const common = isAlike ? Math.min(commonLength(text.ids, ids, text.length), ids.length - 1) : 0;
    const length = this.#model.adapters.treatedAlike([text.prompt, ids], common);
    cache.truncate(0, length);
    this.#texts = [{ ids, length, prompt: [...ids], begunAt: length > 0 ? text.begunAt : 0 }];
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

  /** Whether its texts can go on by a token that only the device knows: what was read of them needs not be read again. */
  get goesOn(): boolean {
    return this.#texts.every(({ length }) => this.#model.keepsCache?.(length, length + 1) !== false);
  }

  /**
   * Reads what is new of each text, which begins with what was read of it.
   * @param model the model of the cache; through which adapters it goes may change from text to text
   * @returns the scores of what comes next, `[N, V]`
   */
  scores(texts: readonly (readonly number[])[], model = this.#model): Tensor {
    this.#forgetRotated(texts);
    const news = texts.map((ids, row) => ids.slice(this.#texts[row]?.length));
    this.#texts = texts.map((ids, row) => {
      const { prompt = [], ...read } = this.#texts[row] ?? { length: 0, begunAt: 0 };
      return { ...read, ids, prompt: prompt.length > 0 ? prompt : [...ids] };
    });
    return this.#read(news, model);
  }

  /**
   * Reads one more token of each text, behind all that was read; the host is to put it behind the text later.
   * @param ids the tokens, u32 `[N]`
   * @returns as {@link scores}
   */
  scoresBehind(ids: Tensor, model = this.#model): Tensor {
    return this.#read(
      this.#texts.map(() => [0]),
      model,
      ids,
    );
  }

  /** @param ids what the new tokens are, where the device alone knows */
  #read(news: readonly (readonly number[])[], model: LanguageModel, ids?: Tensor): Tensor {
    const cache = this.#cache as KvCache;
    const batch = packRows(
      news.map((ids) => [ids]),
      { padToMultipleOf: 1 },
    );
    const shape = [batch.batchSize, batch.length];
    const geometry = cache.place({ ...batch, texts: this.#texts.map(({ prompt }) => prompt) });
    const input = ids ? ids.reshape(shape) : fromArray(model.device, batch.inputIds, shape);
    const context = { training: false, seed: 0, cache, geometry };
    const pass = () => {
      const hidden = model.hidden(input, context);
      const last = batch.length === 1 ? hidden : lastTokens(hidden, context);
      return model.logits(last.reshape([news.length, model.config.hiddenSize]));
    };
    const { replay } = this;
    const seen = replay && batch.length === 1 ? seenOnHost(model, geometry) : undefined;
    const inputs = [input, geometry.spans, geometry.positions];
    const scores = replay && seen ? replay.run([cache, ...seen], inputs, pass) : pass();
    cache.extend(geometry);
    this.#texts = this.#texts.map((text, row) => {
      const length = text.length + (news[row] as readonly number[]).length;
      return { ...text, length, begunAt: text.length > 0 ? text.begunAt : length };
    });
    return scores;
  }

  /** Forgets what was read of each text, but not the texts: it will be read again. */
  rewind(): void {
    this.replay?.forget();
    for (const row of this.#texts.keys()) this.#forget(row);
  }

  /** Forgets everything, and gives the memory back. */
  release(): void {
    this.replay?.forget();
    this.#cache?.release();
    this.#cache = undefined;
    this.#texts = [];
  }

  /** Keys that do not fit a text of its new length are computed again. */
  #forgetRotated(texts: readonly (readonly number[])[]): void {
    for (const [row, text] of this.#texts.entries()) {
      const { length: past } = text;
      if (this.#model.keepsCache?.(past, (texts[row] as readonly number[]).length) !== false) continue;
      this.#forget(row);
    }
  }

  #forget(row: number): void {
    this.#cache?.truncate(row, 0);
    this.#texts[row] = { ...(this.#texts[row] as ReadText), ids: [], length: 0, begunAt: 0 };
  }
}

/** How many tokens two texts begin with in common, `most` at most. */
function commonLength(a: readonly number[], b: readonly number[], most: number): number {
  let length = 0;
  while (length < most && length < b.length && a[length] === b[length]) length++;
  return length;
}
