// Which kernels are fastest for the session's model on this device: measured, kept for later programs, and printed.
import { MODELS } from "../../kernels-bench/models.ts";
import { randomModel } from "../../kernels-bench/random-model.ts";
import { type Fastest, openDevice, tune } from "../../src/index.node.ts";

/** Of a common micro-batch and of the session's training step; the larger needs 4 GB, and what came before it is kept. */
const TOKENS = [512, 4096];

const size = MODELS.find(({ name }) => name === "Qwen2.5-0.5B");
if (!size) throw new Error("kernels-bench/models.ts has no Qwen2.5-0.5B");
const device = await openDevice();
const model = randomModel(device, size, Math.max(...TOKENS));
for (const tokens of TOKENS) {
  const { products, attention } = await tune(model, { tokens });
  for (const { layout, m, n, k, decoding, ...measured } of products)
    console.log(`${layout} ${m}×${n}×${k} ${decoding.format}: ${described(measured)}`);
  if (attention) console.log(`attention D${attention.headDim}: ${described(attention)}`);
  console.log(`tuned ${products.length} classes of products of ${size.name}, ${tokens} tokens`);
}
model.release();
device.close();

function described({ variant, milliseconds }: Fastest<string>): string {
  const times = [...milliseconds].map(([name, median]) => `${name} ${median.toPrecision(3)} ms`);
  return `${variant} of ${times.join(", ")}`;
}
