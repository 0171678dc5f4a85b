import { loadChats } from "../data/chat/late-chats.ts";
import { rowName } from "../data/check-items.ts";
import type { ItemSource } from "../data/feed/item-source.ts";
import { isRowStream } from "../data/files/is-row-stream.ts";
import type { RowStream } from "../data/files/row-stream.ts";
import { lengthToKeep } from "../data/packing.ts";
import type { Example } from "../data/rows/examples.ts";
import type { Sequence } from "../data/sequence.ts";
import type { RowEncoding } from "../data/tokenize/row-encoding.ts";
import { tokenizeExamples } from "../data/tokenize/tokenize.ts";
import { defaultMaxLength, TOKENIZE_RULES, type TokenizeOptions } from "../data/tokenize/tokenize-options.ts";
import type { TokenizeReport } from "../data/tokenize/tokenize-report.ts";
import { type Model, requireTokenizer } from "../load/model.ts";
import { freePositions } from "../models/model.ts";
import { fail } from "../util/fail.ts";
import { pickOptions } from "../util/options.ts";
import type { TrainerOptions } from "./trainer-options.ts";

/** Rows as a model reads them. */
export interface SequencesOfRows {
  readonly sequences: readonly Sequence[] | ItemSource<Sequence>;
  /** Tokens that a sequence has at most. */
  readonly maxLength: number;
  /** What became of the rows; absent where they are read when they are needed, as is the next. */
  readonly report?: TokenizeReport;
  /** What messages call a sequence, by its place: some rows are left out. */
  readonly nameRow?: (place: number) => string;
}

/**
 * Tokenises rows, or has them tokenised when they are needed, as `train` does.
 * @throws LoraError where the model has no tokenizer or no row is left to learn
 */
export async function sequencesOf(
  model: Model,
  examples: readonly Example[] | RowStream<Example>,
  options: Partial<TokenizeOptions> & Pick<TrainerOptions, "packing" | "nameRow">,
): Promise<SequencesOfRows> {
  const encoding = await encodingOf(model, options);
  const { maxLength } = encoding;
  if (isRowStream<Example>(examples)) {
    const { exampleSource } = await import("../data/tokenize/example-source.ts");
    return { sequences: exampleSource(examples, encoding), maxLength };
  }
  const tokens = tokenizeExamples(examples, encoding.tokenizer, encoding.options, encoding.model);
  const { sequences, places, report } = tokens;
  const { nameRow = rowName } = options;
  return { sequences, maxLength, report, nameRow: (place) => nameRow(places[place] as number) };
}

/** How rows become tokens of a model. @throws LoraError where they may be longer than the model takes */
export async function encodingOf(
  model: Model,
  options: Partial<TokenizeOptions> & Pick<TrainerOptions, "packing">,
): Promise<RowEncoding> {
  const maxPositions = freePositions(model);
  const { maxLength = defaultMaxLength(maxPositions) } = options;
  requireLength(maxLength, maxPositions);
  const encoding = {
    tokenizer: requireTokenizer(model),
    maxLength,
    options: { ...pickOptions(options, TOKENIZE_RULES), maxLength: lengthToKeep(maxLength, options) },
    model: { name: model.name, chatTemplates: model.chatTemplates, embeddingRows: model.config.vocabSize },
  };
  if (options.chatTemplate !== undefined || model.chatTemplates.size > 0) await loadChats();
  return encoding;
}

/** @throws LoraError where rows may be longer than the model takes */
export function requireLength(maxLength: number | undefined, maxPositions: number): void {
  if (maxLength === undefined || maxLength <= maxPositions) return;
  const got = `maxLength is ${maxLength}, more than the model's ${maxPositions} positions`;
  fail("maxLength", got, `give at most ${maxPositions}, or leave it out`);
}
