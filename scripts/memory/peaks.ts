// Compares the plan with the peak of the pool on the device that is here, for models of some size whose weights are zeros:
//   node build.mjs --run scripts/memory/peaks.ts [--steps N] [--tokens N] [--way N] FOLDER…
// On the driver of a GPU that is not there (../shared/reference/gpu-lab.md) a step takes no time, whatever the size. Nothing
// is computed there, and every number that is read is 0, so that a run is told to have found nothing: its memory is the same.
import { basename } from "node:path";
import { parseArgs } from "node:util";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { factsOf } from "../../src/gpu/shape-device.ts";
import type { FileSource } from "../../src/io/files/files.ts";
import { planSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { openModel } from "../../src/load/model.ts";
import type { QuantizationFormat } from "../../src/load/quantization.ts";
import { openShapeModel } from "../../src/load/shape-model.ts";
import { planModel } from "../../src/models/families.ts";
import { shapeWeights } from "../../src/nn/initial-weights.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { planFiles } from "../../src/train/plan/plan-training.ts";
import { trainObjective } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tokens: { type: "string", default: "256" },
    steps: { type: "string", default: "2" },
    way: { type: "string" }, // 1, 2 or 3: the others are left out
  },
});
const [tokens, maxSteps] = [Number(values.tokens), Number(values.steps)];
const device = await openNodeDevice();
console.log(
  `${device.info.name}: ${maxSteps} steps of rows of ${tokens} tokens, rank 16 on all linear layers`,
);
console.log("model | options | planned MB | pool's peak MB | difference");

const WAYS: readonly [name: string, TrainerOptions, QuantizationFormat?][] = [
  ["batch 1", { batchSize: 1 }],
  ["batch 2, checkpointing", { batchSize: 2, gradientCheckpointing: true }],
  [
    "batch 1, 2 accumulated, nf4, 8-bit AdamW",
    { batchSize: 1, gradientAccumulationSteps: 2, optimizer: "adamw_8bit" },
    "nf4",
  ],
];

for (const folder of positionals) {
  const files = withZeros(folderFiles(folder), await tensorsOf(folder));
  for (const [i, [name, options, quantization]] of WAYS.entries()) {
    if (values.way !== undefined && Number(values.way) !== i + 1) continue;
    const { use } = await planFiles(files, {
      ...{ ...options, maxLength: tokens, device: factsOf(device), search: false },
      ...(quantization && { quantization }),
    });
    const real = await peakOf(files, options, quantization);
    const difference = `${(100 * (use.peak / real - 1)).toFixed(2)} %`;
    const mb = (bytes: number) => (bytes / 1e6).toFixed(1);
    console.log([basename(folder), name, mb(use.peak), mb(real), difference].join(" | "));
  }
}
device.close();
process.exit();

async function peakOf(
  files: FileSource,
  options: TrainerOptions,
  quantization?: QuantizationFormat,
): Promise<number> {
  device.memory.trim();
  const before = device.memory.stats.used;
  const model = await openModel(files, device, { quantization });
  const adapter = attach(model, lora());
  device.memory.trim();
  device.memory.resetPeak();
  const row = {
    inputIds: new Array<number>(tokens).fill(0),
    labels: [-100, ...new Array<number>(tokens - 1).fill(0)],
  };
  const rows = Array.from({ length: 8 }, () => row);
  try {
    const run = trainObjective(languageModelling(model), adapter.parameters, rows, { ...options, maxSteps });
    for await (const _ of run);
  } catch (error) {
    // Where nothing is computed, no gradient counts.
    if (!/no step had|is 0, of a finite/.test(String(error))) throw error;
  }
  const { peak } = device.memory.stats;
  adapter.release();
  model.release();
  return peak - before;
}

/** Names and shapes of a config's tensors. */
async function tensorsOf(folder: string) {
  const shape = await openShapeModel(folderFiles(folder), factsOf(device), { task: "causal-lm" });
  const { root, requests } = shapeWeights(shape.device);
  planModel(shape.config, "causal-lm").build(shape.device, root);
  return planSafetensors(requests.map(({ name, shape }) => ({ name, dtype: "BF16" as const, shape })));
}

/** The folder with weights, all of them zeros, that lie nowhere. */
function withZeros(files: FileSource, { header, size }: { header: Uint8Array; size: number }): FileSource {
  const name = "model.safetensors";
  return {
    ...files,
    size: async (file) => (file === name ? size : files.size(file)),
    async read(file, start, end) {
      if (file !== name) return files.read(file, start, end);
      const bytes = new Uint8Array(end - start);
      if (start < header.length) bytes.set(header.subarray(start, Math.min(end, header.length)));
      return bytes;
    },
  };
}
