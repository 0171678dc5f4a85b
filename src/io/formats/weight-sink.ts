import type { Tensor } from "../../gpu/tensor.ts";
import type { WeightFormat } from "../../kernels/formats.ts";
import { partSizes, partsOf, QuantisedWeight, type Weight } from "../../kernels/weight.ts";
import { decodeBf16, decodeF16 } from "../../util/half.ts";
import { late } from "../../util/late.ts";
import { type PackedRows, rowsOfRun } from "./packed.ts";
import type { WeightSink } from "./sink.ts";

/** What quantises on the way: loaded before anything is, by whoever wants that. */
export const QUANTISING = late(() => import("./quantising-sink.ts"));

/** Fills a weight with values that are stored as f32, bf16 or f16; one in fewer bits once {@link QUANTISING} is loaded. */
export function sinkInto(weight: Weight, stored: "f32" | "bf16" | "f16"): WeightSink {
  if (weight instanceof QuantisedWeight) return QUANTISING.loaded().quantisingSink(weight, stored);
  return copying(weight as Tensor, stored);
}

/** Where rows go that are quantised in the file already. */
export interface RowSink extends Pick<WeightSink, "finish" | "skip" | "release"> {
  readonly weight: QuantisedWeight;
  /** Rows of all runs but the last are a multiple of this. */
  readonly unit: number;
  /** @param first number of the first row, a multiple of {@link unit} */
  writeRows(rows: PackedRows, first: number): void;
}

/** Fills a weight with rows in its own format. */
export function rowsInto(weight: QuantisedWeight): RowSink {
  const { device, columns, decoding, words, scales, zeros } = weight;
  return {
    weight,
    unit: Math.min(weight.rows, rowsOfRun(decoding, columns)),
    writeRows(rows, first) {
      const before = partSizes(first * columns, weight);
      const put = (
        { storage, byteOffset }: Tensor,
        at: number,
        { buffer, byteOffset: from, byteLength }: Uint32Array,
      ) => device.stream.write(storage, byteOffset + 4 * at, new Uint8Array(buffer, from, byteLength));
      put(words, before.words, rows.words);
      put(scales, before.scales, rows.scales);
      if (zeros && rows.zeros) put(zeros, first === 0 ? 0 : before.zeros, rows.zeros);
    },
    finish: async () => {},
    skip() {},
    release() {
      for (const { storage } of partsOf(weight)) device.memory.release(storage);
    },
  };
}

function copying(target: Tensor, stored: WeightFormat): WeightSink {
  const { device, dtype, storage, byteOffset } = target;
  const size = dtype === "f32" ? 4 : 2;
  return {
    weight: target,
    unit: 2, // two values of 16 bits fill a word
    write(values, first) {
      const bytes = dtype === stored ? values : widen(values, stored);
      device.stream.write(storage, byteOffset + first * size, paddedToWords(bytes));
    },
    finish: async () => {},
    skip() {},
    release: () => device.memory.release(storage),
  };
}

function widen(bytes: Uint8Array, stored: WeightFormat): Uint8Array {
  const codes = new Uint16Array(new Uint8Array(bytes).buffer); // a Buffer's slice is no copy
  return new Uint8Array((stored === "bf16" ? decodeBf16(codes) : decodeF16(codes)).buffer);
}

/** A 16-bit tensor of odd length ends in half a word. */
export function paddedToWords(bytes: Uint8Array): Uint8Array {
  if (bytes.length % 4 === 0) return bytes;
  const copy = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  copy.set(bytes);
  return copy;
}
