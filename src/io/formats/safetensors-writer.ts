import { failAll } from "../../util/fail.ts";
import {
  byteLength,
  DTYPE_BYTES,
  isDtype,
  isSizes,
  LENGTH_BYTES,
  type SafetensorsDtype,
  type TensorInfo,
} from "./safetensors.ts";

/** What the header says of a tensor to be written. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
}

/** A tensor to be written: `data` is row-major and little-endian. */
export interface TensorEntry extends TensorSpec {
  readonly data: Uint8Array;
}

/** A file before its data: write `header`, then the data of each tensor in this order. */
export interface SafetensorsPlan {
  /** Length field, JSON and padding. */
  readonly header: Uint8Array;
  /** The tensors in file order, with offsets from the file's start. */
  readonly tensors: readonly TensorInfo[];
  /** Bytes of the whole file. */
  readonly size: number;
}

/**
 * A safetensors file in memory, byte for byte what Python's `safetensors` writes for the same tensors.
 * `metadata` keeps its key order (Python's order of two or more keys is random). PEFT writes `{ format: "pt" }`.
 * Throws a LoraError that lists every bad name, dtype, shape or length.
 */
export function writeSafetensors(
  tensors: Iterable<TensorEntry>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const entries = [...tensors];
  failAll("writeSafetensors", [...specProblems(entries), ...entries.flatMap(lengthProblem)]);
  const plan = planSafetensors(entries, metadata);
  const data = new Map(entries.map((entry) => [entry.name, entry.data]));
  const file = new Uint8Array(plan.size);
  file.set(plan.header);
  for (const { name, begin } of plan.tensors) file.set(data.get(name)!, begin);
  return file;
}

/** Header and layout of a file whose data will be streamed. Throws as {@link writeSafetensors} does. */
export function planSafetensors(
  specs: Iterable<TensorSpec>,
  metadata?: Readonly<Record<string, string>>,
): SafetensorsPlan {
  const sorted = [...specs].sort(inFileOrder);
  failAll("planSafetensors", specProblems(sorted));
  const relative = layOut(sorted);
  const header = encodeHeader(relative, metadata);
  const shift = header.length;
  const tensors = relative.map((info) => ({ ...info, begin: info.begin + shift, end: info.end + shift }));
  return { header, tensors, size: tensors.at(-1)?.end ?? shift };
}

const DTYPE_ORDER = Object.keys(DTYPE_BYTES);
const encoder = new TextEncoder();

function inFileOrder(a: TensorSpec, b: TensorSpec): number {
  return DTYPE_ORDER.indexOf(b.dtype) - DTYPE_ORDER.indexOf(a.dtype) || compareUtf8(a.name, b.name);
}

/** Rust compares strings by their UTF-8 bytes; JavaScript's `<` goes by UTF-16 units, which differs beyond U+FFFF. */
function compareUtf8(a: string, b: string): number {
  const x = encoder.encode(a);
  const y = encoder.encode(b);
  const differs = x.findIndex((byte, i) => byte !== y[i]);
  if (differs < 0) return x.length - y.length;
  return x[differs]! - (y[differs] ?? -1);
}

/** Tensors one after another, with offsets from the data's start. */
function layOut(specs: readonly TensorSpec[]): TensorInfo[] {
  let begin = 0;
  return specs.map(({ name, dtype, shape }) => {
    const end = begin + byteLength(dtype, shape);
    const info = { name, dtype, shape, begin, end };
    begin = end;
    return info;
  });
}

function encodeHeader(
  tensors: readonly TensorInfo[],
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const pairs = tensors.map(
    ({ name, dtype, shape, begin, end }) => [name, { dtype, shape, data_offsets: [begin, end] }] as const,
  );
  // Joined by hand: an object would move names that look like array indices to the front.
  const parts = pairs.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  if (metadata) parts.unshift(`"__metadata__":${JSON.stringify(metadata)}`);
  const json = encoder.encode(`{${parts.join(",")}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(LENGTH_BYTES + padded).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(padded), true);
  header.set(json, LENGTH_BYTES);
  return header;
}

function specProblems(specs: readonly TensorSpec[]): string[] {
  const seen = new Set<string>();
  return specs.flatMap(({ name, dtype, shape }) => {
    const problems = [];
    if (name === "__metadata__") problems.push("__metadata__ is a reserved name, no tensor's");
    if (seen.has(name)) problems.push(`${name}: two tensors have this name`);
    if (!isDtype(dtype)) problems.push(`${name}: dtype ${JSON.stringify(dtype)} is unknown`);
    if (!isSizes(shape)) problems.push(`${name}: shape [${shape}] should hold whole numbers ≥ 0`);
    seen.add(name);
    return problems;
  });
}

function lengthProblem({ name, dtype, shape, data }: TensorEntry): string[] {
  const wanted = byteLength(dtype, shape);
  if (!isDtype(dtype) || data.length === wanted) return [];
  return [`${name}: ${data.length} bytes of data, but ${dtype} [${shape}] takes ${wanted}`];
}
