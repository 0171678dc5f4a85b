// What every engine is asked to compute, with the inputs, so that all compute the same.
import { repeatedValues } from "../harness.ts";

/** `forward`, or forward and backward together: what an engine with automatic differentiation runs. */
export type Direction = "forward" | "forward+backward";

/** A tensor on the host. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array<ArrayBuffer>;
}

/** One thing to compute. Outputs are compared in the order named here. */
export type Work =
  /** C = A B of two n × n matrices. */
  | { readonly kind: "matmul"; readonly n: number }
  /** Causal; q, k, v are `[T, H, D]`. Outputs: o, or dq, dk, dv. */
  | {
      readonly kind: "attention";
      readonly tokens: number;
      readonly heads: number;
      readonly headDim: number;
      readonly direction: Direction;
    }
  /** Outputs: y, or dx and dw. */
  | { readonly kind: "rms-norm"; readonly rows: number; readonly cols: number; readonly direction: Direction }
  /** silu(gate) · up. Outputs: y, or dgate and dup. */
  | { readonly kind: "swiglu"; readonly rows: number; readonly cols: number; readonly direction: Direction }
  /** x is `[T, H, D]`; the halves of a head are pairs. Outputs: y, or dx. */
  | {
      readonly kind: "rope";
      readonly tokens: number;
      readonly heads: number;
      readonly headDim: number;
      readonly direction: Direction;
    }
  /** Mean over the rows. Outputs: the losses `[rows]`, or the gradient of their mean. */
  | {
      readonly kind: "cross-entropy";
      readonly rows: number;
      readonly vocab: number;
      readonly direction: Direction;
    }
  /** One step from moments of zero. Outputs: the parameters and both moments. */
  | { readonly kind: "adamw"; readonly count: number }
  /** One optimiser step of a Llama-style model, all weights. Outputs: the losses of the first steps. */
  | { readonly kind: "training"; readonly weights: ReadonlyMap<string, HostTensor> };

/** The fixed model of the training step. */
export const MODEL = {
  hidden: 256,
  layers: 4,
  heads: 4,
  headDim: 64,
  intermediate: 1024,
  vocab: 1024,
  tokens: 128,
  eps: 1e-5,
  theta: 10_000,
  learningRate: 1e-3,
} as const;

/** ε of RMSNorm. */
export const EPS = 1e-5;
/** AdamW as all engines run it. */
export const ADAM = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8 } as const;
/** Base of RoPE's wavelengths. */
export const THETA = 10_000;

/** Steps whose losses are compared. */
export const COMPARED_STEPS = 3;

/** Token ids of the training step; the label of each position is the next one's token. */
export function tokenIds(): number[] {
  return Array.from({ length: MODEL.tokens }, (_, i) => (i * 7919 + ((i * i) % 13)) % MODEL.vocab);
}

/** Input number `seed` of a work. */
export function input(shape: readonly number[], seed: number): HostTensor {
  return {
    shape,
    values: repeatedValues(
      shape.reduce((a, b) => a * b, 1),
      seed,
    ),
  };
}

/** Labels of the cross-entropy. */
export function labelsOf(rows: number, vocab: number): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: rows }, (_, row) => (row * 7919) % vocab);
}

/** Ones at the labels, zeros elsewhere: what engines that gather slowly multiply with. */
export function oneHot(labels: ArrayLike<number>, classes: number): HostTensor {
  const values = new Float32Array(labels.length * classes);
  for (let row = 0; row < labels.length; row++) values[row * classes + (labels[row] as number)] = 1;
  return { shape: [labels.length, classes], values };
}

/** 0 where a query sees a key, a large negative number elsewhere. */
export function causalMask(tokens: number): HostTensor {
  const values = Float32Array.from({ length: tokens * tokens }, (_, i) =>
    i % tokens > Math.floor(i / tokens) ? -1e9 : 0,
  );
  return { shape: [1, tokens, tokens], values };
}

/** Cosines and sines of RoPE, each `[T, D/2]`. */
export function ropeTables(tokens: number, headDim: number): { cos: HostTensor; sin: HostTensor } {
  const half = headDim / 2;
  const angle = (i: number) => Math.floor(i / half) * THETA ** ((-2 * (i % half)) / headDim);
  const table = (f: (x: number) => number): HostTensor => ({
    shape: [tokens, half],
    values: Float32Array.from({ length: tokens * half }, (_, i) => f(angle(i))),
  });
  return { cos: table(Math.cos), sin: table(Math.sin) };
}

/** A short name, unique among works. */
export function nameOf(work: Work): string {
  switch (work.kind) {
    case "matmul":
      return `matmul ${work.n}³`;
    case "attention":
    case "rope":
      return `${work.kind} ${work.direction} H${work.heads} T${work.tokens} D${work.headDim}`;
    case "rms-norm":
    case "swiglu":
      return `${work.kind} ${work.direction} ${work.rows}×${work.cols}`;
    case "cross-entropy":
      return `${work.kind} ${work.direction} ${work.rows}×${work.vocab}`;
    case "adamw":
      return `adamw ${work.count}`;
    case "training":
      return "training step, all weights";
  }
}
