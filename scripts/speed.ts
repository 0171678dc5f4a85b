// node build.mjs --run scripts/speed.ts [STEPS] [--profile]: the training step that WebGPU libraries are compared by (Llama,
// D 256, 4 layers, 4 heads, FFN 1024, vocabulary 1024, T 128), with all weights trained and with LoRA r 8 on all linears,
// taking turns. With --profile also the time of each kernel in the last step.
import { attach } from "../src/adapters/adapter.ts";
import { lora } from "../src/adapters/lora.ts";
import { Profiler } from "../src/gpu/profile.ts";
import { createModel } from "../src/load/create.ts";
import type { Parameters } from "../src/nn/parameters.ts";
import { openNodeDevice } from "../src/platform/node-gpu.ts";
import { trainSequences } from "../src/train/trainer.ts";

const TOKENS = 128;
const config = {
  architectures: ["LlamaForCausalLM"],
  vocab_size: 1024,
  hidden_size: 256,
  intermediate_size: 1024,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  max_position_embeddings: TOKENS,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
};
const words = process.argv.slice(2);
const steps = Number(words.find((word) => /^\d+$/.test(word)) ?? 12);
const device = await openNodeDevice();
console.log(`device: ${device.info.name}${device.info.software ? " (software, no GPU)" : ""}`);

const inputIds = Array.from({ length: TOKENS }, (_, i) => (7 * i) % config.vocab_size);
const sequences = [{ inputIds, labels: inputIds }];

/** One training run whose steps are asked for one by one. */
function run(adapted: boolean) {
  const { model, parameters } = createModel(device, config);
  const trained: Parameters = adapted
    ? attach(model, lora({ r: 8, targetModules: "all-linear" })).parameters
    : parameters;
  const options = { maxSteps: steps + 2, batchSize: 1, learningRate: 1e-3 };
  return {
    name: adapted ? "LoRA" : "full",
    run: trainSequences(model, trained, sequences, options),
    times: [],
  };
}

interface Run extends Omit<ReturnType<typeof run>, "times"> {
  times: number[];
}

async function step({ name, run, times }: Run, index: number): Promise<void> {
  const { dispatches, submits } = device.stream;
  const { bound } = device.kernels;
  const { value } = await run.next();
  const milliseconds = 1000 * (value?.seconds ?? 0);
  if (index === 0) console.log(`${name}: first step ${milliseconds.toFixed(0)} ms`);
  else times.push(milliseconds);
  if (index !== steps - 1) return;
  const { stream } = device;
  console.log(
    `${name}: ${stream.dispatches - dispatches} dispatches, ${stream.submits - submits} submissions, ${device.kernels.bound - bound} new bind groups`,
  );
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

const runs: Run[] = [run(false), run(true)];
for (let i = 0; i < steps; i++) for (const each of runs) await step(each, i);
const [full = Number.NaN, adapted = Number.NaN] = runs.map(({ times }) => median(times));
console.log(
  `median of ${steps - 1}: full ${full.toFixed(1)} ms, LoRA ${adapted.toFixed(1)} ms, ${(full / adapted).toFixed(2)} times as fast`,
);
if (words.includes("--profile")) {
  for (const { name, run } of runs) {
    device.stream.profiler = new Profiler(device.gpu);
    await run.next();
    console.log(`${name}:`);
    for (const { name, dispatches, milliseconds } of await device.stream.profiler.read())
      console.log(`  ${name.padEnd(40)} ${String(dispatches).padStart(4)} ${milliseconds.toFixed(2)} ms`);
    device.stream.profiler = undefined;
  }
}
process.exit(0); // Dawn keeps Node alive
