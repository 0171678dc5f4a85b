import { fail, failAll, Problems } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { checkRange, type FileSource, failMissing } from "../files/files.ts";
import { numbersOf } from "../json/numbers.ts";
import { parseJson } from "../json/parse.ts";
import { isWhole, Place } from "../json/shape.ts";
import { checkStrict } from "../json/strict.ts";

/**
 * Bytes per element of each dtype, in the order of the reference implementation's `Dtype` enum: it sorts
 * tensors by this order, last first, so that every tensor is aligned to its element.
 */
export const DTYPE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

/** Element types of a safetensors file. */
export type SafetensorsDtype = keyof typeof DTYPE_BYTES;

/** Where one tensor lies in a file: row-major, little-endian, bytes [begin, end) counted from the file's start. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** The parsed header of a file: free text and the tensors in the order of the header. */
export interface SafetensorsHeader {
  readonly metadata: Record<string, string>;
  readonly tensors: Map<string, TensorInfo>;
  /** Offset of the first data byte from the file's start. */
  readonly dataStart: number;
}

/** Longest header the reference implementation accepts. */
const MAX_HEADER_BYTES = 100_000_000;

/** Tensors of one file, counted by the braces of the header: to read a million takes half a gigabyte. */
const MAX_TENSORS = 2 ** 16;

const OPEN_OBJECT = 0x7b;

/** Bytes of the little-endian u64 that precedes the header and holds its length. */
export const LENGTH_BYTES = 8;

/** One read of this size takes in the header of most files. */
const FIRST_READ_BYTES = 32 * 1024;

/**
 * Reads and checks the header of a file; touches no tensor data.
 * Throws a LoraError that lists every problem.
 */
export async function readHeader(files: FileSource, name: string): Promise<SafetensorsHeader> {
  const label = `${files.label}/${name}`;
  const size = (await files.size(name)) ?? failMissing(files, name);
  const first = await files.read(name, 0, Math.min(size, FIRST_READ_BYTES));
  const length = LENGTH_BYTES + headerLength(first, size, label);
  return parseHeader(length <= first.length ? first : await files.read(name, 0, length), size, label);
}

/**
 * Parses the header of a safetensors file and checks it against the file's size.
 * @param bytes the file's first bytes: at least the length field and the header
 * @param fileSize bytes of the whole file
 * @param label the file, for messages
 * Throws a LoraError that lists every problem. Format: https://github.com/huggingface/safetensors#format
 */
export function parseHeader(bytes: Uint8Array, fileSize: number, label: string): SafetensorsHeader {
  const dataStart = LENGTH_BYTES + headerLength(bytes, fileSize, label);
  checkRange({ label, name: "header", size: bytes.length, start: LENGTH_BYTES, end: dataStart });
  checkCount(bytes.subarray(LENGTH_BYTES, dataStart), label);
  const text = decodeHeader(bytes.subarray(LENGTH_BYTES, dataStart), label);
  const json = parseJson(text, label);
  if (!isObject(json)) fail(label, "the header is no JSON object", DAMAGED);
  failAll(label, strictProblems(json), DAMAGED);

  const problems = new Problems(spellingProblems(text));
  const { __metadata__: metadata, ...entries } = json;
  problems.add(metadataProblems(metadata));
  const tensors = readEntries(entries, dataStart, fileSize, problems);
  failAll(label, problems, DAMAGED);
  return { metadata: { ...(metadata as Record<string, string> | null | undefined) }, tensors, dataStart };
}

const DAMAGED = "the file is damaged, cut off or no safetensors file; download or export it again";

function headerLength(bytes: Uint8Array, fileSize: number, label: string): number {
  if (fileSize < LENGTH_BYTES || bytes.length < LENGTH_BYTES) {
    fail(label, `${fileSize} bytes are too few for a safetensors file (at least ${LENGTH_BYTES})`, DAMAGED);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > MAX_HEADER_BYTES) {
    const limit = `the header would be ${length} bytes long; the limit is ${MAX_HEADER_BYTES}`;
    fail(label, limit + lookalike(bytes), DAMAGED);
  }
  if (length > fileSize - LENGTH_BYTES) {
    fail(label, `the header would be ${length} bytes long, but the file has only ${fileSize} bytes`, DAMAGED);
  }
  return length;
}

/** Counts the objects of a header before they are parsed, which would take many times the memory. */
function checkCount(header: Uint8Array, label: string): void {
  let objects = 0;
  for (let at = header.indexOf(OPEN_OBJECT); at >= 0; at = header.indexOf(OPEN_OBJECT, at + 1)) objects++;
  if (objects <= MAX_TENSORS) return;
  fail(label, `the header describes ${objects - 1} tensors; the limit is ${MAX_TENSORS}`, DAMAGED);
}

function decodeHeader(bytes: Uint8Array, label: string): string {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return fail(label, "the header is not UTF-8", DAMAGED);
  }
  if (!text.startsWith("{")) fail(label, `the header must begin with "{"`, DAMAGED);
  return text;
}

/** What Rust's JSON reader refuses and JSON.parse takes: the file would be another one to each of them. */
function strictProblems(json: JsonObject): Problems {
  const place = new Place();
  checkStrict(json, place);
  return place.problems;
}

