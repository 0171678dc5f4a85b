import { callback, checkOptions, flag, objectOf, oneOf, type Rule, type Rules } from "../../util/options.ts";
import { type Mixture, STOPPING_STRATEGIES } from "../feed/order.ts";
import { type Example, exampleReader, type TextExample } from "../rows/examples.ts";
import {
  labelledTextReader,
  PAIRED_TEXTS_READER,
  type PairedTexts,
  TAGGED_WORDS_READER,
  type TaggedWords,
  TEXT_READER,
  type TextWithLabel,
} from "../rows/labelled.ts";
import { type PreferenceRow, preferenceReader } from "../rows/preferences.ts";
import { PROMPT_READER, type PromptRow } from "../rows/prompts.ts";
import type { RowReader } from "../rows/rows.ts";
import { blobSpill, type DataFile } from "./data-file.ts";
import { type FileRows, type ReadOptions, readFileRows } from "./file-rows.ts";
import type { Spill } from "./indexed-rows.ts";
import { openRowStream, type RowStream } from "./row-stream.ts";

/** What rows can be read as, and what each is then. */
export interface RowsAs {
  /** Of language modelling: texts, prompts with completions, chats, tokens. */
  examples: Example;
  /** Such as say which answers are better. */
  preferences: PreferenceRow;
  /** For `sequence-classification`. */
  "labelled-texts": TextWithLabel;
  /** For `token-classification`. */
  "tagged-words": TaggedWords;
  /** For `sentence-embedding`. */
  "paired-texts": PairedTexts;
  /** For `masked-lm`. */
  texts: TextExample;
  /** What is to be continued or answered. */
  prompts: PromptRow;
}

const READERS: { readonly [K in keyof RowsAs]: () => RowReader<RowsAs[K]> } = {
  examples: exampleReader,
  preferences: preferenceReader,
  "labelled-texts": labelledTextReader,
  "tagged-words": () => TAGGED_WORDS_READER,
  "paired-texts": () => PAIRED_TEXTS_READER,
  texts: () => TEXT_READER,
  prompts: () => PROMPT_READER,
};

/** Options of {@link readRows}. */
export interface ReadRowsOptions<K extends keyof RowsAs = "examples"> extends ReadOptions {
  /** What the rows are read as; `examples` unless given. */
  readonly as?: K;
}

/** Options of {@link streamRows}. */
export interface StreamRowsOptions<K extends keyof RowsAs = "examples">
  extends ReadRowsOptions<K>,
    Omit<Mixture, "lengths"> {
  /** Where to unpack what cannot be read at any place (gzip, Parquet); into a Blob unless given. */
  readonly spill?: Spill;
}

const COLUMNS: Rule = objectOf('a column for each name, such as { prompt: "question" }', (columns) =>
  Object.values(columns).every((column) => typeof column === "string"),
);

const READ_RULES: Rules<ReadRowsOptions> = {
  as: oneOf(Object.keys(READERS), "task"),
  columns: COLUMNS,
  onBadRow: oneOf(["error", "skip"], "on_bad_row"),
  header: flag(),
};

const STREAM_RULES: Rules<StreamRowsOptions> = {
  ...READ_RULES,
  weights: {
    wanted: "a number for each file",
    accepts: (value) =>
      Array.isArray(value) && value.every((weight) => Number.isFinite(weight) && weight >= 0),
    aliases: ["probabilities", "data_weights"],
  },
  stopping: oneOf(STOPPING_STRATEGIES, "stopping_strategy"),
  spill: callback(),
};

/**
 * Reads all rows of a file into memory: JSON Lines, a JSON list, CSV or TSV, Parquet or plain text, also packed with gzip. The content
 * tells what is packed, the name's ending the rest.
 * @param file such as {@link blobFile} makes
 * @throws LoraError naming every row that cannot be used, or saying that the file has none, is cut off or damaged
 */
export async function readRows<K extends keyof RowsAs = "examples">(
  file: DataFile,
  options: ReadRowsOptions<K> = {},
): Promise<FileRows<RowsAs[K]>> {
  checkOptions("readRows", options, READ_RULES as Rules<ReadRowsOptions<K>>);
  const { as = "examples" as K, ...how } = options;
  return readFileRows(file, READERS[as]() as RowReader<RowsAs[K]>, how);
}

/**
 * Finds where the rows of files stand, and no more: `train`, `evaluate` and `inspectData` read each when they need it, so that files may
 * be larger than memory.
 * @param files several are used together, one behind another, or by their `weights`
 * @throws LoraError where one has no rows, is cut off or damaged
 */
export async function streamRows<K extends keyof RowsAs = "examples">(
  files: DataFile | readonly DataFile[],
  options: StreamRowsOptions<K> = {},
): Promise<RowStream<RowsAs[K]>> {
  checkOptions("streamRows", options, STREAM_RULES as Rules<StreamRowsOptions<K>>);
  const { as = "examples" as K, spill = blobSpill, ...how } = options;
  const reader = READERS[as] as () => RowReader<RowsAs[K]>;
  const all = "pieces" in files ? [files] : files;
  const { train } = await openRowStream(all, reader, { ...how, spill });
  return train;
}
