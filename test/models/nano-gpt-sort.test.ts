import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { fromArray, scoped, type Tensor } from "../../src/gpu/tensor.ts";
import { argmax } from "../../src/kernels/sampling.ts";
import type { Model } from "../../src/load/model.ts";
import { call, type Module } from "../../src/nn/module.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { relativeNormError } from "../support/compare.ts";
import { contextOf } from "../support/context.ts";
import { openTestModel, readJsonFile, sharedPath } from "../support/fixtures.ts";

interface Sorter {
  input_ids: number[][];
  logits: number[][][];
  block0: number[][][];
  ln_f: number[][][];
}

const folder = sharedPath("models/nano-gpt-sort");
/** Every sequence of six digits 0, 1, 2. */
const INPUTS = Array.from({ length: 729 }, (_, n) => [...n.toString(3).padStart(6, "0")].map(Number));
const ascending = (digits: readonly number[]) => [...digits].sort();
const descending = (digits: readonly number[]) => ascending(digits).reverse();

/**
 * How many inputs get exactly the wanted answer, digit by digit, greedily. One pass over inputs with their answers
 * tells: greedy text is right to its end if and only if every digit is the most likely one after the right ones before.
 */
async function score(model: Model, wanted: (digits: readonly number[]) => number[]): Promise<number> {
  const rows = INPUTS.map((digits) => [...digits, ...wanted(digits).slice(0, 5)]);
  const next = scoped(model.device, (): Tensor => {
    const ids = fromArray(model.device, Uint32Array.from(rows.flat()), [rows.length, 11]);
    return argmax(model.logits(model.hidden(ids, contextOf(ids))));
  });
  const best = await next.readIntegers();
  model.device.memory.release(next.storage);
  return INPUTS.filter(
    (digits, i) => String(wanted(digits)) === String([...best.slice(i * 11 + 5, i * 11 + 11)]),
  ).length;
}

// A trained GPT-2 (Conv1D, untied head) that sorts digits, with PyTorch's activations.
// Teaching takes a minute on SwiftShader with nothing beside it, several on a busy machine.
describe.skipIf(!folder)("nano-gpt-sort", { timeout: 600_000 }, () => {
  const golden = folder ? readJsonFile<Sorter>(folder, "golden.json") : ({} as Sorter);

  test("activations after the first block, the last norm and the head are PyTorch's", async () => {
    const model = await openTestModel(folder as string);
    const ids = fromArray(model.device, Uint32Array.from(golden.input_ids.flat()), [3, 11]);
    const context = contextOf(ids);
    const last = model.hidden(ids, context);
    expect(relativeNormError(await last.read(), golden.ln_f.flat(2))).toBeLessThan(2e-6);
    const logits = await model.logits(last).read();
    expect(relativeNormError(logits, golden.logits.flat(2))).toBeLessThan(2e-6);

    let block0: Tensor | undefined;
    const first = model.root.children.find(({ path }) => path === "transformer.h.0");
    const watch = (module: Module, output: Tensor) => {
      if (module !== first) return;
      model.device.memory.hold(output.storage);
      block0 = output;
    };
    model.hidden(ids, { ...context, watch });
    expect(relativeNormError(await block0!.read(), golden.block0.flat(2))).toBeLessThan(2e-6);
    expect(call(first!, last, context).shape).toEqual([3, 11, 48]);
  });

  test("sorts 729 of 729 inputs; LoRA teaches it to sort downwards, and comes off without a trace", async () => {
    const model = await openTestModel(folder as string);
    expect(await score(model, ascending)).toBe(729);
    const before = fromArray(model.device, Uint32Array.from(golden.input_ids.flat()), [3, 11]);
    const logits = () => model.logits(model.hidden(before, contextOf(before))).read();
    const untouched = await logits();
    const targetModules = ["c_attn", "c_fc", "c_proj"];
    const adapter = attach(model, lora({ r: 16, alpha: 32, targetModules }));
    const sequences = INPUTS.map((digits) => {
      const answer = descending(digits);
      const inputIds = [...digits, ...answer.slice(0, 5)];
      // Position t predicts t + 1; the last digit follows the eleven that fit the context.
      return { inputIds: [...inputIds, answer[5] as number], labels: [...Array(6).fill(-100), ...answer] };
    });
    // At 5e-3 the last bits decide whether 100 steps are enough.
    const options = { maxSteps: 130, batchSize: 32, learningRate: 3e-3, warmupSteps: 10 };
    let last = Number.POSITIVE_INFINITY;
    for await (const { loss } of trainSequences(model, adapter.parameters, sequences, options)) last = loss;
    expect(last).toBeLessThan(0.05);
    expect(await score(model, descending)).toBeGreaterThanOrEqual(722); // 99 %
    adapter.release();
    expect(await logits()).toEqual(untouched);
  });
});
