import { Profiler } from "../src/gpu/profile.ts";
import { createModel } from "../src/load/create.ts";
import { openNodeDevice } from "../src/platform/node-gpu.ts";
import { trainSequences } from "../src/train/trainer.ts";

const device = await openNodeDevice();
const config = {
  architectures: ["LlamaForCausalLM"],
  vocab_size: 512,
  hidden_size: 128,
  intermediate_size: 352,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 32,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  tie_word_embeddings: true,
};
const t0 = performance.now();
const { model, parameters } = createModel(device, config);
const T = Number(process.argv[2] ?? 96),
  B = Number(process.argv[3] ?? 16);
const sequences = Array.from({ length: 64 }, (_, i) => {
  const ids = Array.from({ length: T }, (_, j) => (i * 31 + j * 7) % 512);
  return { inputIds: ids, labels: ids.map((x, j) => (j ? x : -100)) };
});
for await (const m of trainSequences(model, parameters, sequences, {
  maxSteps: 8,
  batchSize: B,
  learningRate: 1e-3,
})) {
  if (m.step === 7) {
    device.stream.profiler = new Profiler(device.gpu);
  }
  if (m.step === 8) {
    for (const k of (await device.stream.profiler!.read()).slice(0, 25))
      console.log(k.name.padEnd(40), k.dispatches, k.milliseconds.toFixed(1));
  }
  console.log(
    m.step,
    m.loss.toFixed(3),
    m.seconds.toFixed(3),
    (m.tokens / m.seconds).toFixed(0),
    "tok/s",
    device.stream.dispatches,
    device.stream.submits,
    (performance.now() - t0).toFixed(0),
  );
}
process.exit(0);
