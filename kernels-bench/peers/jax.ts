// @jax-js/jax. Its arrays are counted: an operation consumes its operands, and `.ref` keeps one for another use.
import type { Engine, Prepared } from "./engine.ts";
import { importPeer } from "./engine.ts";
import { jaxTraining } from "./jax-model.ts";
import { ADAM, EPS, type HostTensor, input, labelsOf, oneHot, ropeTables, type Work } from "./work.ts";

/** An array, or its stand-in while a function is traced. */
export interface JaxArray {
  readonly ref: JaxArray;
  readonly shape: number[];
  add(other: JaxArray | number): JaxArray;
  sub(other: JaxArray | number): JaxArray;
  mul(other: JaxArray | number): JaxArray;
  div(other: JaxArray | number): JaxArray;
  sum(axis?: number): JaxArray;
  mean(axis?: number, options?: { keepdims: boolean }): JaxArray;
  reshape(shape: number[]): JaxArray;
  transpose(axes?: number[]): JaxArray;
  data(): Promise<Float32Array>;
  dispose(): void;
}

type Compute = (...args: JaxArray[]) => JaxArray | JaxArray[];

/** What is used of the package. */
export interface Jax {
  init(device: string): Promise<string[]>;
  defaultDevice(device: string): string;
  blockUntilReady<T>(x: T): Promise<T>;
  jit(f: Compute): (...args: JaxArray[]) => JaxArray | JaxArray[];
  grad(
    f: (...args: JaxArray[]) => JaxArray,
    options: { argnums: number[] },
  ): (...args: JaxArray[]) => JaxArray[];
  valueAndGrad(
    f: (...args: JaxArray[]) => JaxArray,
    options: { argnums: number[] },
  ): (...args: JaxArray[]) => [JaxArray, JaxArray[]];
  numpy: {
    array(values: Float32Array, options: { shape: number[] }): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
    sqrt(x: JaxArray): JaxArray;
    reciprocal(x: JaxArray): JaxArray;
    split(x: JaxArray, parts: number, axis: number): JaxArray[];
    concatenate(parts: JaxArray[], axis: number): JaxArray;
  };
  nn: {
    silu(x: JaxArray): JaxArray;
    logsumexp(x: JaxArray, axis: number): JaxArray;
    dotProductAttention(q: JaxArray, k: JaxArray, v: JaxArray, options: { isCausal: boolean }): JaxArray;
  };
}

/** Opens the library on the WebGPU device of `navigator.gpu`. */
export async function jaxEngine(version: string): Promise<Engine> {
  await importPeer("core-js/actual/iterator/index.js"); // helpers that Node has from 22 on
  await importPeer("core-js/actual/set/index.js");
  const jax = await importPeer<Jax>("@jax-js/jax");
  await jax.init("webgpu");
  jax.defaultDevice("webgpu");
  return {
    name: "@jax-js/jax",
    version,
    prepare: async (work) =>
      work.kind === "training" ? jaxTraining(jax, work.weights) : prepareKernel(jax, work),
  };
}

/** A host tensor on the device. */
export function toJax(jax: Jax, { values, shape }: HostTensor): JaxArray {
  return jax.numpy.array(values, { shape: [...shape] });
}

function prepareKernel(jax: Jax, work: Exclude<Work, { kind: "training" }>): Prepared {
  const { compute, inputs } = kernelOf(jax, work);
  const compiled = jax.jit(compute);
  const call = () => [compiled(...inputs.map((x) => x.ref))].flat();
  return {
    outputs: () => Promise.all(call().map((output) => output.data())),
    start() {
      const results = call();
      return async () => {
        await jax.blockUntilReady(results);
        for (const result of results) result.dispose();
      };
    },
    release() {
      for (const x of inputs) x.dispose();
    },
  };
}

interface JaxKernel {
  compute: Compute;
  inputs: JaxArray[];
}

