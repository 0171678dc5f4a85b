import { describe, expect, test } from "vitest";
import { attach } from "../../../src/adapters/adapter.ts";
import type { LoraStart } from "../../../src/adapters/lora/initial/lora-start.ts";
import { startLora } from "../../../src/adapters/lora/initial/start-lora.ts";
import { lora } from "../../../src/adapters/lora/lora.ts";
import { fromArray, scoped } from "../../../src/gpu/tensor.ts";
import { memoryFiles } from "../../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../../src/load/adapter.ts";
import { mergedFiles } from "../../../src/load/merge.ts";
import { type Model, openModel } from "../../../src/load/model.ts";
import { originalWeights } from "../../../src/load/original-weights.ts";
import type { Linear } from "../../../src/nn/linear.ts";
import type { Leaf } from "../../../src/nn/module.ts";
import { readParameters } from "../../../src/nn/parameters.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { trainSequences } from "../../../src/train/trainer.ts";
import { relativeNormError } from "../../support/compare.ts";
import { contextOf } from "../../support/context.ts";
import { testDevice } from "../../support/device.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../../support/fixtures.ts";

interface Case {
  start: LoraStart;
  use_rslora?: boolean;
  rank_pattern?: Record<string, number>;
  lora_alpha?: number;
  loftq_config?: { loftq_bits: 4 | 8; loftq_iter: number };
  loss: number[];
  logits: number[];
}
const folder = fixturePath("llama-gqa");
const golden = readJsonFile<Golden>(folder, "golden.json");
const { cases } = readJsonFile<{ cases: Case[] }>(fixturePath("."), "starts.json");
const targetModules = ["q_proj", "v_proj", "down_proj"];

/** Logits of the last token of sequence 0. */
async function lastLogits(model: Model): Promise<Float32Array> {
  const row = goldenSequences(golden)[0]!.inputIds;
  const ids = fromArray(model.device, Uint32Array.from(row), [1, row.length]);
  const logits = await model.logits(model.hidden(ids, contextOf(ids, [row.length]))).read();
  return logits.subarray(-model.config.vocabSize);
}

const asFiles = (files: ReadonlyMap<string, unknown>) => {
  const bytes = (content: unknown) =>
    typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array);
  return memoryFiles("written", new Map([...files].map(([name, content]) => [name, bytes(content)])));
};

test.each(
  cases
    .filter(({ start }) => start !== "loftq")
    .map((one) => [`${one.start}${one.use_rslora ? ", rsLoRA with patterns" : ""}`, one] as const),
)(
  "PEFT's training from %s; saved, read and merged it is the same model",
  async (_, { start, use_rslora = false, rank_pattern = {}, loss, logits }) => {
    const model = await openTestModel(folder);
    const before = await lastLogits(model);
    const options = { r: 4, alpha: 8, targetModules, useRslora: use_rslora, rankPattern: rank_pattern };
    const adapter = attach(model, await startLora(model, lora({ ...options, initWeights: start })));
    expect(relativeNormError(await lastLogits(model), before)).toBeLessThan(1e-5);
    const settings = {
      learningRate: 5e-3,
      schedule: "constant",
      warmupSteps: 0,
      weightDecay: 0,
      maxGradNorm: 0,
    } as const;
    const got: number[] = [];
    const rows = goldenSequences(golden);
    for await (const step of trainSequences(model, adapter.parameters, rows, {
      ...settings,
      maxSteps: 10,
      batchSize: 3,
      shuffle: false,
    }))
      got.push(step.loss);
    for (const [i, want] of loss.entries()) expect(Math.abs(got[i]! - want), `step ${i}`).toBeLessThan(1e-4);
    const after = await lastLogits(model);
    expect(relativeNormError(after, logits)).toBeLessThan(1e-3);

    const files = asFiles(await adapterFiles(adapter));
    const merged = asFiles(await collected(await mergedFiles(model, adapter, folderFiles(folder))));
    adapter.release();
    const plain = await loadAdapter(model, files);
    expect(relativeNormError(await lastLogits(model), after)).toBeLessThan(1e-5);
    expect((plain.method as ReturnType<typeof lora>).init).toBe(true);
    expect(
      relativeNormError(await lastLogits(await openModel(merged, await testDevice())), after),
    ).toBeLessThan(1e-5);
    plain.release();
    model.release();
  },
);

