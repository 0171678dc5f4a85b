import { float32View } from "../../../util/bytes.ts";
import type { FileSource } from "../../files/files.ts";
import { permuteRows } from "./architectures.ts";
import type { GgufTensor } from "./header.ts";

/** A tensor of a GGUF file and what tells it from transformers'. */
export interface StoredRows {
  readonly tensor: GgufTensor;
  /** Heads in each of which the rows stand in llama.cpp's order. */
  readonly heads?: number;
  /** What is taken from its values, which are F32 then: llama.cpp has w + 1 of some norms. */
  readonly offset: number;
}

/** Rows [first, end) in transformers' order, as bytes. Of a vector each value is a row. */
export async function readRows(
  files: FileSource,
  name: string,
  { tensor, heads, offset }: StoredRows,
  first: number,
  end: number,
): Promise<Uint8Array> {
  const { begin, shape } = tensor;
  const rows = shape[0] ?? 1;
  const width = (tensor.end - begin) / rows;
  const read = (from: number, to: number) => files.read(name, begin + from * width, begin + to * width);
  if (heads === undefined) return shifted(await read(first, end), offset);
  // Whole heads, in which the rows change places.
  const ofHead = rows / heads;
  const from = Math.floor(first / ofHead) * ofHead;
  const to = Math.ceil(end / ofHead) * ofHead;
  const stored = await read(from, to);
  const ordered = permuteRows(stored, { rows: to - from, heads: (to - from) / ofHead, direction: "in" });
  return ordered.subarray((first - from) * width, (end - from) * width);
}

/** Bytes [start, end) of the tensor in transformers' order. */
export async function readPart(
  files: FileSource,
  name: string,
  stored: StoredRows,
  start: number,
  end: number,
): Promise<Uint8Array> {
  const { tensor } = stored;
  const width = (tensor.end - tensor.begin) / (tensor.shape[0] ?? 1);
  const [first, last] = [Math.floor(start / width), Math.ceil(end / width)];
  const rows = await readRows(files, name, stored, first, last);
  return rows.subarray(start - first * width, end - first * width);
}

function shifted(bytes: Uint8Array, offset: number): Uint8Array {
  if (offset === 0) return bytes;
  return new Uint8Array(float32View(bytes).map((value) => value - offset).buffer);
}
