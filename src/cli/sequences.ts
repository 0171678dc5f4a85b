import { basename } from "node:path";
import { loadChats } from "../data/chat/late-chats.ts";
import { templateChooser } from "../data/chat/template-chooser.ts";
import { DataInspector } from "../data/inspect/inspector.ts";
import { lengthToKeep, type PackingStrategy } from "../data/packing.ts";
import { type Example, isChat, usesTools } from "../data/rows/examples.ts";
import { labelTokens, type Sequence, windowsOf } from "../data/sequence.ts";
import { encodeRows } from "../data/tokenize/encode-rows.ts";
import { type RowEncoding, settleMaxLength } from "../data/tokenize/row-encoding.ts";
import { tokenizeExamples } from "../data/tokenize/tokenize.ts";
import type { TokenizeReport } from "../data/tokenize/tokenize-report.ts";
import type { Truncation } from "../data/tokenize/truncation.ts";
import { requireTokenizer } from "../load/model.ts";
import type { ModelText } from "../load/model-text.ts";
import { LoraError } from "../util/fail.ts";
import { withTemplateFile } from "./chat-template.ts";
import type { RowFile } from "./data-files.ts";
import { refuseErrors, shortFindings } from "./findings.ts";
import { count, describeData } from "./format.ts";
import type { PreferenceSettings } from "./preference-settings.ts";

/** Settings that say what becomes of the rows. */
export interface DataSettings extends Partial<PreferenceSettings> {
  readonly max_length: number | undefined;
  readonly truncation: Truncation;
  readonly completion_only_loss: boolean;
  readonly assistant_only_loss: boolean;
  readonly mask_history: boolean;
  readonly chat_template: string | undefined;
  readonly packing?: boolean;
  readonly packing_strategy?: PackingStrategy;
  /** Stop where training would be useless; absent where nothing is learnt. */
  readonly check_data?: boolean;
  /** Keys of the rows that the model is judged by, which should not be among these. */
  readonly judged?: ReadonlySet<number>;
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
  /** A key for each row; absent for windows of a plain text. */
  readonly keys?: ReadonlySet<number>;
}

/** What settings say about rows for a model; what they say too much is noted. */
export async function rowEncoding(
  model: ModelText,
  settings: DataSettings,
  note: (line: string) => void,
): Promise<RowEncoding> {
  await loadChats();
  const { maxPositions, vocabSize: embeddingRows } = model.config;
  const { truncation, packing_strategy = "bfd" } = settings;
  const templates = await withTemplateFile(model, settings.chat_template);
  const maxLength = settleMaxLength(maxPositions, settings.max_length, note);
  const packing = settings.packing === true && packing_strategy;
  const options = {
    maxLength: lengthToKeep(maxLength, { packing, truncation }),
    truncation,
    maskPrompt: settings.completion_only_loss,
    assistantOnlyLoss: settings.assistant_only_loss,
    maskHistory: settings.mask_history,
    ...(settings.chat_template !== undefined && { chatTemplate: settings.chat_template }),
  };
  return { tokenizer: requireTokenizer(model), maxLength, options, model: { ...templates, embeddingRows } };
}

/** Looks at rows that are encoded so. */
export function rowInspector(
  { tokenizer, options, model }: RowEncoding,
  judged?: ReadonlySet<number>,
): DataInspector {
  const { maxLength } = options;
  const { embeddingRows } = model;
  return new DataInspector({ tokenizer, maxLength, embeddingRows, ...(judged && { judged }) });
}

/**
 * Tokenises files for a model.
 * @param note called with what became of the rows of each, and what is odd about them
 */
export async function sequenceReader(
  model: ModelText,
  settings: DataSettings,
  note: (line: string) => void,
): Promise<(file: RowFile<Example>) => SequenceFile> {
  const encoding = await rowEncoding(model, settings, note);
  const { tokenizer, maxLength, options } = encoding;
  const templateFor = templateChooser(encoding.model, tokenizer, settings.chat_template);
  return (file) => {
    if (file.isPlainText) return inFile(file.path, () => textWindows(file, encoding, note));
    const { path, rows } = file;
    const inspector = rowInspector(encoding, settings.judged);
    const result = inFile(path, () => {
      if (settings.check_data) checkSample(file, encoding);
      return tokenizeExamples(rows, tokenizer, options, encoding.model, (row) => inspector.add(row));
    });
    const chats = rows.filter(isChat);
    const chatTemplate = chats.length > 0 ? templateFor(chats.every(usesTools)).source : undefined;
    for (const line of describeData(basename(path), result.report, maxLength)) note(line);
    const report = inspector.report(file.nameOf);
    if (settings.check_data) refuseErrors(path, report);
    shortFindings(report).forEach(note);
    return {
      ...result,
      maxLength,
      keys: inspector.keys,
      ...(chatTemplate !== undefined && { chatTemplate }),
    };
  };
}

/** A plain text in windows of tokens: its rows go on in each other, so that none is cut or ends with the EOS token. */
function textWindows(
  { path, rows }: RowFile<Example>,
  { tokenizer, maxLength, options, model }: RowEncoding,
  note: (line: string) => void,
): SequenceFile {
  const whole = { ...options, maxLength: lengthToKeep(maxLength, { packing: "wrapped" }), appendEos: false };
  const result = tokenizeExamples(rows, tokenizer, whole, model);
  const windows = result.sequences.map((sequence) => windowsOf(sequence, maxLength));
  const sequences = windows.flat();
  const places = windows.flatMap((of, i) => of.map(() => result.places[i] as number));
  const trained = sequences.reduce((sum, sequence) => sum + labelTokens(sequence), 0);
  const { tokens } = result.report;
  note(
    `${basename(path)}: plain text in ${count(sequences.length)} windows of max_length ${maxLength}, ${count(tokens)} tokens, ${count(trained)} of them trained`,
  );
  return { sequences, places, report: { ...result.report, labelTokens: trained }, maxLength };
}

/** Rows that are looked at before the others, where there are many: what is wrong with all of them is told at once. */
const SAMPLE = 500;

/** @throws LoraError where a sample of many rows shows that training would be useless */
function checkSample({ path, rows, nameOf }: RowFile<Example>, encoding: RowEncoding): void {
  if (rows.length < 4 * SAMPLE) return;
  const places = Array.from({ length: SAMPLE }, (_, i) => Math.floor((i * rows.length) / SAMPLE));
  const sample = places.map((place) => rows[place] as Example);
  const inspector = rowInspector(encoding);
  const { tokenizer, options, model } = encoding;
  for (const row of encodeRows("tokenizeExamples", sample, tokenizer, options, model)) inspector.add(row);
  refuseErrors(
    `${path}, a sample of ${SAMPLE} rows`,
    inspector.report((at) => nameOf(places[at] as number)),
  );
}

/** Runs `task`; its errors name the file. */
function inFile<T>(path: string, task: () => T): T {
  try {
    return task();
  } catch (error) {
    throw error instanceof LoraError ? new LoraError(error.kind, path, error) : error;
  }
}
