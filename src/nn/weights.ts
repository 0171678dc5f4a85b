import type { Tensor } from "../gpu/tensor.ts";
import type { Weight } from "../kernels/weight.ts";

/**
 * Where a model's tensors come from: a checkpoint, a random initialiser, or nothing but shapes.
 * A model is constructed from its weights, so that name, shape and place are stated once, where they are used.
 */
export interface Weights {
  /** Path so far, as in the checkpoint: `model.layers.0.self_attn`. */
  readonly path: string;
  /** The same source one name further down, like `cd`. */
  at(name: string): Weights;
  /**
   * A tensor that lives as long as the model.
   * @param shape what the config says; a source that disagrees reports it together with all other problems
   */
  tensor(name: string, shape: readonly number[], options?: TensorRequest): Tensor;
  /**
   * A matrix that products and look-ups decode as they read it, in whatever format the source has or makes of it.
   * @param shape `[rows, columns]`
   */
  weight(name: string, shape: readonly [number, number], options?: WeightRequest): Weight;
}

/** How a model wants a matrix. */
export interface WeightRequest extends Pick<TensorRequest, "transposed" | "fresh"> {
  /** The weight of a linear layer, which is what is quantised where nothing else is asked for. */
  linear?: boolean;
  /** The matrix is a stack of so many, one below the other: the source has `[stack, rows / stack, columns]`. */
  stack?: number;
}

/** How a model wants a tensor. */
export interface TensorRequest {
  /** `words`: f32, bf16 or f16 as stored (matrices that matmul decodes). `f32`: converted (norms, biases). */
  storage?: "words" | "f32";
  /** What random initialisation gives: a normal matrix, or a constant. */
  init?: "normal" | "ones" | "zeros";
  /** The source holds the matrix transposed: asked for as `[out, in]`, stored as `[in, out]`. */
  transposed?: boolean;
  /** Part of a task's head: where a source lacks it, it may be initialised instead. */
  fresh?: boolean;
}

/** The shape in which a source has what is asked for as `[rows, columns]`. */
export function storedShape(
  shape: readonly number[],
  { transposed = false, stack }: Pick<WeightRequest, "transposed" | "stack">,
): readonly number[] {
  if (stack === undefined) return transposed ? [...shape].reverse() : shape;
  const [rows = 0, columns = 0] = shape;
  const matrix = [rows / stack, columns];
  return [stack, ...(transposed ? matrix.reverse() : matrix)];
}

/** Joins two parts of a checkpoint path. */
export function joinPath(path: string, name: string): string {
  return path === "" ? name : `${path}.${name}`;
}

/** How names in files of other versions become a model's own: each pair is applied in order. */
export type Renames = readonly (readonly [stored: RegExp, own: string])[];

/** A model's own name for a tensor or module of a file. */
export function ownName(renames: Renames, stored: string): string {
  return renames.reduce((name, [other, own]) => name.replace(other, own), stored);
}

/** How the names of a checkpoint become those of a model. */
export interface Naming {
  readonly renames: Renames;
  /** Path of the model's body in the class with a head; a model that was saved without a head lacks it. */
  readonly prefix: string;
}

/**
 * A model's own name for a stored tensor: after the renames, one prefix more or less where only that gives a name
 * that the model knows (`rename_source_key` in core_model_loading.py of transformers 5).
 * @returns a name that is not among the known ones where the model has no such tensor
 */
export function modelName({ renames, prefix }: Naming, stored: string, known: ReadonlySet<string>): string {
  const start = `${prefix}.`;
  const without = (name: string) => (name.startsWith(start) ? name.slice(start.length) : name);
  const name = ownName(renames, stored);
  const others = [without(name), ownName(renames, without(stored)), start + name];
  return others.find((other) => known.has(other)) ?? name;
}