function kernelOf(jax: Jax, work: Exclude<Work, { kind: "training" }>): JaxKernel {
  const upload = (shape: readonly number[], seeds: number[]) =>
    seeds.map((seed) => toJax(jax, input(shape, seed)));
  switch (work.kind) {
    case "matmul":
      return { compute: (a, b) => jax.numpy.matmul(a!, b!), inputs: upload([work.n, work.n], [1, 2]) };
    case "attention": {
      const inputs = upload([1, work.tokens, work.heads, work.headDim], [1, 2, 3, 4]);
      const f: Forward = (q, k, v) => jax.nn.dotProductAttention(q!, k!, v!, { isCausal: true });
      return directed(jax, f, 3, inputs, work.direction);
    }
    case "rms-norm": {
      const [x, dy] = upload([work.rows, work.cols], [1, 3]);
      const [w] = upload([work.cols], [2]);
      return directed(jax, (x, w) => rmsNorm(jax, x!, w!), 2, [x!, w!, dy!], work.direction);
    }
    case "swiglu": {
      const f: Forward = (gate, up) => jax.nn.silu(gate!).mul(up!);
      return directed(jax, f, 2, upload([work.rows, work.cols], [1, 2, 3]), work.direction);
    }
    case "rope": {
      const { cos, sin } = ropeTables(work.tokens, work.headDim);
      const [x, dy] = upload([work.tokens, work.heads, work.headDim], [1, 2]);
      const tables = [cos, sin].map((table) => toJax(jax, table));
      const f: Forward = (x, cos, sin) => rotate(jax, x!, cos!, sin!);
      return directed(jax, f, 1, [x!, ...tables, dy!], work.direction);
    }
    case "cross-entropy": {
      const [logits] = upload([work.rows, work.vocab], [1]);
      const labels = toJax(jax, oneHot(labelsOf(work.rows, work.vocab), work.vocab));
      if (work.direction === "forward")
        return { compute: (x, y) => losses(jax, x!, y!), inputs: [logits!, labels] };
      const mean = (x?: JaxArray, y?: JaxArray) => losses(jax, x!, y!).mean();
      return { compute: jax.grad(mean, { argnums: [0] }), inputs: [logits!, labels] };
    }
    case "adamw": {
      const [p, g] = upload([work.count], [1, 2]);
      const zero = { shape: [work.count], values: new Float32Array(work.count) };
      const [m, v] = [toJax(jax, zero), toJax(jax, zero)];
      const compute: Compute = (p, g, m, v) =>
        adam(jax, [p!, g!, m!, v!], { corrected1: 1 - ADAM.beta1, corrected2: 1 - ADAM.beta2 });
      return { compute, inputs: [p!, g!, m!, v!] };
    }
  }
}

type Forward = (...args: JaxArray[]) => JaxArray;

/** The forward pass, or the gradients of its first `count` arguments for the gradient that is the last one. */
function directed(jax: Jax, f: Forward, count: number, inputs: JaxArray[], direction: string): JaxKernel {
  const [args, dy] = [inputs.slice(0, -1), inputs.at(-1) as JaxArray];
  if (direction === "forward") return { compute: f, inputs: args };
  const product = (...all: JaxArray[]) =>
    f(...all.slice(0, -1))
      .mul(all.at(-1) as JaxArray)
      .sum();
  const argnums = Array.from({ length: count }, (_, i) => i);
  return { compute: jax.grad(product, { argnums }), inputs: [...args, dy] };
}

/** x / √(mean(x²) + ε) · w. */
export function rmsNorm(jax: Jax, x: JaxArray, w: JaxArray): JaxArray {
  const meanSquare = x.ref.mul(x.ref).mean(-1, { keepdims: true });
  return x.mul(jax.numpy.reciprocal(jax.numpy.sqrt(meanSquare.add(EPS)))).mul(w);
}

/** RoPE of `[T, H, D]` with tables `[T, D/2]`. */
export function rotate(jax: Jax, x: JaxArray, cos: JaxArray, sin: JaxArray): JaxArray {
  const [tokens = 0, half = 0] = cos.shape;
  const [c, s] = [cos.reshape([tokens, 1, half]), sin.reshape([tokens, 1, half])];
  const [left, right] = jax.numpy.split(x, 2, 2) as [JaxArray, JaxArray];
  const first = left.ref.mul(c.ref).sub(right.ref.mul(s.ref));
  const second = right.mul(c).add(left.mul(s));
  return jax.numpy.concatenate([first, second], 2);
}

/** Losses of rows, given ones at their labels. */
export function losses(jax: Jax, logits: JaxArray, labels: JaxArray): JaxArray {
  return jax.nn.logsumexp(logits.ref, -1).sub(logits.mul(labels).sum(-1));
}

/** One step of Adam without weight decay; returns p, m and v. */
export function adam(
  jax: Jax,
  [p, g, m, v]: [JaxArray, JaxArray, JaxArray, JaxArray],
  { corrected1, corrected2 }: { corrected1: JaxArray | number; corrected2: JaxArray | number },
): JaxArray[] {
  const { beta1, beta2, eps, learningRate } = ADAM;
  const m1 = m.mul(beta1).add(g.ref.mul(1 - beta1));
  const v1 = v.mul(beta2).add(g.ref.mul(g).mul(1 - beta2));
  const root = jax.numpy.sqrt(v1.ref.div(corrected2)).add(eps);
  return [p.sub(m1.ref.div(corrected1).mul(learningRate).div(root)), m1, v1];
}
