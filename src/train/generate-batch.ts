import type { ChatExample } from "../data/chat/chat-rows.ts";
import type { Model } from "../load/model.ts";
import type { NamedAdaptation } from "../nn/adapter-list.ts";
import { requireModel } from "../nn/module.ts";
import { largest } from "../util/arrays.ts";
import { fail, failAll, LoraError, Problems } from "../util/fail.ts";
import {
  callback,
  checkOptions,
  integer,
  listOf,
  type Rule,
  type Rules,
  withDefaults,
} from "../util/options.ts";
import { Decoding } from "./decoding.ts";
import { GENERATE_DEFAULTS } from "./generate.ts";
import {
  GENERATE_RULES,
  type GenerateOptions,
  type GenerationReport,
  type PromptTokens,
  readPrompt,
  WrittenText,
} from "./generate-text.ts";
import type { SamplingOptions } from "./sample.ts";
import { TextCache } from "./text-cache.ts";

/** Options of {@link generateBatch}. */
export interface BatchOptions extends Omit<GenerateOptions, "onEnd"> {
  /** Texts that are written at a time, 8 unless given: more need more memory. */
  batchSize?: number;
  /**
   * The adapters of each prompt, nearest the modules first, in place of the model's own list: `[[a], [], [b, c.scaled(0.5)]]`.
   * Prompts of the same adapters are best given one after the other: a batch costs by the number of different ones in it.
   */
  adapters?: readonly (readonly NamedAdaptation[])[];
  /** What messages call a prompt, by its place from 0. */
  namePrompt?: (index: number) => string;
}

/** Texts at a time where nothing is said. */
export const BATCH_DEFAULTS = { batchSize: 8, namePrompt: (index: number) => `prompt ${index + 1}` };

const { onEnd: _, ...TEXT_RULES } = GENERATE_RULES;
const LIST: Rule = { wanted: "a list of adapters", accepts: Array.isArray, aliases: [] };

const RULES: Rules<BatchOptions> = {
  ...TEXT_RULES,
  batchSize: integer({ min: 1 }, "batch_size"),
  adapters: listOf(LIST, "a list of adapters for each prompt"),
  namePrompt: callback(),
};

/** A piece of one of several texts. */
export interface BatchPiece {
  /** Which prompt it continues, from 0. */
  readonly index: number;
  /** What comes next of its text; may be empty where the text ends. */
  readonly piece: string;
  /** What became of the text; with its last piece alone. */
  readonly report?: GenerationReport;
}

/** A text on its way. */
interface Row {
  readonly index: number;
  readonly written: WrittenText;
  /** Those of its own; undefined where it goes through the model's. */
  readonly adapters?: readonly NamedAdaptation[] | undefined;
}

/**
 * Continues several texts, or answers several chats, side by side: each is what {@link generate} makes of its prompt, with
 * the seed counted up from prompt to prompt. Where one ends, the next prompt takes its place. Where the model rotates keys by
 * the length of their text, texts that get that long are written one by one.
 * @throws LoraError as {@link generate} does, listing all prompts that the model cannot continue before it begins
 */
export async function* generateBatch(
  model: Model,
  prompts: readonly (string | ChatExample)[],
  options: BatchOptions = {},
): AsyncGenerator<BatchPiece> {
  checkOptions("generateBatch", options, RULES);
  requireModel("generateBatch", model);
  if (!Array.isArray(prompts))
    fail("generateBatch", "the prompts are no list", "for one prompt use generate");
  const { batchSize, adapters, ...given } = withDefaults(BATCH_DEFAULTS, options);
  if (adapters && adapters.length !== prompts.length) {
    const got = `adapters are given for ${adapters.length} prompts, and there are ${prompts.length}`;
    fail("generateBatch", got, "give a list of adapters for each prompt; [] is the base model");
  }
  const opened = await openRows(model, prompts, given);
  const rows = opened.map((row) => ({ ...row, adapters: adapters?.[row.index] }));
  yield* writeAlike(model, rows, batchSize);
}

