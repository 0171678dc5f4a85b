import { fromArray, scoped, type Tensor } from "../../gpu/tensor.ts";
import type { WeightFormat } from "../../kernels/formats.ts";
import { Quantiser } from "../../kernels/quantise.ts";
import { partsOf, QuantisedWeight, type Weight } from "../../kernels/weight.ts";
import { decodeBf16, decodeF16 } from "../../util/half.ts";

/** Where the values of a stored tensor go, a run of them at a time: into memory, or through a quantiser into it. */
export interface WeightSink {
  /** What is filled. */
  readonly weight: Weight;
  /** Values of all runs but the last are a multiple of this. */
  readonly unit: number;
  /**
   * @param values as stored
   * @param first number of the first of them in the tensor, row by row
   */
  write(values: Uint8Array, first: number): void;
  /** After the last run. */
  finish(): Promise<void>;
  /** In place of all runs, where nothing has content: frees what only they need. */
  skip(): void;
  /** Frees the memory, also of what was not finished. */
  release(): void;
}

/** Fills a weight with values that are stored as f32, bf16 or f16. */
export function sinkInto(weight: Weight, stored: "f32" | "bf16" | "f16"): WeightSink {
  return weight instanceof QuantisedWeight ? quantising(weight, stored) : copying(weight as Tensor, stored);
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

function quantising(weight: QuantisedWeight, stored: "f32" | "bf16" | "f16"): WeightSink {
  const { device } = weight;
  const quantiser = new Quantiser(weight);
  const size = stored === "f32" ? 4 : 2;
  return {
    weight,
    unit: quantiser.unit,
    write(values, first) {
      scoped(device, () => {
        const length = values.length / size;
        const bits = stored === "f32" ? new Uint32Array(length) : new Uint16Array(length);
        new Uint8Array(bits.buffer).set(values); // at an element's boundary
        quantiser.add(fromArray(device, bits, [length], stored), first);
        return undefined;
      });
    },
    finish: () => quantiser.finish(),
    skip: () => quantiser.release(),
    release() {
      quantiser.release();
      for (const { storage } of partsOf(weight)) device.memory.release(storage);
    },
  };
}

function widen(bytes: Uint8Array, stored: WeightFormat): Uint8Array {
  const codes = new Uint16Array(bytes.slice().buffer);
  return new Uint8Array((stored === "bf16" ? decodeBf16(codes) : decodeF16(codes)).buffer);
}

/** A 16-bit tensor of odd length ends in half a word. */
export function paddedToWords(bytes: Uint8Array): Uint8Array {
  if (bytes.length % 4 === 0) return bytes;
  const copy = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  copy.set(bytes);
  return copy;
}