/** Whole numbers that are not written in digits alone, as sizes and offsets are: `1.0`, `1e2`, `-0`. */
function* spellingProblems(text: string): Generator<string> {
  for (const number of numbersOf(text)) {
    if (/^(?:0|-?[1-9]\d*)$/.test(number) || !Number.isInteger(Number(number))) continue;
    yield `${number} is a whole number that is not written in digits alone`;
  }
}

/** Tells a text that was saved in place of the weights: an error page, or the pointer file of Git LFS. */
function lookalike(bytes: Uint8Array): string {
  const start = new TextDecoder().decode(bytes.subarray(0, 40));
  return /^[ -~\s]+$/.test(start) ? `; it is a text that begins with ${JSON.stringify(start)}` : "";
}

function metadataProblems(metadata: unknown): string[] {
  if (metadata === undefined || metadata === null) return []; // MLX writes null; Python takes it for none
  if (!isObject(metadata)) return ["__metadata__ is no object of strings"];
  return Object.entries(metadata)
    .filter(([, value]) => typeof value !== "string")
    .map(([key, value]) => `__metadata__.${key} is ${JSON.stringify(value)}, expected a string`);
}

/** The tensors of the header, with absolute offsets; appends what is wrong to `problems`. */
function readEntries(
  entries: Record<string, unknown>,
  dataStart: number,
  fileSize: number,
  problems: Problems,
): Map<string, TensorInfo> {
  const tensors = new Map<string, TensorInfo>();
  const spans: Span[] = [];
  const dataBytes = fileSize - dataStart;
  for (const [name, entry] of Object.entries(entries)) {
    const span = readSpan(name, entry, dataBytes, problems);
    if (span) spans.push(span);
    const typed = readType(name, entry, span, problems);
    if (!span || !typed) continue;
    tensors.set(name, { name, ...typed, begin: dataStart + span.begin, end: dataStart + span.end });
  }
  const allKnown = spans.length === Object.keys(entries).length;
  if (allKnown) problems.add(layoutProblems(spans, dataBytes));
  return tensors;
}

/** Bytes of one tensor, counted from the data's start. */
interface Span {
  readonly name: string;
  readonly begin: number;
  readonly end: number;
}

function readSpan(name: string, entry: unknown, dataBytes: number, problems: Problems): Span | undefined {
  const offsets: unknown = isObject(entry) ? entry.data_offsets : undefined;
  const refuse = (what: string): undefined =>
    void problems.push(`${name}: data_offsets ${JSON.stringify(offsets)} ${what}`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    return refuse("should be two whole numbers, [begin, end]");
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) return refuse("end before they begin");
  if (end > dataBytes) return refuse(`reach beyond the ${dataBytes} data bytes of the file`);
  return { name, begin, end };
}

function readType(
  name: string,
  entry: unknown,
  span: Span | undefined,
  problems: Problems,
): Pick<TensorInfo, "dtype" | "shape"> | undefined {
  const { dtype, shape }: Record<string, unknown> = isObject(entry) ? entry : {};
  const typeProblems = [];
  if (!isDtype(dtype)) {
    typeProblems.push(`dtype ${JSON.stringify(dtype)} is unknown (${Object.keys(DTYPE_BYTES).join(", ")})`);
  }
  if (!isSizes(shape)) {
    typeProblems.push(`shape ${JSON.stringify(shape)} should be a list of whole numbers ≥ 0`);
  }
  problems.add(typeProblems.map((problem) => `${name}: ${problem}`));
  if (!isDtype(dtype) || !isSizes(shape)) return undefined;

  const bytes = byteLength(dtype, shape);
  if (overflows(dtype, shape)) problems.push(`${name}: ${dtype} [${shape}] is too large`);
  else if (span && span.end - span.begin !== bytes) {
    problems.push(
      `${name}: ${dtype} [${shape}] takes ${bytes} bytes, but data_offsets span ${span.end - span.begin}`,
    );
  }
  return { dtype, shape };
}

/** The data must be covered without overlap, gap or rest. */
function* layoutProblems(spans: readonly Span[], dataBytes: number): Generator<string> {
  const sorted = spans.toSorted((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const { name, begin, end } of sorted) {
    if (begin > covered) yield `${name}: a gap of ${begin - covered} bytes before its data`;
    if (begin < covered) yield `${name}: its data overlap the tensor before by ${covered - begin} bytes`;
    covered = Math.max(covered, end);
  }
  if (covered < dataBytes) yield `${dataBytes - covered} bytes after the last tensor belong to none`;
}

/** Bytes that a tensor takes. */
export function byteLength(dtype: SafetensorsDtype, shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1) * DTYPE_BYTES[dtype];
}

/** Whether a product of sizes is beyond what can be counted, even where a size of 0 follows. */
function overflows(dtype: SafetensorsDtype, shape: readonly number[]): boolean {
  return shape.some((_, i) => !Number.isSafeInteger(byteLength(dtype, shape.slice(0, i + 1))));
}

/** Whether `value` names a dtype of this format. */
export function isDtype(value: unknown): value is SafetensorsDtype {
  return typeof value === "string" && Object.hasOwn(DTYPE_BYTES, value);
}

/** Whether `value` is a list of whole numbers ≥ 0, as shapes and offsets are. */
export function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => isWhole(size, Number.MAX_SAFE_INTEGER));
}