const ROUNDED = cases.filter(({ start }) => start === "loftq");
test.each(ROUNDED.map((one) => [one.loftq_config!.loftq_iter, one] as const))(
  "PEFT's training from LoftQ after %i rounds; read again, the base is rounded again",
  async (loftqIterations, { loss, logits, lora_alpha, loftq_config }) => {
    const model = await openTestModel(folder);
    const before = await lastLogits(model);
    const options = {
      r: 4,
      alpha: lora_alpha!,
      targetModules,
      loftqBits: loftq_config!.loftq_bits,
      loftqIterations,
    };
    const adapter = attach(model, await startLora(model, lora({ ...options, initWeights: "loftq" })));
    const got: number[] = [];
    const settings = {
      learningRate: 5e-3,
      schedule: "constant",
      warmupSteps: 0,
      weightDecay: 0,
      maxGradNorm: 0,
    } as const;
    const run = { ...settings, maxSteps: 10, batchSize: 3, shuffle: false };
    for await (const step of trainSequences(model, adapter.parameters, goldenSequences(golden), run))
      got.push(step.loss);
    for (const [i, want] of loss.entries()) expect(Math.abs(got[i]! - want), `step ${i}`).toBeLessThan(1e-4);
    const after = await lastLogits(model);
    expect(relativeNormError(after, logits)).toBeLessThan(1e-3);

    const files = asFiles(await adapterFiles(adapter));
    const merged = asFiles(await collected(await mergedFiles(model, adapter, folderFiles(folder))));
    expect(
      relativeNormError(await lastLogits(await openModel(merged, await testDevice())), after),
    ).toBeLessThan(1e-5);
    adapter.release();
    expect(await lastLogits(model)).toEqual(before); // the model's own weights are as they were
    const again = await loadAdapter(model, files);
    expect(relativeNormError(await lastLogits(model), after)).toBeLessThan(1e-6);
    const config = JSON.parse((await adapterFiles(again)).get("adapter_config.json") as string);
    expect([config.init_lora_weights, config.loftq_config]).toEqual(["loftq", loftq_config]);
  },
);

describe("LoftQ of a quantised model", () => {
  const open = async () =>
    openModel(folderFiles(folder), await testDevice(), {
      quantization: { format: "nf4", doubleQuantization: true },
    });
  const method = (loftqIterations: number) =>
    lora({ r: 8, alpha: 16, targetModules, initWeights: "loftq", loftqIterations });

  /** ‖W − (base + s B A)‖ of all layers, and how the adapter is saved. */
  const begun = async (loftqIterations: number) => {
    const model = await open();
    const before = await lastLogits(model);
    const original = originalWeights(model);
    const adapter = attach(model, await startLora(model, method(loftqIterations), { original }));
    const { bases, merge } = adapter.method;
    const errors = adapter.sites.map(async (site) => {
      const copies = bases?.tensors.get(site.module as Leaf) ?? {};
      const merged = await scoped(model.device, merge!(site, {}, copies).weight!).read();
      const whole = await original(site.module as Linear);
      return relativeNormError(merged, whole);
    });
    const all = await Promise.all(errors);
    const files = await adapterFiles(adapter);
    const config = JSON.parse(files.get("adapter_config.json") as string);
    const after = await lastLogits(model);
    adapter.release();
    expect(await lastLogits(model)).toEqual(before);
    await loadAdapter(model, asFiles(files)); // the base is rounded again
    expect(await lastLogits(model)).toEqual(after);
    return { error: Math.hypot(...all), init: config.init_lora_weights };
  };

  test("needs the weights as they were", async () => {
    await expect(startLora(await open(), method(1))).rejects.toThrow("give original: originalWeights(model)");
  });

  test("one round leaves the base as it is and is saved as plain LoRA; five come nearer", async () => {
    const [one, five] = [await begun(1), await begun(5)];
    expect([one.init, five.init]).toEqual([true, "loftq"]);
    expect(five.error).toBeLessThan(0.95 * one.error);
  });
});

async function collected(files: ReadonlyMap<string, unknown>): Promise<Map<string, unknown>> {
  const whole = async (content: unknown) => {
    if (typeof content === "string" || content instanceof Uint8Array) return content;
    const parts: number[] = [];
    for await (const part of content as AsyncIterable<Uint8Array>) for (const byte of part) parts.push(byte);
    return Uint8Array.from(parts);
  };
  return new Map(
    await Promise.all([...files].map(async ([name, content]) => [name, await whole(content)] as const)),
  );
}

test.each(["gaussian", "orthogonal", "pissa_niter_3"] as const)(
  "%s begins at the base model",
  async (start) => {
    const model = await openTestModel(folder);
    const before = await lastLogits(model);
    const method = await startLora(model, lora({ r: 4, alpha: 8, targetModules, initWeights: start }), {
      seed: 5,
    });
    const adapter = attach(model, method, { seed: 5 });
    expect(relativeNormError(await lastLogits(model), before)).toBeLessThan(1e-5);
    const values = [...(await readParameters(adapter.parameters))];
    const spread = (part: string) =>
      values.filter(([name]) => name.endsWith(part)).every(([, data]) => data.some((x) => x !== 0));
    expect([spread("lora_A"), spread("lora_B")]).toEqual([true, start !== "gaussian"]);
    if (start === "gaussian") {
      const all = values.filter(([name]) => name.endsWith("lora_A")).flatMap(([, data]) => [...data]);
      const deviation = Math.sqrt(all.reduce((sum, x) => sum + x * x, 0) / all.length);
      expect(Math.abs(deviation - 1 / 4)).toBeLessThan(0.03);
    }
    adapter.release();
    model.release();
  },
);

test("a start that needs the weights is refused without them, and unknown ones by name", async () => {
  const model = await openTestModel(folder);
  expect(() => attach(model, lora({ r: 2, initWeights: "pissa" }))).toThrow(/attach what startLora gives/);
  expect(() => lora({ initWeights: "pisa" as LoraStart })).toThrow(
    /initWeights is "pisa", wanted true, gaussian/,
  );
  model.release();
});
