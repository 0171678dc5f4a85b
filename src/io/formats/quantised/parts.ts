import type { Decoding } from "../../../kernels/formats.ts";
import { partSizes } from "../../../kernels/weight.ts";
import type { CheckpointTensor } from "../checkpoint.ts";
import type { PackedMatrix } from "../packed.ts";
import type { StoredLayer } from "./stored-layer.ts";

/** Bytes [start, end) of one part of a weight, as it lies on the device; what lies behind its end is zeros. */
export type Part = (start: number, end: number) => Promise<Uint8Array>;

/** The parts of a weight; see `QuantisedParts`. */
export interface Parts {
  readonly words: Part;
  readonly scales: Part;
  readonly zeros?: Part | undefined;
}

/** A matrix whose parts are there one by one. */
export function packedOf(
  type: string,
  decoding: Decoding,
  columns: number,
  { words, scales, zeros }: Parts,
): PackedMatrix {
  const { format, block, scales: scaleFormat, zeros: zeroFormat } = decoding;
  const until = (rows: number) => partSizes(rows * columns, { format, block, scaleFormat, zeroFormat });
  return {
    type,
    decoding,
    async read(first, end) {
      const [from, to] = [until(first), until(end)];
      const run = async (part: Part, start: number, end: number) =>
        inWords(await part(4 * start, 4 * end), end - start);
      return {
        words: await run(words, from.words, to.words),
        scales: await run(scales, from.scales, to.scales),
        // What nested scales need comes as a whole, with all rows.
        zeros: zeros && (await run(zeros, first === 0 ? 0 : from.zeros, to.zeros)),
      };
    },
  };
}

function inWords({ length, buffer, byteOffset }: Uint8Array, count: number): Uint32Array {
  if (length === 4 * count && byteOffset % 4 === 0) return new Uint32Array(buffer, byteOffset, count);
  const words = new Uint32Array(count);
  new Uint8Array(words.buffer).set(new Uint8Array(buffer, byteOffset, length));
  return words;
}

/** A tensor's bytes as they are, or changed into as many others. */
export function stored(
  layer: StoredLayer,
  tensor: CheckpointTensor,
  change: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes,
): Part {
  const size = tensor.end - tensor.begin;
  return async (start, end) => change(await layer.read(tensor, Math.min(start, size), Math.min(end, size)));
}

/** What is made of whole tensors when its first bytes are asked for, and kept until its last ones are. */
export function made(make: () => Promise<ArrayBufferView>): Part {
  let kept: Promise<ArrayBufferView> | undefined;
  return async (start, end) => {
    kept ??= make();
    const { buffer, byteOffset, byteLength } = await kept;
    if (end >= byteLength) kept = undefined;
    const [from, to] = [Math.min(start, byteLength), Math.min(end, byteLength)];
    return new Uint8Array(buffer as ArrayBuffer, byteOffset + from, to - from);
  };
}
