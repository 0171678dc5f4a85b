import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { Batch } from "../../src/data/batch.ts";
import type { Device } from "../../src/gpu/device.ts";
import { fromArray, scoped, type Tensor } from "../../src/gpu/tensor.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { adamW } from "../../src/kernels/adamw.ts";
import { attention, attentionBackward } from "../../src/kernels/attention.ts";
import { crossEntropy } from "../../src/kernels/cross-entropy.ts";
import { zeros } from "../../src/kernels/elementwise.ts";
import { gatedActivation, gatedActivationBackward } from "../../src/kernels/gated-activation.ts";
import { matmul } from "../../src/kernels/matmul.ts";
import { rmsNorm, rmsNormBackward, rmsNormBackwardWeight } from "../../src/kernels/rms-norm.ts";
import { rope, ropeBackward } from "../../src/kernels/rope.ts";
import { equalRates } from "../../src/kernels/update.ts";
import { createModel, modelFiles } from "../../src/load/create.ts";
import { openModel } from "../../src/load/model.ts";
import type { LanguageModel } from "../../src/models/model.ts";
import { placeTokens, wholeRows } from "../../src/nn/geometry.ts";
import { type Parameters, readParameters } from "../../src/nn/parameters.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { encodeBf16 } from "../../src/util/half.ts";
import { batchOf, recordStep } from "../step.ts";
import type { Engine, Prepared } from "./engine.ts";
import {
  ADAM,
  COMPARED_STEPS,
  EPS,
  type HostTensor,
  input,
  labelsOf,
  MODEL,
  ropeTables,
  tokenIds,
  type Work,
} from "./work.ts";

/** Variants of this package that take part. */
export type Variant = "f32" | "bf16 weights" | "LoRA r 8" | "LoRA r 8 on bf16";

/** This package as one of the engines. */
export function ourEngine(device: Device, version: string, variant: Variant = "f32"): Engine {
  return {
    name: variant === "f32" ? "webgpu-lora" : `webgpu-lora, ${variant}`,
    version,
    async prepare(work) {
      if (variant.startsWith("LoRA"))
        return work.kind === "training" ? prepareLora(device, variant === "LoRA r 8 on bf16") : undefined;
      if (variant === "bf16 weights" && work.kind !== "matmul") return undefined;
      return work.kind === "training"
        ? prepareFull(device)
        : preparedKernels(device, () => record(device, work, variant));
    },
  };
}

type Recorder = () => readonly Tensor[];

/** Inputs live in a scope of their own until they are released. */
function preparedKernels(device: Device, make: () => Recorder): Prepared {
  const scope = device.memory.beginScope();
  const run = make();
  return {
    async outputs() {
      const tensors = scoped(device, run);
      return Promise.all(tensors.map((tensor) => tensor.read()));
    },
    start() {
      scoped(device, () => {
        run();
        return undefined;
      });
      return () => device.sync();
    },
    release() {
      device.memory.endScope(scope);
      device.memory.trim();
    },
  };
}

const upload = (device: Device, { values, shape }: HostTensor): Tensor => fromArray(device, values, shape);

function record(device: Device, work: Exclude<Work, { kind: "training" }>, variant: Variant): Recorder {
  switch (work.kind) {
    case "matmul":
      return matrixProduct(device, work.n, variant);
    case "attention":
      return recordAttention(device, work);
    case "rms-norm":
      return recordRmsNorm(device, work);
    case "swiglu":
      return recordSwiGlu(device, work);
    case "rope":
      return recordRope(device, work);
    case "cross-entropy":
      return recordCrossEntropy(device, work);
    case "adamw":
      return recordAdamW(device, work.count);
  }
}

type Of<K extends Work["kind"]> = Extract<Work, { kind: K }>;

function matrixProduct(device: Device, n: number, variant: Variant): Recorder {
  const a = upload(device, input([n, n], 1));
  const right = input([n, n], 2);
  const b =
    variant === "bf16 weights"
      ? fromArray(device, encodeBf16(right.values), right.shape, "bf16")
      : upload(device, right);
  return () => [matmul(a, b, { layout: "NN" })];
}

function recordAttention(device: Device, { tokens, heads, headDim, direction }: Of<"attention">): Recorder {
  const shape = [1, tokens, heads, headDim];
  const [q, k, v, dO] = [1, 2, 3, 4].map((seed) => upload(device, input(shape, seed))) as Tensor[];
  const { spans } = placeTokens(device, wholeRows(1, tokens));
  const options = { scale: 1 / Math.sqrt(headDim), spans };
  const forward = () => attention(q!, k!, v!, options);
  if (direction === "forward") return () => [forward().o];
  return () => {
    const { dq, dk, dv } = attentionBackward(dO!, { q: q!, k: k!, v: v!, ...forward(), ...options });
    return [dq, dk, dv];
  };
}

function recordRmsNorm(device: Device, { rows, cols, direction }: Of<"rms-norm">): Recorder {
  const [x, dy] = [1, 3].map((seed) => upload(device, input([rows, cols], seed))) as [Tensor, Tensor];
  const weight = upload(device, input([cols], 2));
  if (direction === "forward") return () => [rmsNorm(x, weight, { eps: EPS }).y];
  return () => {
    const { rstd } = rmsNorm(x, weight, { eps: EPS });
    const saved = { x, weight, rstd, eps: EPS };
    return [rmsNormBackward(dy, saved), rmsNormBackwardWeight(dy, saved)];
  };
}

