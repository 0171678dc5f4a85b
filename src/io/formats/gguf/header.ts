import { fail, failAll, Problems } from "../../../util/fail.ts";
import { shown } from "../../../util/shown.ts";
import { type FileSource, failMissing } from "../../files/files.ts";
import { type BlockType, blockFormat, blockType, tensorBytes } from "./block-formats.ts";
import { Cursor, EndOfBytes } from "./cursor.ts";
import {
  ALIGNMENT_KEY,
  aligned,
  DEFAULT_ALIGNMENT,
  type GgufMetadata,
  type GgufValue,
  MAGIC,
} from "./values.ts";

/** Where a tensor lies: bytes [begin, end) of the file. */
export interface GgufTensor {
  readonly name: string;
  readonly type: BlockType;
  /** Row-major: the last axis is the one that is contiguous, ggml's first. */
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** What stands before the data of a GGUF file. */
export interface GgufHeader {
  readonly version: number;
  readonly metadata: GgufMetadata;
  /** In file order. */
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

/** Bytes of the first read; a model's vocabulary takes several megabytes, an adapter's header a few kilobytes. */
const FIRST_READ_BYTES = 2 ** 16;
/** Metadata and tensor names may have so many; the largest published vocabularies take a tenth. */
const MAX_HEADER_BYTES = 2 ** 28;
const MAX_ENTRIES = 2 ** 16;
/** ggml's `GGML_MAX_DIMS`. */
const MAX_AXES = 4;
/** ggml's `GGML_MAX_NAME`, with the zero at the end of C's strings. */
const MAX_NAME_BYTES = 64;

const DAMAGED = "the file is damaged, cut off or no GGUF file; download or export it again";

/**
 * Reads and checks what stands before the tensors' data, of version 2 or 3.
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 * @throws LoraError that lists every problem
 */
export async function readGgufHeader(files: FileSource, name: string): Promise<GgufHeader> {
  const size = (await files.size(name)) ?? failMissing(files, name);
  const label = `${files.label}/${name}`;
  const most = Math.min(size, MAX_HEADER_BYTES);
  for (let length = Math.min(size, FIRST_READ_BYTES); ; length = Math.min(most, length * 4)) {
    try {
      return parseGgufHeader(await files.read(name, 0, length), size, label);
    } catch (error) {
      if (!(error instanceof EndOfBytes)) throw error;
      if (length < most) continue;
      if (most < size) fail(label, `metadata and names take more than ${MAX_HEADER_BYTES} bytes`, DAMAGED);
      fail(label, `the file ends within its metadata, at byte ${size}`, DAMAGED);
    }
  }
}

/**
 * The same of bytes in memory.
 * @param bytes the file's first ones
 * @param fileSize bytes of the whole file
 * @throws EndOfBytes where the header goes on beyond the bytes
 */
export function parseGgufHeader(bytes: Uint8Array, fileSize: number, label: string): GgufHeader {
  const cursor = new Cursor(bytes, (message) => fail(label, message, DAMAGED));
  const version = readVersion(cursor, fileSize, label);
  const tensorCount = readCount(cursor, "tensors", label);
  const entryCount = readCount(cursor, "entries of metadata", label);
  const problems = new Problems();
  const metadata = readMetadata(cursor, entryCount, problems);
  const alignment = readAlignment(metadata, problems);
  const entries = readEntries(cursor, tensorCount, problems);
  failAll(label, problems, DAMAGED);
  const tensors = placeTensors(entries, aligned(cursor.at, alignment), { alignment, fileSize, problems });
  failAll(label, problems, DAMAGED);
  return { version, metadata, tensors };
}

function readVersion(cursor: Cursor, fileSize: number, label: string): number {
  if (fileSize < 24) fail(label, `${fileSize} bytes are too few for a GGUF file`, DAMAGED);
  if (cursor.u32() !== MAGIC) fail(label, `it does not begin with "GGUF"`, DAMAGED);
  const version = cursor.u32();
  if (version === 2 || version === 3) return version;
  const swapped = version >>> 24;
  const big = swapped > 0 && (version & 0xffffff) === 0;
  const got = big ? `it is big-endian (version ${swapped})` : `its version is ${version}`;
  return fail(
    label,
    `${got}; read are versions 2 and 3, little-endian`,
    "export it again with a current llama.cpp",
  );
}

function readCount(cursor: Cursor, what: string, label: string): number {
  const count = cursor.size(what);
  if (count > MAX_ENTRIES)
    fail(label, `it would have ${count} ${what}; the limit is ${MAX_ENTRIES}`, DAMAGED);
  return count;
}

function readMetadata(cursor: Cursor, count: number, problems: Problems): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = cursor.name();
    const value = cursor.value(key);
    if (key === "") problems.push("an entry of the metadata has no name");
    if (metadata.has(key)) problems.push(`${key} is there twice in the metadata`);
    metadata.set(key, value);
  }
  return metadata;
}

