// What the page remembers of its run, so that a reload goes on: settings and curve in localStorage, rows, state and adapter in OPFS.
import { folderFiles, folderWriter, removeFolder } from "../../platform/web-folders.ts";
import { isObject } from "../../util/json.ts";
import { isChoice, type ModelChoice } from "./model-choice.ts";

/** What a run is set to. */
export interface RunSettings {
  /** A name among the page's methods. */
  readonly method: string;
  /** The rank, or what the method's size is called else. */
  readonly rank: number;
  /** `all-linear`, `default` for those that PEFT adapts, or names. */
  readonly targets: string;
  readonly maxSteps: number;
  readonly batchSize: number;
  readonly gradientAccumulationSteps: number;
  readonly learningRate: number;
  /** Tokens of an example at most. */
  readonly maxLength: number;
  readonly gradientCheckpointing: boolean;
  readonly activationBits: 8 | 32;
}

/** How the rows of a file are read. */
export interface RowReading {
  /** Whether those that cannot be read are left out. */
  readonly skipsBad: boolean;
  /** The column for each name that the engine knows, where they have other ones. */
  readonly columns?: Readonly<Record<string, string>> | undefined;
  /** Whether the first line of a table names the columns; so unless given. */
  readonly header?: boolean | undefined;
}

/** Rows to learn from, as a file. */
export interface KeptRows extends RowReading {
  readonly name: string;
  readonly content: Blob;
}

/** The loss of a step, nats; the first step is 1. */
export type CurvePoint = readonly [step: number, loss: number];

/** What the model said to one prompt while it learnt. */
export interface Sample {
  /** The last step before it. */
  readonly step: number;
  readonly text: string;
}

/** What is known of the run. */
export interface RunRecord extends RowReading {
  /** The model that learns. */
  readonly model: ModelChoice;
  readonly settings: RunSettings;
  /** What the adapter is called that it goes on from; absent where it begins anew. */
  readonly from?: string | undefined;
  /** What the rows' file is called. */
  readonly rowsName: string;
  /** Whether it is over: its adapter is saved then, and else its state. */
  isOver: boolean;
  readonly curve: CurvePoint[];
  /** What is asked as it learns. */
  readonly prompt: string;
  readonly samples: Sample[];
}

/** The number is that of its form: what another version of the page has kept is not read. */
const KEY = "webgpu-lora/page/3";
const FOLDER = "page";
const ROWS = "rows";

/** Where the engine keeps the state of the run. */
export const STATE_FOLDER = `${FOLDER}/run`;
/** Where the adapter lies when the run is over. */
export const ADAPTER_FOLDER = `${FOLDER}/adapter`;
/** What tabs claim, so that one of them trains. */
export const CLAIM = FOLDER;

/** Whether this page may keep files: not in some private windows, nor in Safari before 26. */
export async function canKeep(): Promise<boolean> {
  try {
    await navigator.storage.getDirectory();
    return "createWritable" in FileSystemFileHandle.prototype && localStorage !== null;
  } catch {
    return false;
  }
}

/** The run that this site has begun; undefined where there is none, or something else under its name. */
export function readRecord(): RunRecord | undefined {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    if (!isObject(kept) || !isChoice(kept.model) || !isObject(kept.settings)) return undefined;
    return kept as unknown as RunRecord;
  } catch {
    return undefined;
  }
}

/** Whether what goes on, or is shown again, is still there: browsers may clear files and leave the rest. */
export async function isStillKept({ isOver }: RunRecord): Promise<boolean> {
  const [folder, file] = isOver ? [ADAPTER_FOLDER, "adapter_config.json"] : [FOLDER, ROWS];
  return (
    (await folderFiles(folder)
      .size(file)
      .catch(() => undefined)) !== undefined
  );
}

/** Keeps what is known of the run. */
export function writeRecord(record: RunRecord): void {
  localStorage.setItem(KEY, JSON.stringify(record));
}

/**
 * Keeps a run that begins, and then forgets the one before.
 * @throws LoraError where the storage is full: the one before is then as it was
 */
export async function keepRecord(record: RunRecord, rows: KeptRows): Promise<void> {
  const content = new Uint8Array(await rows.content.arrayBuffer());
  await folderWriter(FOLDER).write(new Map([[ROWS, content]]));
  writeRecord(record);
  await removeFolder(STATE_FOLDER);
  await removeFolder(ADAPTER_FOLDER);
}

/** Forgets the run with all that is kept of it. */
export async function forgetRun(): Promise<void> {
  localStorage.removeItem(KEY);
  await removeFolder(FOLDER);
}

/** Marks the run as over: its adapter is saved, so that its state is of no use. */
export async function endRecord(record: RunRecord): Promise<void> {
  record.isOver = true;
  writeRecord(record);
  await removeFolder(STATE_FOLDER);
}

/** The rows of a run. @throws LoraError where they are gone */
export async function readKeptRows(record: RunRecord): Promise<KeptRows> {
  const files = folderFiles(FOLDER);
  const bytes = await files.read(ROWS, 0, (await files.size(ROWS)) ?? 0);
  return { name: record.rowsName, ...readingOf(record), content: new Blob([bytes as BlobPart]) };
}

/** The folder of the saved adapter. */
export async function adapterFolder(): Promise<FileSystemDirectoryHandle> {
  let folder = await navigator.storage.getDirectory();
  for (const name of ADAPTER_FOLDER.split("/")) folder = await folder.getDirectoryHandle(name);
  return folder;
}

/** How rows are read, of what says so beside other things. */
export function readingOf({ skipsBad, columns, header }: RowReading): RowReading {
  return { skipsBad, columns, header };
}
