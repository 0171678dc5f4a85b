import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import type { OpenOptions } from "../../src/load/model.ts";
import { QUANTIZATIONS } from "../../src/load/quantization.ts";
import { OPTIMIZERS } from "../../src/train/optimizers/registry.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";

/** What is tried together. */
export interface Drawn {
  /** Folder in test/fixtures. */
  readonly fixture: string;
  /** Whose golden.json has the rows. */
  readonly golden: string;
  readonly open: OpenOptions;
  readonly method: string;
  /** As the method's function takes them. */
  readonly methodOptions: Readonly<Record<string, unknown>>;
  readonly train: TrainerOptions;
}

/** Folder of a fixture; scripts run at the root of the repository. */
export const fixturePath = (name: string) => resolve("test/fixtures", name);
const folders = (of: string) =>
  readdirSync(fixturePath(of), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== "adapter")
    .map((entry) => `${of}/${entry.name}`);

const FIXTURES: readonly { fixture: string; golden: string }[] = [
  ...["llama-gqa", "llama-tied", ...folders("families"), ...folders("tasks")].map((fixture) => ({
    fixture,
    golden: fixture,
  })),
  ...folders("quantised").map((fixture) => ({ fixture, golden: "quantised" })),
];

/** Equally likely choices of a value; undefined leaves the option out. */
type Choices = Readonly<Record<string, readonly unknown[]>>;

const NONE = undefined;
const BESIDE: Choices = {
  targetModules: [NONE, NONE, "all-linear"],
};
const LYCORIS: Choices = {
  r: [1, 3, 8],
  rankDropout: [NONE, NONE, 0.3],
  moduleDropout: [NONE, NONE, 0.3],
  ...BESIDE,
};
const METHOD_CHOICES: Readonly<Record<string, Choices>> = {
  lora: {
    r: [1, 2, 5, 8],
    dropout: [NONE, 0.2],
    useRslora: [NONE, true],
    useDora: [NONE, true],
    bias: [NONE, NONE, "all", "lora_only"],
    loraBias: [NONE, NONE, true],
    initWeights: [NONE, NONE, "gaussian", "pissa", "olora", "orthogonal"],
    ...BESIDE,
    targetModules: [NONE, NONE, "all-linear", ["embed_tokens", "q_proj"], ["lm_head", "v_proj"], ["wte"]],
    trainableTokenIndices: [NONE, NONE, NONE, [1, 3]],
  },
  adalora: {
    initR: [4, 8],
    targetR: [2],
    dropout: [NONE, 0.2],
    tinit: [0, 1],
    tfinal: [1],
    deltaT: [1],
    totalStep: [4],
    ...BESIDE,
  },
  ia3: {},
  loha: LYCORIS,
  lokr: { ...LYCORIS, decomposeBoth: [NONE, true], decomposeFactor: [NONE, 4] },
  vera: { r: [2, 8], dropout: [NONE, 0.2], ...BESIDE },
  oft: {
    oftBlockSize: [2, 4, 8],
    coft: [NONE, true],
    blockShare: [NONE, true],
    useCayleyNeumann: [NONE, true, false],
    ...BESIDE,
  },
  ln_tuning: {},
  beft: {},
  prompt_tuning: { numVirtualTokens: [1, 4] },
  p_tuning: {
    numVirtualTokens: [3],
    encoderHiddenSize: [NONE, 8],
    encoderReparameterizationType: [NONE, "LSTM"],
  },
  prefix_tuning: { numVirtualTokens: [1, 4], prefixProjection: [NONE, true], encoderHiddenSize: [NONE, 8] },
  bottleneck: {
    adapterConfig: [NONE, "houlsby", "pfeiffer", "parallel", "double_seq_bn", "seq_bn", "par_bn"],
    trainHead: [NONE, true],
  },
};

const TRAIN: Choices = {
  batchSize: [1, 2, 3],
  gradientAccumulationSteps: [NONE, NONE, 2],
  learningRate: [1e-3, 1e-2],
  schedule: [NONE, "cosine", "constant"],
  gradientCheckpointing: [NONE, NONE, true],
  activationBits: [NONE, NONE, 8],
  precision: [NONE, NONE, "mixed"],
  labelSmoothing: [NONE, NONE, NONE, 0.1],
  zLoss: [NONE, NONE, NONE, 1e-3],
  neftuneNoiseAlpha: [NONE, NONE, NONE, 5],
  groupByLength: [NONE, NONE, true],
  packing: [NONE, NONE, NONE, true],
  optimizer: [NONE, NONE, ...OPTIMIZERS],
  loraplusLrRatio: [NONE, NONE, NONE, 4],
  weightDecay: [NONE, 0.1],
  batchSplit: [NONE, NONE, NONE, 2],
  maxGradNorm: [NONE, 0, 0.5],
};

const OPEN: Choices = {
  quantization: [NONE, NONE, NONE, ...QUANTIZATIONS],
  offload: [NONE, NONE, NONE, true, 1],
};

/** The combination of a seed. */
export function draw(seed: number): Drawn {
  const next = random(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const pickEach = (choices: Choices) =>
    Object.fromEntries(
      Object.entries(choices)
        .map(([name, values]) => [name, pick(values)] as const)
        .filter(([, value]) => value !== undefined),
    );
  const method = next() < 0.4 ? "lora" : pick(Object.keys(METHOD_CHOICES));
  const train = pickEach(TRAIN);
  const source = pick(FIXTURES);
  return {
    ...source,
    open: pickEach(source.golden === "quantised" ? { offload: OPEN.offload as readonly unknown[] } : OPEN),
    method,
    methodOptions: pickEach(METHOD_CHOICES[method] as Choices),
    train: { ...train, ...(train.packing === true && { maxLength: 24 }) },
  };
}

/** Numbers in [0, 1) (mulberry32, public domain). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
