import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { StoppingStrategy } from "../data/feed/order.ts";
import { openRowStream, type RowStream, rowsOf } from "../data/files/row-stream.ts";
import { labelNames } from "../data/rows/labelled.ts";
import type { RowReader } from "../data/rows/rows.ts";
import { nodeDataFile } from "../platform/node-data-file.ts";
import { nodeSpill } from "../platform/node-spill.ts";
import { fail } from "../util/fail.ts";
import {
  findTables,
  findTestTable,
  isTableOfCells,
  type ReadSettings,
  type RowFile,
  readAll,
  readOptionsOf,
  readTable,
  splitRows,
} from "./data-files.ts";
import { count } from "./format.ts";

/** Settings that say what a model is judged by, and how it is read. */
export interface TestData extends ReadSettings {
  readonly data: string;
  /** Whether rows are read when they are needed; those of large files unless given. */
  readonly streaming?: boolean | undefined;
  /** Names of the classes, where they are known. */
  readonly labels?: readonly string[];
}

/** Settings that say what a model learns from. */
export interface TrainingData extends ReadSettings {
  readonly data: readonly string[];
  /** How many rows of each are drawn, in proportion; all rows of all of them where there are none. */
  readonly data_weights: readonly number[];
  readonly stopping_strategy: StoppingStrategy;
  readonly eval_data: string | undefined;
  /** Share of the rows that is held out to judge by. */
  readonly valid_split: number;
  /** Whether rows are read when they are needed; those of large files unless given. */
  readonly streaming?: boolean | undefined;
  /** Names of the classes, where they are known. */
  readonly labels?: readonly string[];
}

/** What a task takes from tables. */
export interface TableParts<R extends object> {
  reader(): RowReader<R>;
  /** Why it cannot be a table of cells, where it cannot. */
  readonly noCells?: string;
  /** Classes of rows. */
  readonly labels?: (rows: readonly R[]) => readonly string[];
}

/** What is learnt from, and what is judged by. */
export interface Parts<R> {
  readonly train: R;
  readonly valid: R | undefined;
}

/** How tasks on tables read their files. */
export function tables<R extends object>(parts: TableParts<R>) {
  const { reader, noCells, labels } = parts;
  const reads = (settings: ReadSettings) => (path: string) => readTable(path, reader(), settings);
  const find = async (settings: TrainingData) => {
    const paths = await trainingPaths(settings);
    const cells = noCells === undefined ? undefined : [...paths.train, ...paths.valid].find(isTableOfCells);
    if (cells !== undefined) fail("data", `${cells} cannot be used`, noCells);
    return paths;
  };
  const readTables = async (settings: TrainingData): Promise<Parts<RowFile<R>>> => {
    const paths = await find(settings);
    const files = await readAll([...paths.train, ...paths.valid], reads(settings));
    const learnt = files.slice(0, paths.train.length);
    if (settings.valid_split === 0) return both(learnt, files.slice(learnt.length), settings);
    const split = learnt.map((file) => splitRows(file, settings.valid_split));
    return both(
      split.map(([train]) => train),
      split.map(([, held]) => held),
      settings,
    );
  };
  return {
    ...(labels && { labels }),
    /** All rows, in memory. */
    readTables,
    /** The rows, or where they are when they are needed. */
    async readTraining(settings: TrainingData): Promise<Parts<Rows<R>>> {
      const paths = await find(settings);
      const isStreamed = settings.streaming ?? (await areLarge(paths.train));
      const isJudgedStreamed = settings.streaming !== false && (await areLarge(paths.valid));
      if (!isStreamed && !isJudgedStreamed) return readTables(settings);
      const { train, held } = isStreamed
        ? await openStream(parts, paths.train, settings)
        : { train: both(await readAll(paths.train, reads(settings)), [], settings).train, held: undefined };
      const valid = isJudgedStreamed
        ? (await openStream(parts, paths.valid, JUDGED(settings))).train
        : joined(await readAll(paths.valid, reads(settings)));
      return { train, valid: held ?? valid };
    },
    async readTest(settings: TestData): Promise<Rows<R>> {
      const path = await findTestTable(settings.data);
      if (noCells !== undefined && isTableOfCells(path)) fail("data", `${path} cannot be used`, noCells);
      const isStreamed = settings.streaming ?? (await areLarge([path]));
      return isStreamed ? (await openStream(parts, [path], JUDGED(settings))).train : reads(settings)(path);
    },
  };
}

/** Rows in memory, or where they are when they are needed. */
export type Rows<R> = RowFile<R> | RowStream<R>;

type StreamSettings = ReadSettings &
  Pick<TrainingData, "data_weights" | "stopping_strategy" | "valid_split" | "labels">;

/** Rows to judge by are all read, in their order. */
const JUDGED = (settings: ReadSettings & Pick<TestData, "labels">): StreamSettings => ({
  ...settings,
  data_weights: [],
  stopping_strategy: "first_exhausted",
  valid_split: 0,
});