function readAlignment(metadata: GgufMetadata, problems: Problems): number {
  const stated = metadata.get(ALIGNMENT_KEY);
  if (stated === undefined) return DEFAULT_ALIGNMENT;
  const { kind, value } = stated;
  if (kind === "u32" && typeof value === "number" && value > 0 && (value & (value - 1)) === 0) return value;
  const got = kind === "array" ? "a list" : shown(String(value));
  problems.push(`${ALIGNMENT_KEY} is ${got} (${kind}), expected a power of two (u32)`);
  return DEFAULT_ALIGNMENT;
}

/** A tensor as the header describes it: its offset counts from the first byte of data. */
interface Entry {
  readonly name: string;
  readonly type: BlockType;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly bytes: number;
}

function readEntries(cursor: Cursor, count: number, problems: Problems): Entry[] {
  const names = new Set<string>();
  const entries: Entry[] = [];
  for (let i = 0; i < count; i++) {
    const name = cursor.name();
    if (names.has(name)) problems.push(`${name}: two tensors have this name`);
    if (cursor.lastBytes >= MAX_NAME_BYTES) problems.push(`${name}: the name has ${cursor.lastBytes} bytes`);
    names.add(name);
    const axes = cursor.u32();
    if (axes < 1 || axes > MAX_AXES)
      cursor.refuse(`${name} would have ${axes} axes, expected 1 to ${MAX_AXES}`);
    const shape = Array.from({ length: axes }, () => cursor.size(`elements of ${name}`)).reverse();
    const id = cursor.u32();
    const offset = cursor.size(`bytes before ${name}`);
    const type = blockType(id);
    if (type === undefined) problems.push(`${name}: the type ${id} is unknown`);
    const bytes = type && tensorBytes(type, shape);
    if (type && bytes === undefined) problems.push(`${name}: ${shapeProblem(type, shape)}`);
    if (type && bytes !== undefined) entries.push({ name, type, shape, offset, bytes });
  }
  return entries;
}

function shapeProblem(type: BlockType, shape: readonly number[]): string {
  const { elements } = blockFormat(type);
  const divides = (shape.at(-1) ?? 1) % elements === 0;
  return divides
    ? `${type} [${shape}] is too large`
    : `rows of [${shape}] are no whole blocks of ${elements} (${type})`;
}

/** Data lie in the order of the header, each at the next multiple of the alignment, as llama.cpp demands. */
function placeTensors(
  entries: readonly Entry[],
  dataStart: number,
  { alignment, fileSize, problems }: { alignment: number; fileSize: number; problems: Problems },
): Map<string, GgufTensor> {
  const tensors = new Map<string, GgufTensor>();
  let expected = 0;
  let last = 0;
  for (const { name, type, shape, offset, bytes } of entries) {
    if (offset !== expected) problems.push(`${name}: its data begin at ${offset}, expected ${expected}`);
    last = expected + bytes;
    const begin = dataStart + expected;
    tensors.set(name, { name, type, shape, begin, end: begin + bytes });
    expected = aligned(last, alignment);
  }
  const end = entries.length === 0 ? fileSize : dataStart + last;
  if (end > fileSize) problems.push(`the tensors take ${end} bytes, but the file has only ${fileSize}`);
  const rest = fileSize - dataStart - expected;
  if (entries.length > 0 && rest > 0) problems.push(`${rest} bytes after the last tensor belong to none`);
  return tensors;
}
