// What the host does for a step: JavaScript, Dawn and the driver, from the first recorded dispatch to the last submission.
import type { Device } from "../src/gpu/device.ts";
import { Replay } from "../src/gpu/replay.ts";
import { scoped } from "../src/gpu/tensor.ts";
import { argmax } from "../src/kernels/sampling.ts";
import { TextCache } from "../src/train/text-cache.ts";
import { type BenchCase, type Prepared, sized } from "./harness.ts";
import { prepareLoraStep } from "./lora-step.ts";
import { type ModelSize, SMOLLM2, TOY } from "./models.ts";
import { embeddingUnfit, randomModel } from "./random-model.ts";

const RANK = 8;
const PROMPT = 64;
/** Tokens at which the text begins anew. */
const END = 512;

/** Nothing is expected: a driver without its card computes nothing. `training-step` judges the same step. */
const reference = () => ({ at: [], values: [] });

/** Recording a LoRA step, and submitting it. */
function loraStep(size: ModelSize, tokens: number): BenchCase {
  const setup = (device: Device): Prepared => ({
    ...prepareLoraStep(device, size, tokens, RANK),
    reference,
    clock: "host",
    layers: size.layers,
  });
  return hostCase("host LoRA step", size, `T${tokens} r${RANK}`, setup);
}

/** Recording one more token of a text, chosen on the device, and submitting it. */
function decode(size: ModelSize): BenchCase {
  const setup = (device: Device): Prepared => {
    const model = randomModel(device, size, END);
    const cache = new TextCache(model);
    cache.replay = new Replay(device);
    const ids = Array.from({ length: PROMPT }, (_, i) => i);
    const next = () => argmax(cache.scores([ids]));
    cache.begin(ids, END);
    scoped(device, () => {
      next(); // the prompt
      return undefined;
    });
    return {
      run() {
        if (ids.length === END) {
          ids.length = PROMPT - 1;
          cache.begin(ids, END);
        }
        ids.push(0);
        return next();
      },
      reference,
      clock: "host",
      layers: size.layers,
      release() {
        cache.release();
        model.release();
      },
    };
  };
  return hostCase("host decode", size, `S${PROMPT}`, setup);
}

/** The host's work grows with the number of layers, not with their width. */
function hostCase(op: string, size: ModelSize, words: string, setup: BenchCase["setup"]): BenchCase {
  return sized(op, `${size.name} ${words}`, size.layers, setup, (device) => embeddingUnfit(size, device));
}

/**
 * The dispatches of another case, recorded once and encoded and submitted again as they are: what remains for Dawn and the driver
 * where nothing else is done, and so what no way of recording falls below.
 */
function encodingOf(whole: BenchCase): BenchCase {
  const setup = (device: Device): Prepared => {
    const prepared = whole.setup(device);
    const { stream } = device;
    const recorded: Parameters<typeof stream.dispatch>[] = [];
    scoped(device, () => {
      prepared.run(); // so that the recorded one finds everything made
      return undefined;
    });
    const dispatch = stream.dispatch.bind(stream);
    stream.dispatch = (...launch) => {
      recorded.push(launch);
      dispatch(...launch);
    };
    scoped(device, () => {
      prepared.run();
      return undefined;
    });
    Reflect.deleteProperty(stream, "dispatch"); // the class's own again
    return {
      ...prepared,
      run() {
        for (const launch of recorded) dispatch(...launch);
        return [];
      },
    };
  };
  const op = `${whole.op}, encoding alone`;
  return { ...whole, name: `${op} ${whole.size}`, op, setup };
}

const models = [loraStep(TOY, 128), loraStep(SMOLLM2, 256), decode(TOY), decode(SMOLLM2)];

export const cases: BenchCase[] = [...models, ...models.map(encodingOf)];
