// One more token of several texts side by side: what a batch makes of the weights that are read once for all of them.
import type { Device } from "../src/gpu/device.ts";
import { Replay } from "../src/gpu/replay.ts";
import { scoped } from "../src/gpu/tensor.ts";
import { argmax } from "../src/kernels/sampling.ts";
import { TextCache } from "../src/train/text-cache.ts";
import { type BenchCase, type Prepared, sized } from "./harness.ts";
import { type ModelSize, SMOLLM2, TOY } from "./models.ts";
import { embeddingUnfit, randomModel } from "./random-model.ts";

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

/** A step of `rows` texts: its rate in GFLOP/s grows as its tokens a second do. */
function step(size: ModelSize, rows: number): BenchCase {
  const setup = (device: Device): Prepared => {
    const model = randomModel(device, size, END);
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
  };
  return sized("decoding", `${size.name} B${rows} S${PROMPT}`, rows * size.layers, setup, (device) =>
    embeddingUnfit(size, device),
  );
}

export const cases: BenchCase[] = [TOY, SMOLLM2].flatMap((size) =>
  [1, 2, 4, 8].map((rows) => step(size, rows)),
);
