import { expect, test } from "vitest";
import { attach } from "../../../src/adapters/adapter.ts";
import type { LoraStart } from "../../../src/adapters/initial/lora-start.ts";
import { startLora } from "../../../src/adapters/initial/start-lora.ts";
import { lora } from "../../../src/adapters/lora.ts";
import { fromArray } from "../../../src/gpu/tensor.ts";
import { memoryFiles } from "../../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../../src/load/adapter.ts";
import { mergedFiles } from "../../../src/load/merge.ts";
import { type Model, openModel } from "../../../src/load/model.ts";
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
  cases.map((one) => [`${one.start}${one.use_rslora ? ", rsLoRA with patterns" : ""}`, one] as const),
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
