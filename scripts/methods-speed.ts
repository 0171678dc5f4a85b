// node build.mjs --run scripts/methods-speed.ts [ROUNDS]: milliseconds of a training step of each method on the model of
// scripts/small-step.ts, all linear layers, taking turns; medians, and the ratio to LoRA's.

import { adalora } from "../src/adapters/adalora/adalora.ts";
import { attach } from "../src/adapters/adapter.ts";
import { bottleneck } from "../src/adapters/bottleneck/bottleneck.ts";
import { ia3 } from "../src/adapters/ia3/ia3.ts";
import { lora } from "../src/adapters/lora/lora.ts";
import { loha } from "../src/adapters/lycoris/loha.ts";
import { lokr } from "../src/adapters/lycoris/lokr.ts";
import type { Method } from "../src/adapters/method.ts";
import { oft } from "../src/adapters/oft/oft.ts";
import { vera } from "../src/adapters/vera/vera.ts";
import { openNodeDevice } from "../src/platform/node-gpu.ts";
import { trainSequences } from "../src/train/trainer.ts";
import { createSmallModel, SMALL_CONFIG } from "./small-step.ts";

const rounds = Number(process.argv[2] ?? 12);
const WARM_UP = 2;
const targetModules = "all-linear";
const METHODS: Readonly<Record<string, () => Method>> = {
  "LoRA r 8": () => lora({ r: 8, targetModules }),
  "DoRA r 8": () => lora({ r: 8, useDora: true, targetModules }),
  "AdaLoRA r 12 to 8": () => adalora({ totalStep: rounds + WARM_UP, tinit: 1, tfinal: 1, targetModules }),
  IA3: () => ia3({ targetModules, feedforwardModules: ["down_proj"] }),
  "LoHa r 8": () => loha({ r: 8, targetModules }),
  "LoKr r 8": () => lokr({ r: 8, targetModules }),
  "VeRA r 256": () => vera({ r: 256, targetModules: ["q_proj", "v_proj"] }),
  "Bottleneck houlsby": () => bottleneck({ adapterConfig: "houlsby" }),
  "OFT blocks of 32": () => oft({ oftBlockSize: 32, targetModules }),
};

const device = await openNodeDevice();
const inputIds = Array.from({ length: 128 }, (_, i) => (7 * i) % SMALL_CONFIG.vocab_size);
const runs = Object.entries(METHODS).map(([name, make]) => {
  const { model } = createSmallModel(device);
  const { parameters } = attach(model, make());
  const options = { maxSteps: rounds + WARM_UP, batchSize: 1, learningRate: 1e-3 };
  return {
    name,
    times: [] as number[],
    run: trainSequences(model, parameters, [{ inputIds, labels: inputIds }], options),
  };
});
for (let round = 0; round < rounds + WARM_UP; round++) {
  for (const { run, times } of runs) {
    const start = performance.now();
    await run.next();
    if (round >= WARM_UP) times.push(performance.now() - start);
  }
}
const median = (times: readonly number[]) =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] as number;
const usual = median(runs[0]?.times ?? []);
for (const { name, times } of runs)
  console.log(
    `${name.padEnd(20)} ${median(times).toFixed(1)} ms, ${(median(times) / usual).toFixed(2)} of LoRA's`,
  );
device.close();
