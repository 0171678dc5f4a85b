// EVA against PEFT 0.21 (make_eva.py): directions, ranks, scales and the losses that follow.
import { describe, expect, test } from "vitest";
import { attach } from "../../../src/adapters/adapter.ts";
import { startLora } from "../../../src/adapters/lora/initial/start-lora.ts";
import { type Lora, type LoraOptions, lora } from "../../../src/adapters/lora/lora.ts";
import { memoryFiles } from "../../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../../src/load/adapter.ts";
import { readParameters } from "../../../src/nn/parameters.ts";
import { layerInputs } from "../../../src/train/layer-inputs.ts";
import { trainSequences } from "../../../src/train/trainer.ts";
import { relativeNormError } from "../../support/compare.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../../support/fixtures.ts";
import { wholeFiles } from "../../support/merged-cases.ts";

interface Case {
  rho: number;
  tau: number;
  whiten?: boolean;
  adjust_scaling_factors?: boolean;
  layers: Record<string, { rank: number; A: number[] }>;
  alpha_pattern: Record<string, number>;
  loss: number[];
}
const folder = fixturePath("llama-gqa");
const sequences = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));
const { cases } = readJsonFile<{ cases: Case[] }>(fixturePath("."), "eva.json");
const targetModules = ["q_proj", "v_proj", "o_proj", "down_proj"];

async function begun(options: LoraOptions) {
  const model = await openTestModel(folder);
  const method = lora({ r: 3, alpha: 6, targetModules, initWeights: "eva", ...options });
  const inputs = layerInputs(model, sequences, { batchSize: sequences.length });
  return { model, adapter: attach(model, await startLora(model, method, { inputs })) };
}

describe.each(cases)("rho $rho, tau $tau, whiten $whiten, adjusting $adjust_scaling_factors", (want) => {
  const options = {
    evaRho: want.rho,
    evaTau: want.tau,
    ...(want.whiten && { evaWhiten: true, targetModules: ["q_proj", "o_proj", "down_proj"] }),
    ...(want.adjust_scaling_factors === false && { evaAdjustScalingFactors: false }),
  };

  test("directions, ranks and scales are PEFT's, and so are ten steps", async () => {
    const { model, adapter } = await begun(options);
    const values = await readParameters(adapter.parameters);
    expect(adapter.sites.map(({ module }) => module.path).sort()).toEqual(Object.keys(want.layers).sort());
    for (const [path, { rank, A }] of Object.entries(want.layers)) {
      expect([path, adapter.method.rankOf(path)]).toEqual([
        path,
        { r: rank, alpha: want.alpha_pattern[path] ?? 6 },
      ]);
      expect(relativeNormError(values.get(`${path}.lora_A`)!, A), path).toBeLessThan(1e-3);
    }
    const settings = {
      learningRate: 5e-3,
      schedule: "constant",
      warmupSteps: 0,
      weightDecay: 0,
      maxGradNorm: 0,
    } as const;
    const run = { ...settings, maxSteps: 10, batchSize: 3, shuffle: false };
    const losses: number[] = [];
    for await (const { loss } of trainSequences(model, adapter.parameters, sequences, run)) losses.push(loss);
    for (const [i, loss] of want.loss.entries())
      expect(Math.abs(losses[i]! - loss), `step ${i}`).toBeLessThan(2e-4);
  });
});

test("it is saved with its ranks and eva_config, and read as LoRA like any other", async () => {
  const { adapter } = await begun({});
  const files = await adapterFiles(adapter);
  const config = JSON.parse(files.get("adapter_config.json") as string);
  expect(config.init_lora_weights).toBe("eva");
  expect(config.eva_config).toMatchObject({ rho: 2, tau: 0.99, use_label_mask: true, whiten: false });
  expect(Object.values(config.rank_pattern).sort()).toEqual([2, 2, 4, 4]);
  const again = await loadAdapter(await openTestModel(folder), memoryFiles("again", await wholeFiles(files)));
  expect(await readParameters(again.parameters)).toEqual(await readParameters(adapter.parameters));
  expect((again.method as Lora).init).toBe(true);
});

test("what it needs and can't have is told", async () => {
  const model = await openTestModel(folder);
  const method = (options: LoraOptions) => lora({ r: 3, targetModules, initWeights: "eva", ...options });
  await expect(startLora(model, method({}))).rejects.toThrow("give inputs: layerInputs(model, texts)");
  const inputs = layerInputs(model, sequences);
  await expect(startLora(model, method({ evaRho: 11 }), { inputs })).rejects.toThrow(
    /q_proj has 32 inputs, and may get a rank of 33[\s\S]*take a smaller r, or a smaller evaRho/,
  );
  expect(() => layerInputs(model, [{ inputIds: [1], labels: [-100] }])).toThrow(
    "no text has a token to look at",
  );
});
