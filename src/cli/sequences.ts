import { basename } from "node:path";
import { templateChooser } from "../data/chat/chat-template.ts";
import { type Example, isChat, usesTools } from "../data/examples.ts";
import { lengthToKeep, type PackingStrategy } from "../data/packing.ts";
import type { Sequence } from "../data/sequence.ts";
import { tokenizeExamples } from "../data/tokenize.ts";
import { defaultMaxLength } from "../data/tokenize-options.ts";
import type { TokenizeReport } from "../data/tokenize-report.ts";
import { type Model, requireTokenizer } from "../load/model.ts";
import { LoraError } from "../util/fail.ts";
import { withTemplateFile } from "./chat-template.ts";
import type { RowFile } from "./data-files.ts";
import { describeData } from "./format.ts";

/** Settings that say what becomes of the rows. */
export interface DataSettings {
  readonly max_length: number | undefined;
  readonly truncation: "truncate" | "drop";
  readonly completion_only_loss: boolean;
  readonly assistant_only_loss: boolean;
  readonly mask_history: boolean;
  readonly chat_template: string | undefined;
  readonly packing?: boolean;
  readonly packing_strategy?: PackingStrategy;
}

/** The rows of a file as tokens. */
export interface SequenceFile {
  readonly sequences: readonly Sequence[];
  /** The place of each one's row in the file, from 0. */
  readonly places: readonly number[];
  readonly report: TokenizeReport;
  /** Tokens that a row, or a packed sequence, has at most. */
  readonly maxLength: number;
  /** The template that its chats are rendered with; absent where there are none. */
  readonly chatTemplate?: string;
}

/**
 * Tokenises files for a model.
 * @param note called with what became of the rows of each
 */
export async function sequenceReader(
  model: Model,
  settings: DataSettings,
  note: (line: string) => void,
): Promise<(file: RowFile<Example>) => SequenceFile> {
  const tokenizer = requireTokenizer(model);
  const maxLength = settleMaxLength(model.config.maxPositions, settings.max_length, note);
  const { truncation, packing_strategy = "bfd" } = settings;
  const packing = settings.packing === true && packing_strategy;
  const options = {
    maxLength: lengthToKeep(maxLength, { packing, truncation }),
    truncation,
    maskPrompt: settings.completion_only_loss,
    assistantOnlyLoss: settings.assistant_only_loss,
    maskHistory: settings.mask_history,
    ...(settings.chat_template !== undefined && { chatTemplate: settings.chat_template }),
  };
  const templates = await withTemplateFile(model, settings.chat_template);
  const templateFor = templateChooser(templates, tokenizer, settings.chat_template);
  return ({ path, rows }) => {
    const result = inFile(path, () =>
      tokenizeExamples(rows, tokenizer, options, { ...templates, embeddingRows: model.config.vocabSize }),
    );
    const chats = rows.filter(isChat);
    const chatTemplate = chats.length > 0 ? templateFor(chats.every(usesTools)).source : undefined;
    for (const line of describeData(basename(path), result.report, maxLength)) note(line);
    return { ...result, maxLength, ...(chatTemplate !== undefined && { chatTemplate }) };
  };
}

/** Tokens a row has at most: what is asked for, or 1024, and never more than the model takes. */
export function settleMaxLength(
  positions: number,
  asked: number | undefined,
  note: (line: string) => void,
): number {
  if (asked !== undefined && asked > positions) {
    note(`max_length ${asked} is more than the model's ${positions} positions; ${positions} is used`);
  }
  return Math.min(asked ?? defaultMaxLength(positions), positions);
}

/** Runs `task`; its errors name the file. */
function inFile<T>(path: string, task: () => T): T {
  try {
    return task();
  } catch (error) {
    throw error instanceof LoraError ? new LoraError(error.kind, path, error) : error;
  }
}
