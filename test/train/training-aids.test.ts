import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { loha } from "../../src/adapters/lycoris/loha.ts";
import { readAndRelease } from "../../src/gpu/tensor.ts";
import { allocateParameters } from "../../src/nn/parameters.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { Optimizer, type OptimizerOptions } from "../../src/train/optimizer.ts";
import { trainObjective } from "../../src/train/trainer.ts";
import { createRandom } from "../../src/util/random.ts";
import { floats, testDevice } from "../support/device.ts";
import { fixturePath, openTestModel, readJsonFile } from "../support/fixtures.ts";

interface Golden {
  ids: number[][];
  neftune: { alpha: number; seed: number; loss: number; plain: number }[];
  loraplus: {
    options: OptimizerOptions & { learningRate: number };
    parameters: Record<string, { shape: number[]; values: number[] }>;
    defaultEmbeddingRate: number;
  };
}

const { ids, neftune, loraplus } = readJsonFile<Golden>(fixturePath("."), "training-aids.json");

test.each(neftune)(
  "NEFTune's noise at alpha $alpha is that of transformers",
  async ({ alpha, seed, loss, plain }) => {
    const model = await openTestModel(fixturePath("llama-gqa"));
    const objective = languageModelling(model);
    const items = ids.map((inputIds) => ({ inputIds, labels: [-100, ...inputIds.slice(1)] }));
    const batch = objective.collate(items, createRandom(0));
    const lossOf = async (training: boolean) => {
      const context = { training, seed, embeddingNoise: alpha };
      const [sum] = await readAndRelease(model.device, () => [objective.loss(batch, context)]);
      return (new Float32Array(sum as ArrayBuffer)[0] as number) / batch.terms;
    };
    expect(await lossOf(true)).toBeCloseTo(loss, 5);
    expect(await lossOf(false)).toBeCloseTo(plain, 5);
  },
);

test("noise on the embeddings of words is refused where there are none", async () => {
  const device = await testDevice();
  const model = await openTestModel(fixturePath("llama-gqa"));
  const { parameters } = attach(model, lora({ r: 2, targetModules: ["q_proj"] }));
  const images = { device, collate: () => ({ tokens: 1, terms: 1 }), loss: () => parameters.flat };
  const run = trainObjective(images, parameters, [1], { neftuneNoiseAlpha: 5 });
  await expect(run.next()).rejects.toThrow(/embeddings of words, and there are none[\s\S]*leave it out/);
});

test("LoRA+ trains LoRA at embeddings at a rate of its own, as PEFT does", async () => {
  const device = await testDevice();
  const wanted = Object.entries(loraplus.parameters);
  const make = () =>
    allocateParameters(
      device,
      wanted.map(([name, { shape }]) => ({ name, shape })),
    );
  const stepped = async (options: typeof loraplus.options) => {
    const parameters = make();
    const optimizer = new Optimizer(parameters, { maxGradNorm: 0, ...options });
    for (const [i, { tensor }] of parameters.entries.entries())
      tensor.write(Float32Array.from({ length: tensor.size }, (_, j) => Math.cos(i + 0.7 * j)));
    for (let step = 1; step <= 10; step++) {
      for (const [i, { tensor }] of parameters.entries.entries()) {
        const values = Float32Array.from(
          { length: tensor.size },
          (_, j) => Math.sin(i + 1.7 * (j + 1) + 0.9 * step) * (1 + (j % 3)),
        );
        optimizer.gradients.get(tensor)?.write(values);
      }
      optimizer.step(floats(device, [0], [1]), 1, options.learningRate);
      await device.sync();
    }
    optimizer.release();
    return parameters.entries;
  };
  for (const [i, { name, tensor }] of (await stepped(loraplus.options)).entries())
    expect(await tensor.read(), name).toBeClose(wanted[i]?.[1].values as number[], 2e-5);
  // Without a rate of their own they hardly move: PEFT's default.
  const { loraplusLrEmbedding: _, ...others } = loraplus.options;
  const [still] = await stepped(others);
  const explicit = { ...others, loraplusLrEmbedding: loraplus.defaultEmbeddingRate };
  expect(await still?.tensor.read()).toEqual(await (await stepped(explicit))[0]?.tensor.read());
});

test("rates of LoRA+ that nothing would have are refused by name", async () => {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const { parameters } = attach(model, loha({ r: 2, targetModules: ["q_proj"] }));
  const optimizer = () => new Optimizer(parameters, { loraplusLrRatio: 4, loraplusLrEmbedding: 1e-3 });
  expect(optimizer).toThrow(
    /loraplus_lr_ratio is 4: nothing that is trained is a lora_B[\s\S]*loraplus_lr_embedding is 0\.001: no LoRA at an embedding[\s\S]*leave it out/,
  );
});
