import { Readback, type Reading } from "../gpu/readback.ts";
import { empty, fromArray, readAndRelease, scoped, type Tensor } from "../gpu/tensor.ts";
import { argmax } from "../kernels/sampling.ts";
import type { LanguageModel } from "../models/model.ts";
import { late } from "../util/late.ts";
import type { Random } from "../util/random.ts";
import { Draws } from "./draws.ts";
import { failScores, isGreedy, type SamplingOptions } from "./sample.ts";
import type { TextCache } from "./text-cache.ts";

/** A text that is being written. */
export interface OpenText {
  /** The prompt and what came so far. */
  readonly ids: number[];
  /** Tokens of the prompt. */
  readonly promptLength: number;
  /** Tokens at which the text ends. */
  readonly end: number;
  /** How its next token is chosen. */
  readonly sampling: Required<SamplingOptions>;
  /** Gives a number for each token that is drawn. */
  readonly random: Random;
  /** Whether a token ends the text. */
  isLast(token: number): boolean;
}

/** What spares the host most of a token's work. */
const REPLAY = late(() => import("../gpu/replay.ts"));
/** What chooses by other rules than the most likely one, on the device and here. */
const CHOICE = late(() => import("../kernels/token-choice.ts"));
const DRAW = late(() => import("./draw.ts"));

/** Steps that may be on their way: the one that is waited for, and the next. */
const UNDER_WAY = 2;

/** A step that the device was given. */
interface Step {
  /** What it chose for each text, u32 `[N]`. */
  readonly ids: Tensor;
  readonly reading: Reading;
}

/**
 * Writes the texts of a cache token by token. The device chooses the tokens and goes on with them at once: the next step is recorded
 * before the host has read this one's, so that neither waits for the other. Where it turns out that a text had ended, what
 * was computed behind its end is dropped.
 */
export class Decoding {
  readonly #cache: TextCache;
  readonly #draws = new Draws();
  #room: Room | undefined;
  /** What is recorded, and was not waited for. */
  #under: Step | undefined;
  /** Which texts go on behind it, where some have ended. */
  #kept: readonly number[] | undefined;

  constructor(cache: TextCache) {
    this.#cache = cache;
  }

  /** Whether the device is at a step that nobody asked for yet: nothing can join the texts before its tokens are read. */
  get isAhead(): boolean {
    return this.#under !== undefined;
  }

  /**
   * The next token of each text, which is put behind it unless it ends it. Where that fails the cache forgets everything; where it
   * fails for want of textures, which the device does without from then on, the texts are read again and go on.
   * @param texts those of the cache in their order
   * @param goesOn whether the same texts are asked for again: false keeps the device from going on with them
   * @throws LoraError for scores that are no numbers
   */
  async next(model: LanguageModel, texts: readonly OpenText[], goesOn = true): Promise<number[]> {
    try {
      return await this.#next(model, texts, goesOn).catch((error) => {
        if (error !== model.device.textures.failure) throw error;
        this.#rewind(texts);
        return this.#next(model, texts, goesOn);
      });
    } catch (error) {
      this.release();
      this.#cache.release();
      throw error;
    }
  }

  async #next(model: LanguageModel, texts: readonly OpenText[], goesOn: boolean): Promise<number[]> {
    const { Replay } = await REPLAY.load();
    this.#cache.replay ??= new Replay(model.device);
    const isSampled = !texts.every(({ sampling }) => isGreedy(sampling));
    const byHost = isSampled && !(await CHOICE.load()).canChoose(model.config.vocabSize);
    const tokens = byHost
      ? await this.#nextByHost(model, texts)
      : await this.#nextByDevice(model, texts, goesOn);
    if (tokens.some((token) => token < 0)) failScores();
    for (const [i, token] of tokens.entries()) if (!texts[i]?.isLast(token)) texts[i]?.ids.push(token);
    this.#draws.settle(texts);
    return tokens;
  }

  /** Goes back to what the host knows of the texts. */
  #rewind(texts: readonly OpenText[]): void {
    if (this.#kept) this.#cache.keep(this.#kept);
    this.release();
    this.#cache.rewind();
    this.#draws.rewind(texts);
  }

  /** Goes on with some of the texts, in this order. */
  keep(rows: readonly number[]): void {
    if (rows.length === 0) this.#under = undefined;
    if (this.#under) this.#kept = rows;
    else this.#cache.keep(rows);
  }

  /** Gives its memory back, and drops what is under way. */
  release(): void {
    this.#room?.release();
    this.#room = undefined;
    this.#under = undefined;
    this.#kept = undefined;
  }

  async #nextByDevice(model: LanguageModel, texts: readonly OpenText[], goesOn: boolean): Promise<number[]> {
    const step = this.#under ?? this.#record(model, texts);
    const kept = this.#kept;
    const isLonger = texts.every(({ ids, end }) => ids.length + 1 < end);
    this.#under =
      goesOn && !kept && isLonger && this.#cache.goesOn ? this.#record(model, texts, step.ids) : undefined;
    const tokens = new Int32Array((await step.reading.wait()).buffer);
    if (!this.#under) model.device.stream.noteIdle();
    if (!kept) return [...tokens];
    this.#kept = undefined;
    this.#cache.keep(kept);
    return kept.map((row) => tokens[row] as number);
  }

  /** Records a step and submits it. @param before what the last one chose, which the host does not know yet */
  #record(model: LanguageModel, texts: readonly OpenText[], before?: Tensor): Step {
    const { device } = model;
    device.memory.beginStep();
    if (!this.#room?.isFor(texts)) {
      this.#room?.release();
      this.#room = new Room(model, texts, this.#draws);
    }
    const room = this.#room;
    let ids = before as Tensor;
    scoped(device, () => {
      const scores = before
        ? this.#cache.scoresBehind(before, model)
        : this.#cache.scores(
            texts.map(({ ids }) => ids),
            model,
          );
      ids = room.choose(scores);
      return undefined;
    });
    return { ids, reading: room.readback.read([ids]) };
  }

  /** Of vocabularies that are too large for the device's sampler. */
  async #nextByHost(model: LanguageModel, texts: readonly OpenText[]): Promise<number[]> {
    model.device.memory.beginStep();
    const [buffer = new ArrayBuffer()] = await readAndRelease(model.device, () => [
      this.#cache.scores(
        texts.map(({ ids }) => ids),
        model,
      ),
    ]);
    const scores = new Float32Array(buffer);
    const size = scores.length / texts.length;
    const { sampleToken } = await DRAW.load();
    return texts.map(({ sampling, ids, random }, row) =>
      sampleToken(scores.subarray(row * size, (row + 1) * size), sampling, ids, random),
    );
  }
}

