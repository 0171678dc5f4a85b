// @tensorflow/tfjs on its WebGPU backend.
import type { Engine, Prepared } from "./engine.ts";
import { importPeer } from "./engine.ts";
import { tfTraining } from "./tfjs-model.ts";
import {
  attend,
  finishTf,
  silu,
  type Tf,
  type TfTensor,
  tfLosses,
  tfRmsNorm,
  tfRotate,
  toTf,
} from "./tfjs-ops.ts";
import { ADAM, causalMask, input, labelsOf, oneHot, ropeTables, type Work } from "./work.ts";

/** Opens the library on the WebGPU device of `navigator.gpu`. */
export async function tfEngine(version: string): Promise<Engine> {
  // The CommonJS builds, which Node takes: the ESM ones register no gradients there.
  const { default: tf } = await importPeer<{ default: Tf }>("@tensorflow/tfjs");
  await importPeer("@tensorflow/tfjs-backend-webgpu");
  await tf.setBackend("webgpu");
  await tf.ready();
  if (tf.getBackend() !== "webgpu") throw new Error("tfjs did not open its WebGPU backend");
  return {
    name: "tfjs-backend-webgpu",
    version,
    prepare: async (work) =>
      work.kind === "training" ? tfTraining(tf, work.weights) : prepareKernel(tf, work),
  };
}

function prepareKernel(tf: Tf, work: Exclude<Work, { kind: "training" }>): Prepared {
  const { inputs, compute } = kernelOf(tf, work);
  const call = () => [tf.tidy(() => compute(inputs))].flat();
  return {
    outputs: () => Promise.all(call().map((output) => output.data())),
    start() {
      tf.dispose(call());
      return () => finishTf(tf);
    },
    release: () => tf.dispose(inputs),
  };
}

interface TfKernel {
  inputs: TfTensor[];
  compute(inputs: TfTensor[]): TfTensor | TfTensor[];
}

type Forward = (...args: TfTensor[]) => TfTensor;

function kernelOf(tf: Tf, work: Exclude<Work, { kind: "training" }>): TfKernel {
  const upload = (shape: readonly number[], seeds: number[]) =>
    seeds.map((seed) => toTf(tf, input(shape, seed)));
  switch (work.kind) {
    case "matmul":
      return { inputs: upload([work.n, work.n], [1, 2]), compute: ([a, b]) => tf.matMul(a!, b!) };
    case "attention": {
      const mask = toTf(tf, causalMask(work.tokens));
      const inputs = upload([work.tokens, work.heads, work.headDim], [1, 2, 3, 4]);
      return directed(tf, (q, k, v) => attend(tf, [q!, k!, v!], mask), 3, inputs, work.direction);
    }
    case "rms-norm": {
      const [x, dy] = upload([work.rows, work.cols], [1, 3]);
      const [w] = upload([work.cols], [2]);
      return directed(tf, (x, w) => tfRmsNorm(tf, x!, w!), 2, [x!, w!, dy!], work.direction);
    }
    case "swiglu":
      return directed(
        tf,
        (gate, up) => tf.mul(silu(tf, gate!), up!),
        2,
        upload([work.rows, work.cols], [1, 2, 3]),
        work.direction,
      );
    case "rope": {
      const { cos, sin } = ropeTables(work.tokens, work.headDim);
      const [c, s] = [toTf(tf, cos), toTf(tf, sin)];
      const inputs = upload([work.tokens, work.heads, work.headDim], [1, 2]);
      return directed(tf, (x) => tfRotate(tf, x!, c, s), 1, inputs, work.direction);
    }
    case "cross-entropy": {
      const labels = toTf(tf, oneHot(labelsOf(work.rows, work.vocab), work.vocab));
      const inputs = upload([work.rows, work.vocab], [1]);
      if (work.direction === "forward") return { inputs, compute: ([x]) => tfLosses(tf, x!, labels) };
      const gradient = tf.grads((x) => tf.mean(tfLosses(tf, x!, labels)));
      return { inputs, compute: (args) => gradient(args) };
    }
    case "adamw": {
      const [p, g] = upload([work.count], [1, 2]);
      const zero = { shape: [work.count], values: new Float32Array(work.count) };
      return { inputs: [p!, g!, toTf(tf, zero), toTf(tf, zero)], compute: (args) => adamStep(tf, args) };
    }
  }
}

/** The forward pass, or the gradients of its first `count` inputs for the gradient that is the last one. */
function directed(tf: Tf, f: Forward, count: number, inputs: TfTensor[], direction: string): TfKernel {
  const args = inputs.slice(0, count);
  const dy = inputs.at(-1) as TfTensor;
  if (direction === "forward") return { inputs, compute: () => f(...args) };
  const gradients = tf.grads(f);
  return { inputs, compute: () => gradients(args, dy) };
}

function adamStep(tf: Tf, [p, g, m, v]: TfTensor[]): TfTensor[] {
  const { beta1, beta2, eps, learningRate } = ADAM;
  const m1 = tf.add(tf.mul(m!, beta1), tf.mul(g!, 1 - beta1));
  const v1 = tf.add(tf.mul(v!, beta2), tf.mul(tf.square(g!), 1 - beta2));
  const root = tf.add(tf.sqrt(tf.div(v1, 1 - beta2)), eps);
  return [tf.sub(p!, tf.div(tf.mul(m1, learningRate / (1 - beta1)), root)), m1, v1];
}
