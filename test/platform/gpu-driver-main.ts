// Does on the device there is whatever the engine does, from a given step on, and prints a line for each step. With `ends`
// as second argument of the sizes of an operation only the smallest and the largest. For a GPU's
// driver without the card: nothing is computed there, but every launch is validated and every pipeline compiled
// (test/gpu-driver.test.ts).
import { readdirSync } from "node:fs";
import { ladders } from "../../kernels-bench/budget.ts";
import { REGISTRY } from "../../kernels-bench/cases.ts";
import type { BenchCase } from "../../kernels-bench/harness.ts";
import { launchCase } from "../../kernels-bench/measure.ts";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { Device } from "../../src/gpu/device.ts";
import { createModel } from "../../src/load/create.ts";
import { openTaskModel } from "../../src/load/model.ts";
import type { LanguageModel } from "../../src/models/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { meanLoss } from "../../src/train/evaluate.ts";
import { generateTokens } from "../../src/train/generate.ts";
import { trainObjective } from "../../src/train/trainer.ts";
import { fixturePath, readJsonFile, readTensors } from "../support/fixtures.ts";
import { type TaskGolden, taskCase } from "../support/task-fixtures.ts";

/** One thing that the engine does. */
interface Step {
  readonly name: string;
  run(): Promise<void>;
}

/** Steps of whole models: the shim has no memory for the largest, and the kernels' own cases have their sizes. */
const LARGE = /^training-step .*(?:T512|T2048|T4096|Qwen|Llama)|^(?:host|decoding) .*SmolLM2/;

const ALL_CASES = Object.values(REGISTRY)
  .flat()
  .filter(({ name }) => !LARGE.test(name));

const [, , firstStep = "0", which] = process.argv;
const onlyEnds = which === "ends";
const device = await openNodeDevice();
/** For the cases that need matrix units. */
const withMatrices = await openNodeDevice({ halfPrecision: true, untriedMatrices: true });

/** Small models of every kind, a large vocabulary, and the cases of the benchmark. */
function steps(): Step[] {
  const fixtures = ["families", "tasks"].flatMap((folder) =>
    readdirSync(fixturePath(folder)).map((name) => `${folder}/${name}`),
  );
  return [
    ...fixtures.map((name) => ({ name, run: () => runFixture(name) })),
    { name: "a vocabulary of 262144", run: runLargeVocabulary },
    ...ladders(ALL_CASES)
      .flatMap((sizes) => (onlyEnds ? sizes.filter((_, i) => i === 0 || i === sizes.length - 1) : sizes))
      .map((benchCase) => ({ name: benchCase.name, run: () => runCase(benchCase) })),
  ];
}

/** Prints each pipeline's label before the compiler prints its statistics, so that these have an owner. */
function announcePipelines({ gpu }: Device): void {
  const create = gpu.createComputePipeline.bind(gpu);
  gpu.createComputePipeline = (descriptor) => {
    console.error(`@@PIPELINE ${descriptor.label}`);
    return create(descriptor);
  };
}

/** Inputs above this are not copied: nobody computes with them, and copying took most of the time. */
const COPIED_BYTES = 2 ** 16;

function leaveOutInputs({ gpu: { queue } }: Device): void {
  const write = queue.writeBuffer.bind(queue) as (...given: unknown[]) => undefined;
  queue.writeBuffer = (...given: unknown[]) => {
    const [buffer, offset, data, from = 0, count] = given as Parameters<GPUQueue["writeBuffer"]>;
    if (data.byteLength <= COPIED_BYTES) return write(buffer, offset, data, from, count);
  };
}

/** Training, evaluation and, of a language model, generation. */
async function runFixture(name: string): Promise<void> {
  const folder = fixturePath(name);
  const golden = readJsonFile<TaskGolden>(folder, "golden.json");
  const model = await openTaskModel(folderFiles(folder), device);
  const adapter = attach(model, lora({ r: 8, alpha: 16, dropout: 0.1, targetModules: model.defaultTargets }));
  const { objective, items } = taskCase(model, golden, await readTensors(folder, "golden.safetensors"));
  for (const gradientCheckpointing of [false, true]) {
    const options = { maxSteps: 1, batchSize: items.length, gradientCheckpointing };
    await endUnsound(trainObjective(objective, adapter.parameters, items, options));
  }
  await meanLoss(objective, items);
  if (model.task === "causal-lm") await generate(model);
  adapter.release();
  model.release();
}

/** Nobody computes here: the first step comes to nothing, which the run calls an error after it has looked for the fault. */
async function endUnsound(run: AsyncIterable<unknown>): Promise<void> {
  try {
    for await (const _ of run);
  } catch (error) {
    if (!String(error).includes("of a finite gradient")) throw error;
    return;
  }
  throw new Error("a step was sound that nobody computed");
}

async function generate(model: LanguageModel): Promise<void> {
  const sampled = { temperature: 0.8, topK: 8, topP: 0.9, repetitionPenalty: 1.1 };
  for (const sampling of [{}, sampled]) {
    for await (const _ of generateTokens(model, [1, 2, 3], { maxNewTokens: 4, ...sampling }));
  }
}

/** Gemma 3's number of tokens: more columns than one side of a grid has workgroups of four. */
async function runLargeVocabulary(): Promise<void> {
  const { model, parameters } = createModel(device, {
    architectures: ["LlamaForCausalLM"],
    ...{ vocab_size: 262_144, hidden_size: 64, intermediate_size: 128, tie_word_embeddings: true },
    ...{ num_hidden_layers: 1, num_attention_heads: 2, max_position_embeddings: 64 },
  });
  await generate(model);
  model.release();
  device.memory.release(parameters.flat.storage);
}

async function runCase(benchCase: BenchCase): Promise<void> {
  const own = [device, withMatrices].find((one) => benchCase.unfit?.(one) === undefined);
  if (own) await launchCase(benchCase, own);
}

for (const one of [device, withMatrices]) {
  announcePipelines(one);
  leaveOutInputs(one);
}
console.log(`device ${device.info.name}, profile ${device.profile.name}`);
for (const { name, run } of steps().slice(Number(firstStep))) {
  await run();
  console.log(`done ${name}`);
}
device.close();
withMatrices.close();
