// A LoRA step of a random model, prepared for the benchmark.
import { attach } from "../src/adapters/adapter.ts";
import { lora } from "../src/adapters/lora/lora.ts";
import type { Device } from "../src/gpu/device.ts";
import { Replay } from "../src/gpu/replay.ts";
import { Optimizer } from "../src/train/optimizer.ts";
import type { Prepared } from "./harness.ts";
import type { ModelSize } from "./models.ts";
import { randomModel } from "./random-model.ts";
import { batchOf, recordStep } from "./step.ts";

/** Forward, backward and AdamW of LoRA on all linear layers of a frozen bf16 model; one sequence of T tokens. */
export function prepareLoraStep(
  device: Device,
  size: ModelSize,
  tokens: number,
  rank: number,
): Pick<Prepared, "run" | "release"> {
  const model = randomModel(device, size, tokens);
  const adapter = attach(model, lora({ r: rank, targetModules: "all-linear" }));
  const optimizer = new Optimizer(adapter.parameters);
  const replay = new Replay(device);
  const batch = batchOf(Array.from({ length: tokens }, (_, i) => (7 * i) % size.vocab));
  const options = { parameters: adapter.parameters, optimizer, batch, learningRate: 1e-4, replay };
  return {
    run: () => recordStep(model, options),
    release() {
      optimizer.release();
      adapter.release();
      model.release();
    },
  };
}