/** The same for prompts that are tokens already, each with a number of tokens of its own. */
export async function* continueTokens(
  model: Model,
  prompts: readonly (PromptTokens & { readonly maxNewTokens: number })[],
  { batchSize, ...options }: SamplingOptions & { readonly batchSize: number },
): AsyncGenerator<BatchPiece> {
  const rows = prompts.map(({ maxNewTokens, ...prompt }, index) => {
    return { index, written: new WrittenText(model, prompt, { ...options, maxNewTokens }) };
  });
  yield* writeAlike(model, rows, batchSize);
}

async function* writeAlike(
  model: Model,
  rows: readonly Row[],
  batchSize: number,
): AsyncGenerator<BatchPiece> {
  const isAlike = ({ written: { text } }: Row) => model.rotatesAlike?.(1, text.end) ?? true;
  yield* writeRows(model, rows.filter(isAlike), batchSize);
  for (const row of rows) if (!isAlike(row)) yield* writeRows(model, [row], 1);
}

async function openRows(
  model: Model,
  prompts: readonly (string | ChatExample)[],
  {
    namePrompt,
    seed = GENERATE_DEFAULTS.seed,
    ...options
  }: Omit<BatchOptions, "batchSize" | "adapters"> & Pick<typeof BATCH_DEFAULTS, "namePrompt">,
): Promise<Row[]> {
  const problems = new Problems();
  const rows: Row[] = [];
  for (const [index, prompt] of prompts.entries()) {
    try {
      const tokens = await readPrompt(model, prompt, options.chatTemplate);
      rows.push({ index, written: new WrittenText(model, tokens, { ...options, seed: seed + index }) });
    } catch (error) {
      if (!(error instanceof LoraError)) throw error;
      problems.push(new LoraError(error.kind, namePrompt(index), error));
    }
  }
  failAll("generateBatch", problems);
  return rows;
}

/** Writes texts, so many at a time: newcomers are read together, and go on with those that are under way. */
async function* writeRows(model: Model, rows: readonly Row[], batchSize: number): AsyncGenerator<BatchPiece> {
  const capacity = largest(rows.map(({ written }) => written.text.end));
  const [cache, fresh] = [new TextCache(model), new TextCache(model)];
  const [decoding, reading] = [new Decoding(cache), new Decoding(fresh)];
  let active: readonly Row[] = [];
  let next = 0;
  try {
    for (;;) {
      const newcomers = decoding.isAhead ? [] : rows.slice(next, next + batchSize - active.length);
      if (newcomers.length > 0) {
        next += newcomers.length;
        fresh.open(newcomers.length, capacity);
        active = [...active, ...(yield* step(model, reading, newcomers, false))];
        cache.join(fresh);
      } else if (active.length > 0) {
        active = yield* step(model, decoding, active);
      } else return;
    }
  } finally {
    decoding.release();
    reading.release();
    cache.release();
    fresh.release();
  }
}

/** Writes the next token of each text of a cache. Returns those that go on, which are all that the cache holds in the end. */
async function* step(
  model: Model,
  decoding: Decoding,
  rows: readonly Row[],
  goesOn = true,
): AsyncGenerator<BatchPiece, Row[]> {
  for (const { written } of rows) written.start();
  const own = rows.flatMap(({ adapters }) => (adapters ? [adapters] : []));
  const tokens = await decoding.next(
    own.length > 0 ? model.withRowAdapters(own) : model,
    rows.map(({ written }) => written.text),
    goesOn,
  );
  const said = rows.map((row, i) => {
    const piece = row.written.next(tokens[i] as number);
    return { row, piece, isOver: row.written.isOver };
  });
  const going = said.flatMap(({ isOver }, i) => (isOver ? [] : [i]));
  if (going.length < rows.length) decoding.keep(going);
  for (const { row, piece, isOver } of said) {
    if (isOver) yield { index: row.index, piece, report: row.written.report() };
    else if (piece !== "") yield { index: row.index, piece };
  }
  return going.map((i) => rows[i] as Row);
}