/** What the device needs beside the model to choose the tokens of some texts. */
class Room {
  readonly readback: Readback;
  readonly #texts: readonly OpenText[];
  readonly #draws: Draws;
  /** Where the chosen ones are, by turns: a step reads those of the one before. */
  readonly #ids: [Tensor, Tensor];
  /** Where not all are the most likely ones: how each is chosen, and a bit for each token that occurred, where that matters. */
  readonly #drawn: { readonly choices: Tensor; readonly seen: Tensor } | undefined;

  constructor({ device, config }: LanguageModel, texts: readonly OpenText[], draws: Draws) {
    const rows = texts.length;
    this.#draws = draws;
    this.#texts = texts;
    this.readback = new Readback(device, rows, UNDER_WAY);
    this.#ids = device.memory.persistent(() => [empty(device, [rows], "u32"), empty(device, [rows], "u32")]);
    if (texts.every(({ sampling }) => isGreedy(sampling))) return;
    const words = Math.ceil(config.vocabSize / 32);
    const isPenalized = texts.some(({ sampling }) => sampling.repetitionPenalty !== 1);
    this.#drawn = device.memory.persistent(() => ({
      choices: empty(device, [rows, CHOICE.loaded().CHOICE_WORDS], "u32"),
      seen: isPenalized
        ? fromArray(device, occurring(texts, words), [rows, words])
        : fromArray(device, new Uint32Array(1), [1]),
    }));
  }

  isFor(texts: readonly OpenText[]): boolean {
    return texts.length === this.#texts.length && texts.every((text, i) => text === this.#texts[i]);
  }

  /** Chooses a token of each row of scores `[N, V]`. */
  choose(scores: Tensor): Tensor {
    const [ids, others] = this.#ids;
    this.#ids.splice(0, 2, others, ids);
    if (!this.#drawn) return argmax(scores, ids);
    const { choose, packChoices } = CHOICE.loaded();
    const { choices, seen } = this.#drawn;
    const drawn = this.#texts.map((text) => ({
      ...text.sampling,
      uniform: text.sampling.temperature === 0 ? 0 : this.#draws.uniform(text),
    }));
    choices.write(packChoices(drawn));
    return choose(scores, choices, seen, ids);
  }

  release(): void {
    this.readback.release();
    for (const { device, storage } of [...this.#ids, ...Object.values(this.#drawn ?? {})])
      device.memory.release(storage);
  }
}

/** Which tokens occur in each text, `words` words of bits for one. */
function occurring(texts: readonly OpenText[], words: number): Uint32Array<ArrayBuffer> {
  const bits = new Uint32Array(texts.length * words);
  for (const [row, { ids }] of texts.entries()) {
    for (const id of ids) {
      const at = row * words + (id >> 5);
      bits[at] = (bits[at] as number) | (1 << (id & 31));
    }
  }
  return bits;
}
