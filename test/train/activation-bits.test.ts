import { beforeAll, describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import * as encoderOps from "../../src/autograd/encoder-ops.ts";
import * as ops from "../../src/autograd/ops.ts";
import { Tape } from "../../src/autograd/tape.ts";
import { scoped } from "../../src/gpu/tensor.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import { ROUNDING } from "../../src/kernels/late-rounding.ts";
import { roundTo8Bits } from "../../src/kernels/round.ts";
import { openModel } from "../../src/load/model.ts";
import { allocateLike } from "../../src/nn/parameters.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { accumulateGradients, type PassOptions } from "../../src/train/pass.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import { createRandom } from "../../src/util/random.ts";
import { randomValues } from "../reference/gradient.ts";
import { relativeNormError } from "../support/compare.ts";
import { floats, testDevice } from "../support/device.ts";

beforeAll(async () => void (await ROUNDING.load()));

const ids = (seed: number) => Array.from({ length: 64 }, (_, i) => 1 + ((seed * 31 + i * i) % 600));
const SEQUENCES = [1, 2, 3, 4].map((seed) => ({ inputIds: ids(seed), labels: ids(seed) }));

/** A model with an adapter whose matrices all have some values. */
async function open() {
  const model = await openModel(folderFiles("models/demo"), await testDevice());
  const adapter = attach(model, lora({ r: 4, targetModules: "all-linear" }));
  const { flat } = adapter.parameters;
  flat.write(Float32Array.from(randomValues(flat.size, 9), (value) => value * 0.05));
  return {
    ...{ model, adapter },
    release() {
      adapter.release();
      model.release();
    },
  };
}

/** How LoRA's matrices begin. */
async function usualStart(): Promise<Float32Array> {
  const model = await openModel(folderFiles("models/demo"), await testDevice());
  const adapter = attach(model, lora({ r: 4, targetModules: "all-linear" }));
  const values = await adapter.parameters.flat.read();
  adapter.release();
  model.release();
  return values;
}

describe("rounding to 8 bits", () => {
  test.each([
    [1, 5],
    [3, 100],
    [128, 36],
  ])("[%d, %d]: no value is off by more than half a step of its block", async (rows, columns) => {
    const device = await testDevice();
    const values = randomValues(rows * columns, 3);
    const got = await castToFloat(roundTo8Bits(floats(device, values, [rows, columns]))).read();
    for (let start = 0; start < values.length; start += 64) {
      const block = Array.from(values.slice(start, start + 64));
      const largest = Math.max(...block.map(Math.abs));
      for (const [i, value] of block.entries())
        expect(Math.abs(got[start + i]! - value)).toBeLessThanOrEqual((largest / 127) * 0.5001);
    }
  });
});

describe("a tape that keeps activations in 8 bits", () => {
  test("rounds what it alone holds when a layer ends, and gives all memory back, also where no backward pass runs", async () => {
    const device = await testDevice();
    const { memory } = device;
    const x = floats(device, randomValues(64 * 64, 1), [64, 64]);
    const before = memory.stats.used;
    for (const isRun of [true, false]) {
      const tape = new Tape({ activationBits: 8 });
      tape.watch(x);
      scoped(device, () => {
        const inner = scoped(device, () => encoderOps.activate(tape, ops.scale(tape, x, 2), "gelu"));
        const held = memory.stats.used;
        tape.endLayer();
        expect(held - memory.stats.used).toBe(64 * 64 * 4 - 64 * 64 - 4 * 64);
        if (isRun) tape.backward(inner, inner);
        else tape.discard();
        return undefined;
      });
      expect(memory.stats.used).toBe(before);
    }
  });

  test.each<[string, boolean, number]>([
    ["kept, and what follows from them computed again", false, 0.68],
    ["of layers that are computed again", true, 1],
  ])("activations %s: the loss is the same, and gradients are within 2 %", async (_, checkpoint, share) => {
    const { model, adapter, release } = await open();
    const { memory } = model.device;
    const objective = languageModelling(model);
    const pass = async (options: Partial<PassOptions>) => {
      const { flat, views } = allocateLike(adapter.parameters);
      const batch = objective.collate(SEQUENCES, createRandom(0));
      memory.resetPeak();
      const before = memory.stats.used;
      const sum = accumulateGradients(objective, adapter.parameters, views, [batch], {
        seed: 1,
        checkpoint,
        ...options,
      });
      const bytes = memory.stats.peak - before;
      const [loss, gradients] = [await sum.read(), await flat.read()];
      for (const { storage } of [sum, flat]) memory.release(storage);
      return { loss, gradients, bytes };
    };
    const exact = await pass({});
    const rounded = await pass({ activationBits: 8 });
    expect(rounded.loss).toEqual(exact.loss);
    const error = relativeNormError(rounded.gradients, exact.gradients);
    expect(error).toBeGreaterThan(1e-4);
    expect(error).toBeLessThan(0.02);
    expect(rounded.bytes / exact.bytes).toBeLessThan(share);
    release();
  });

  test("losses of 12 steps are within 1 %, and the same bytes come out each time", async () => {
    const start = await usualStart();
    const run = async (options: TrainerOptions) => {
      const { model, adapter, release } = await open();
      adapter.parameters.flat.write(start);
      const losses: number[] = [];
      const settings = { batchSize: 2, maxSteps: 12, learningRate: 3e-3, ...options };
      for await (const { loss } of trainSequences(model, adapter.parameters, SEQUENCES, settings))
        losses.push(loss);
      const values = await adapter.parameters.flat.read();
      release();
      return { losses, values };
    };
    const [exact, rounded] = [await run({}), await run({ activationBits: 8 })];
    expect(exact.losses[11]!).toBeLessThan(exact.losses[0]! - 0.1);
    for (const [i, loss] of exact.losses.entries())
      expect(Math.abs(rounded.losses[i]! / loss - 1)).toBeLessThan(0.01);
    expect(await run({ activationBits: 8 })).toEqual(rounded);
  });
});

test("other numbers of bits are refused", async () => {
  const { model, adapter, release } = await open();
  const steps = trainSequences(model, adapter.parameters, SEQUENCES, { activationBits: 4 as never });
  await expect(steps.next()).rejects.toThrow("activationBits is 4, wanted 8 or 32");
  release();
});
