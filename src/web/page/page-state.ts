// What of the user's choices outlives a reload, beside the run: which model, which settings, which rows, which adapter.
import { folderFiles, folderWriter, removeFolder } from "../../platform/web-folders.ts";
import { type KeptRows, type RowReading, type RunSettings, readingOf } from "./kept-run.ts";
import { isChoice, type ModelChoice } from "./model-choice.ts";

/** What is remembered in localStorage. */
interface Chosen extends Partial<RowReading> {
  readonly model?: ModelChoice | undefined;
  /** The settings, and the model that they were chosen for. */
  readonly settings?: { readonly of: ModelChoice; readonly values: RunSettings } | undefined;
  /** What the file of the rows is called, where they are kept. */
  readonly rowsName?: string | undefined;
  /** What an adapter is called that was opened, where it is kept. */
  readonly adapter?: string | undefined;
  /** What is asked and taken away: an adapter that was opened, or what was trained here; the later of both. */
  readonly shows?: "adapter" | "run" | undefined;
  /** Bytes of memory that the device has, as the user says. */
  readonly memory?: number | undefined;
}

/** The number is that of its form: what another version of the page has kept is not read. */
const KEY = "webgpu-lora/chosen/1";
const ROWS_FOLDER = "page-rows";
const ROWS = "rows";
const ADAPTER_FOLDER = "page-adapter";

/** What was chosen; nothing where the browser keeps nothing, or something else under this name. */
export function chosen(): Chosen {
  try {
    const { model, ...others } = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Chosen;
    return isChoice(model) ? { ...others, model } : others;
  } catch {
    return {};
  }
}

/** Remembers choices beside those from before. */
export function choose(more: Chosen): void {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...chosen(), ...more }));
  } catch {
    // A window that keeps nothing begins anew.
  }
}

/** Keeps rows. @throws LoraError where the storage is full: those from before are then as they were */
export async function keepRows(rows: KeptRows): Promise<void> {
  const bytes = new Uint8Array(await rows.content.arrayBuffer());
  await folderWriter(ROWS_FOLDER).write(new Map([[ROWS, bytes]]));
  choose({ rowsName: rows.name, ...readingOf(rows) });
}

/** The rows that are kept, or undefined. */
export async function keptRows(): Promise<KeptRows | undefined> {
  const { rowsName: name, skipsBad = false, ...others } = chosen();
  if (name === undefined) return undefined;
  const files = folderFiles(ROWS_FOLDER);
  const size = await files.size(ROWS);
  if (size === undefined) return undefined;
  const content = new Blob([(await files.read(ROWS, 0, size)) as BlobPart]);
  return { name, content, ...readingOf({ ...others, skipsBad }) };
}

/** Keeps the files of an adapter. @throws LoraError where the storage is full */
export async function keepAdapter(name: string, files: ReadonlyMap<string, Blob>): Promise<void> {
  const read = [...files].map(
    async ([path, blob]) => [path, new Uint8Array(await blob.arrayBuffer())] as const,
  );
  const contents = new Map(await Promise.all(read));
  await removeFolder(ADAPTER_FOLDER);
  await folderWriter(ADAPTER_FOLDER).write(contents);
  choose({ adapter: name });
}

/** The folder of the adapter that is kept. */
export async function keptAdapterFolder(): Promise<FileSystemDirectoryHandle> {
  return (await navigator.storage.getDirectory()).getDirectoryHandle(ADAPTER_FOLDER);
}

/** Whether its files are still there: browsers may clear them and leave the rest. */
export async function isAdapterKept(): Promise<boolean> {
  return keptAdapterFolder().then(
    () => true,
    () => false,
  );
}

/** Forgets the adapter. */
export async function forgetAdapter(): Promise<void> {
  choose({ adapter: undefined });
  await removeFolder(ADAPTER_FOLDER);
}