async function openStream<R extends object>(
  { reader, labels }: TableParts<R>,
  paths: readonly string[],
  settings: StreamSettings,
): Promise<{ train: RowStream<R>; held: RowStream<R> | undefined }> {
  const { valid_split: validSplit, stopping_strategy: stopping } = settings;
  const classes = new Set<string>(settings.labels);
  const looksForClasses = labels !== undefined && classes.size === 0;
  const onRow = (row: R) => {
    for (const label of labels?.([row]) ?? []) classes.add(label);
  };
  const isSurveyed = validSplit > 0 || looksForClasses;
  const files = [];
  for (const path of paths) files.push(await nodeDataFile(path));
  const { train, held } = await openRowStream(files, reader, {
    ...readOptionsOf(settings),
    ...{ weights: weightsOf(settings), stopping, spill: nodeSpill },
    ...(isSurveyed && { survey: { validSplit, ...(looksForClasses && { onRow }) } }),
  });
  const [learnt, judged] = [rowsOf(train), held ? rowsOf(held) : 0];
  if (held && (judged === 0 || learnt === 0)) {
    const what = `${validSplit} of the rows of ${train.path} leaves ${count(learnt)} to learn from and ${count(judged)} to judge by`;
    fail("valid_split", what, "give another share, or a file with --eval-data");
  }
  return { train: labels ? Object.assign(train, { labels: labelNames(classes) }) : train, held };
}

/** Files from here on are not held in memory; packed ones become some four times their size. */
const LARGE_BYTES = 2 ** 24;
const UNPACKED = 4;

async function areLarge(paths: readonly string[]): Promise<boolean> {
  let bytes = 0;
  for (const path of paths) {
    const { size } = await stat(path);
    bytes += /\.(gz|parquet)$/i.test(path) ? UNPACKED * size : size;
  }
  return bytes > LARGE_BYTES;
}

/** The files to learn from, and those to judge by. */
async function trainingPaths({ data, eval_data, valid_split, ...weights }: TrainingData) {
  checkWeights(data, weights);
  const found = [];
  for (const path of data) found.push(await findTables(path));
  const evalPath = eval_data === undefined ? undefined : await findTestTable(eval_data, "eval_data");
  const beside = found.flatMap(({ valid }) => (valid === undefined ? [] : [valid]));
  const valid = evalPath === undefined ? beside : [evalPath];
  if (valid_split > 0 && valid.length > 0) {
    fail("valid_split", `${valid[0]} is there to judge by`, "leave one of them out");
  }
  return { train: found.map(({ train }) => train), valid };
}

function checkWeights(
  data: readonly string[],
  { data_weights: weights }: Pick<TrainingData, "data_weights">,
): void {
  if (weights.length === 0) return;
  if (weights.length !== data.length) {
    const got = `there are ${weights.length} weights for ${data.length} data sets`;
    fail("data_weights", got, "give one for each --data, in their order");
  }
  if (data.length === 1) fail("data_weights", "there is one data set", "leave it out");
  if (weights.every((weight) => weight === 0)) fail("data_weights", "all are 0", "give one above 0");
}

const weightsOf = ({ data_weights }: Pick<TrainingData, "data_weights">) =>
  data_weights.length > 0 ? data_weights : undefined;

function both<R>(
  train: readonly RowFile<R>[],
  valid: readonly RowFile<R>[],
  settings: TrainingData,
): Parts<RowFile<R>> {
  return { train: joined(train, settings) as RowFile<R>, valid: joined(valid) };
}

/** Files as one, of whose rows so many are drawn; undefined where there are none. */
function joined<R>(files: readonly RowFile<R>[], settings?: TrainingData): RowFile<R> | undefined {
  const [first, ...others] = files;
  if (first === undefined || others.length === 0) return first;
  const text = files.find(({ isPlainText }) => isPlainText);
  if (text && !files.every(({ isPlainText }) => isPlainText)) {
    fail("data", `${text.path} is plain text, and others have rows`, 'write it as rows: {"text": "…"}');
  }
  const lengths = files.map(({ rows }) => rows.length);
  const starts = lengths.map((_, i) => lengths.slice(0, i).reduce((sum, length) => sum + length, 0));
  const setOf = (place: number) => starts.findLastIndex((start) => start <= place);
  return {
    path: files.map(({ path }) => basename(path)).join(" + "),
    rows: files.flatMap(({ rows }) => rows),
    ...(text && { isPlainText: true }),
    nameOf: (place) => files[setOf(place)]?.nameOf(place - (starts[setOf(place)] as number)) ?? "",
    notes: files.flatMap(({ notes = [] }) => notes),
    ...(settings && {
      sets: {
        names: files.map(({ path }) => path),
        lengths,
        weights: weightsOf(settings),
        stopping: settings.stopping_strategy,
      },
    }),
  };
}