function recordSwiGlu(device: Device, { rows, cols, direction }: Of<"swiglu">): Recorder {
  const [gate, up, dy] = [1, 2, 3].map((seed) => upload(device, input([rows, cols], seed))) as Tensor[];
  if (direction === "forward") return () => [gatedActivation(gate!, up!)];
  return () => {
    gatedActivation(gate!, up!);
    const { dgate, dup } = gatedActivationBackward(dy!, { gate: gate!, up: up! });
    return [dgate, dup];
  };
}

function recordRope(device: Device, { tokens, heads, headDim, direction }: Of<"rope">): Recorder {
  const [x, dy] = [1, 2].map((seed) => upload(device, input([1, tokens, heads, headDim], seed))) as Tensor[];
  const { cos, sin } = ropeTables(tokens, headDim);
  const table = { cos: upload(device, cos), sin: upload(device, sin) };
  const { positions } = placeTokens(device, wholeRows(1, tokens));
  if (direction === "forward") return () => [rope(x!, table, positions)];
  return () => {
    rope(x!, table, positions);
    return [ropeBackward(dy!, table, positions)];
  };
}

function recordCrossEntropy(device: Device, { rows, vocab, direction }: Of<"cross-entropy">): Recorder {
  const logits = upload(device, input([rows, vocab], 1));
  const labels = fromArray(device, labelsOf(rows, vocab), [rows]);
  if (direction === "forward") return () => [crossEntropy(logits, labels)];
  return () => {
    crossEntropy(logits, labels, { scale: 1 / rows }); // in place: logits become their gradient
    return [logits];
  };
}

function recordAdamW(device: Device, count: number): Recorder {
  const [parameters, gradients] = [1, 2].map((seed) => upload(device, input([count], seed))) as Tensor[];
  const [m, v] = [zeros(device, [count]), zeros(device, [count])];
  const outcome = fromArray(device, Float32Array.of(1, 1), [2]);
  const rates = equalRates(device, count);
  return () => {
    adamW({ parameters: parameters!, gradients: gradients!, m, v, outcome, rates }, { ...ADAM, step: 1 });
    return [parameters!, m, v];
  };
}

const CONFIG = {
  architectures: ["LlamaForCausalLM"],
  vocab_size: MODEL.vocab,
  hidden_size: MODEL.hidden,
  intermediate_size: MODEL.intermediate,
  num_hidden_layers: MODEL.layers,
  num_attention_heads: MODEL.heads,
  num_key_value_heads: MODEL.heads,
  head_dim: MODEL.headDim,
  max_position_embeddings: MODEL.tokens,
  rms_norm_eps: MODEL.eps,
  rope_theta: MODEL.theta,
  tie_word_embeddings: true,
};

/** The initial weights by their Hugging Face names, for the other engines. */
export async function initialWeights(device: Device): Promise<Map<string, HostTensor>> {
  const { model, parameters } = createModel(device, CONFIG);
  const values = await readParameters(parameters);
  const entries = parameters.entries.map(({ name, tensor }): [string, HostTensor] => {
    return [name, { shape: [...tensor.shape], values: values.get(name) as Float32Array<ArrayBuffer> }];
  });
  model.release();
  device.memory.release(parameters.flat.storage);
  return new Map(entries);
}

function prepareFull(device: Device): Prepared {
  const { model, parameters } = createModel(device, CONFIG);
  return prepareTraining(model, parameters, () => {
    model.release();
    device.memory.release(parameters.flat.storage);
  });
}

/** On the same initial weights, frozen: in f32, or as a checkpoint in bf16 has them. */
async function prepareLora(device: Device, inBf16: boolean): Promise<Prepared> {
  const { model: created, parameters: weights } = createModel(device, CONFIG);
  const model = inBf16
    ? await openModel(memoryFiles("peers", await modelFiles(CONFIG, weights)), device)
    : created;
  const adapter = attach(model, lora({ r: 8, alpha: 16, targetModules: "all-linear" }), { seed: 1 });
  return prepareTraining(model, adapter.parameters, () => {
    adapter.release();
    if (inBf16) model.release();
    created.release();
    device.memory.release(weights.flat.storage);
  });
}

function prepareTraining(model: LanguageModel, parameters: Parameters, release: () => void): Prepared {
  const { device } = model;
  const optimizer = new Optimizer(parameters, { weightDecay: 0, maxGradNorm: 0 });
  const batch = batchOf(tokenIds());
  const { learningRate } = MODEL;
  const step = () => recordStep(model, { parameters, optimizer, batch, learningRate });
  return {
    async outputs() {
      const losses: number[] = [];
      for (let i = 0; i < COMPARED_STEPS; i++) losses.push(await readLoss(device, step(), batch));
      return [losses];
    },
    start() {
      device.memory.release(step().storage);
      return () => device.sync();
    },
    release() {
      optimizer.release();
      release();
      device.memory.trim();
    },
  };
}

async function readLoss(device: Device, loss: Tensor, { terms }: Batch): Promise<number> {
  const [sum = 0] = await loss.read();
  device.memory.release(loss.storage);
  return sum / terms;
}
