// @tensorflow/tfjs: the part that is used of it, and what kernels and the model share.
import { EPS, type HostTensor } from "./work.ts";

/** A tensor of tfjs. */
export interface TfTensor {
  readonly shape: number[];
  data(): Promise<Float32Array>;
  dispose(): void;
}

/** A trainable tensor of tfjs. */
export interface TfVariable extends TfTensor {
  readonly name: string;
}

/** What is used of the package. */
export interface Tf {
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  getBackend(): string;
  backend(): { endComputePassEncoder(): void; submitQueue(): void; queue: GPUQueue };
  tensor(values: Float32Array, shape: number[]): TfTensor;
  variable(initial: TfTensor): TfVariable;
  scalar(value: number): TfTensor;
  tidy<T>(body: () => T): T;
  dispose(x: unknown): void;
  matMul(a: TfTensor, b: TfTensor, transposeA?: boolean, transposeB?: boolean): TfTensor;
  add(a: TfTensor, b: TfTensor | number): TfTensor;
  sub(a: TfTensor, b: TfTensor | number): TfTensor;
  mul(a: TfTensor, b: TfTensor | number): TfTensor;
  div(a: TfTensor, b: TfTensor | number): TfTensor;
  square(x: TfTensor): TfTensor;
  sqrt(x: TfTensor): TfTensor;
  rsqrt(x: TfTensor): TfTensor;
  sigmoid(x: TfTensor): TfTensor;
  softmax(x: TfTensor): TfTensor;
  logSumExp(x: TfTensor, axis: number): TfTensor;
  mean(x: TfTensor, axis?: number, keepDims?: boolean): TfTensor;
  sum(x: TfTensor, axis?: number): TfTensor;
  reshape(x: TfTensor, shape: number[]): TfTensor;
  transpose(x: TfTensor, axes: number[]): TfTensor;
  split(x: TfTensor, parts: number | number[], axis: number): TfTensor[];
  concat(parts: TfTensor[], axis: number): TfTensor;
  grads(f: (...args: TfTensor[]) => TfTensor): (args: TfTensor[], dy?: TfTensor) => TfTensor[];
  train: {
    adam(
      rate: number,
      beta1: number,
      beta2: number,
      epsilon: number,
    ): {
      minimize(f: () => TfTensor, returnCost: boolean, variables: TfVariable[]): TfTensor;
      dispose(): void;
    };
  };
}

/** A host tensor on the device. */
export function toTf(tf: Tf, { values, shape }: HostTensor): TfTensor {
  return tf.tensor(values, [...shape]);
}

/** Sends what is queued and waits for the device. */
export async function finishTf(tf: Tf): Promise<void> {
  const backend = tf.backend();
  backend.endComputePassEncoder();
  backend.submitQueue();
  await backend.queue.onSubmittedWorkDone();
}

/** Attention of `[T, H, D]`, by the library's general operations: it has none of its own. */
export function attend(tf: Tf, qkv: readonly TfTensor[], mask: TfTensor): TfTensor {
  const [q, k, v] = qkv.map((x) => tf.transpose(x, [1, 0, 2])) as [TfTensor, TfTensor, TfTensor];
  const scale = 1 / Math.sqrt(q.shape[2] as number);
  const scores = tf.add(tf.mul(tf.matMul(q, k, false, true), scale), mask);
  return tf.transpose(tf.matMul(tf.softmax(scores), v), [1, 0, 2]);
}

/** x / √(mean(x²) + ε) · w. */
export function tfRmsNorm(tf: Tf, x: TfTensor, w: TfTensor): TfTensor {
  return tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), EPS))), w);
}

/** x · sigmoid(x). */
export function silu(tf: Tf, x: TfTensor): TfTensor {
  return tf.mul(x, tf.sigmoid(x));
}

/** RoPE of `[T, H, D]` with tables `[T, D/2]`. */
export function tfRotate(tf: Tf, x: TfTensor, cos: TfTensor, sin: TfTensor): TfTensor {
  const [tokens = 0, half = 0] = cos.shape;
  const [c, s] = [tf.reshape(cos, [tokens, 1, half]), tf.reshape(sin, [tokens, 1, half])];
  const [left, right] = tf.split(x, 2, 2) as [TfTensor, TfTensor];
  const first = tf.sub(tf.mul(left, c), tf.mul(right, s));
  return tf.concat([first, tf.add(tf.mul(right, c), tf.mul(left, s))], 2);
}

/** Losses of rows, given ones at their labels. */
export function tfLosses(tf: Tf, logits: TfTensor, labels: TfTensor): TfTensor {
  return tf.sub(tf.logSumExp(logits, -1), tf.sum(tf.mul(logits, labels), -1));
}
