import type { Tensor } from "../../gpu/tensor.ts";
import { fromArray, scoped } from "../../gpu/tensor.ts";
import { Quantiser, quantisingUnit } from "../../kernels/quantise.ts";
import { emptyWeight, partsOf, type QuantisedWeight } from "../../kernels/weight.ts";
import type { WeightSink } from "./sink.ts";

/** Fills a weight in fewer bits with values that are stored as f32, bf16 or f16. */
export function quantisingSink(weight: QuantisedWeight, stored: "f32" | "bf16" | "f16"): WeightSink {
  return weight.words.storage.write ? throughDevice(weight, stored) : quantising(weight, stored);
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

/** Quantises on the device what stays on the host: one weight at a time is there, and comes back. */
function throughDevice(weight: QuantisedWeight, stored: "f32" | "bf16" | "f16"): WeightSink {
  const { device, shape, decoding } = weight;
  let inner: WeightSink | undefined;
  const open = () =>
    quantising(
      device.memory.persistent(() => emptyWeight(device, shape, decoding)) as QuantisedWeight,
      stored,
    );
  const close = () => {
    inner?.release();
    inner = undefined;
  };
  return {
    weight,
    unit: quantisingUnit(weight),
    write(values, first) {
      inner ??= open();
      inner.write(values, first);
    },
    async finish() {
      if (!inner) return;
      await inner.finish();
      const parts = partsOf(inner.weight);
      for (const [i, part] of partsOf(weight).entries()) part.write(await (parts[i] as Tensor).readBytes());
      close();
    },
    skip() {},
    release() {
      close();
      for (const { storage } of partsOf(weight)) device.memory.release(storage);
    },
  };
}
