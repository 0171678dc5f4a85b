// @jax-js/jax: the part that is used of it, and what kernels and the model share.
// Its arrays are counted: an operation consumes its operands, and `.ref` keeps one for another use.
import { ADAM, EPS, type HostTensor } from "./work.ts";

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

/** A function of arrays. */
export type Compute = (...args: JaxArray[]) => JaxArray | JaxArray[];

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

/** A host tensor on the device. */
export function toJax(jax: Jax, { values, shape }: HostTensor): JaxArray {
  return jax.numpy.array(values, { shape: [...shape] });
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
