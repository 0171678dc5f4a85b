// Which kernels are fastest for the session's model on this device: measured, kept for later programs, and printed.
//   node build.mjs --run scripts/gpu-session/tune.ts MODEL TOKENS
import { MODELS, SMALL, TOY } from "../../kernels-bench/models.ts";
import { randomModel } from "../../kernels-bench/random-model.ts";
import { type Fastest, openDevice, tune } from "../../src/index.node.ts";

const [name, most] = [process.argv[2], Number(process.argv[3])];
const size = [TOY, SMALL, ...MODELS].find((model) => model.name === name);
if (!size) throw new Error(`kernels-bench/models.ts has no ${name}`);
/** Of a common micro-batch and of the session's training step; the larger needs 4 GB, and what came before it is kept. */
const TOKENS = [...new Set([Math.min(512, most), most])];

const device = await openDevice();
const model = randomModel(device, size, most);
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
