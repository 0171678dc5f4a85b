// One more token of several texts side by side: what a batch makes of the weights that are read once for all of them. And of one text,
// out of weights in few bits.
import type { Device } from "../src/gpu/device.ts";
import { Replay } from "../src/gpu/replay.ts";
import { scoped } from "../src/gpu/tensor.ts";
import { argmax } from "../src/kernels/sampling.ts";
import { TextCache } from "../src/train/text-cache.ts";
import { type BenchCase, type Prepared, sized } from "./harness.ts";
import { type ModelSize, SMOLLM2, TOY } from "./models.ts";
import { embeddingUnfit, type RandomQuantization, randomModel } from "./random-model.ts";

const PROMPT = 64;
/** Tokens at which the texts begin anew. */
const END = 512;

/** Nothing is expected here: that a batch writes what each text gets alone, test/train/generate-batch.test.ts says. */
const reference = () => ({ at: [], values: [] });

/** Multiply-adds of a token, attention's left out: one for each value of a matrix, the output layer's among them. */
function weightsOf({ hidden, intermediate, heads, kvHeads, headDim, layers, vocab }: ModelSize): number {
  const attention = 2 * (heads + kvHeads) * headDim * hidden;
  return layers * (attention + 3 * hidden * intermediate) + vocab * hidden;
}

/** A step of `rows` texts, and what frees its model. Its rate in GFLOP/s grows as its tokens a second do. */
export function prepareDecoding(
  device: Device,
  size: ModelSize,
  rows: number,
  quantization?: RandomQuantization,
): Prepared {
  const model = randomModel(device, size, END, quantization);
  const cache = new TextCache(model);
  cache.replay = new Replay(device);
  const texts = Array.from({ length: rows }, (_, row) => Array.from({ length: PROMPT }, (_, i) => i + row));
  const begin = () => {
    for (const ids of texts) ids.length = PROMPT;
    cache.open(rows, END);
    scoped(device, () => {
      cache.scores(texts);
      return undefined;
    });
  };
  begin();
  return {
    run() {
      if (texts[0]?.length === END) begin();
      for (const ids of texts) ids.push(0);
      return argmax(cache.scores(texts));
    },
    reference,
    clock: "wall",
    flops: 2 * rows * weightsOf(size),
    layers: size.layers,
    release() {
      cache.release();
      model.release();
    },
  };
}

function step(size: ModelSize, rows: number, quantization?: RandomQuantization): BenchCase {
  const { format, skipModules } = quantization ?? {};
  const op = format ? `decoding ${format}${skipModules ? ", output layer too" : ""}` : "decoding";
  return sized(
    op,
    `${size.name} B${rows} S${PROMPT}`,
    rows * size.layers,
    (device) => prepareDecoding(device, size, rows, quantization),
    (device) => embeddingUnfit(size, device),
  );
}

/** A single text, out of weights in few bits: embedding and output layer, which are one matrix, in bf16 or as the others. */
const QUANTIZATIONS: readonly RandomQuantization[] = (["int4", "nf4"] as const).flatMap((format) => [
  { format },
  { format, skipModules: [] },
]);

export const cases: BenchCase[] = [TOY, SMOLLM2].flatMap((size) => [
  ...[1, 2, 4, 8].map((rows) => step(size, rows)),
  ...QUANTIZATIONS.map((quantization) => step(size, 1, quantization)),
]);
