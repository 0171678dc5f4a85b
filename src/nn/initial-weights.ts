import type { Device } from "../gpu/device.ts";
import { elementCount, Tensor } from "../gpu/tensor.ts";
import type { Random } from "../util/random.ts";
import { allocateParameters, type Parameters } from "./parameters.ts";
import { joinPath, type TensorRequest, type WeightRequest, type Weights } from "./weights.ts";

/** A tensor that a model asked for. */
export interface ShapeRequest {
  name: string;
  shape: readonly number[];
  init: NonNullable<TensorRequest["init"]>;
  /** The checkpoint holds it as `[in, out]`; `shape` is `[out, in]`. */
  transposed: boolean;
  /** The checkpoint holds `[stack, out / stack, in]`. */
  stack?: number | undefined;
}

/**
 * A source that has only shapes: building a model from it costs no memory and lists what the model would need.
 * Its tensors must not be used.
 */
export function shapeWeights(device: Device): { root: Weights; requests: ShapeRequest[] } {
  const requests: ShapeRequest[] = [];
  const at = (path: string): Weights => {
    const tensor = (
      name: string,
      shape: readonly number[],
      { init = "normal", transposed = false, stack }: TensorRequest & WeightRequest = {},
    ) => {
      requests.push({ name: joinPath(path, name), shape, init, transposed, stack });
      return new Tensor(
        device,
        { id: -1, buffer: undefined as never, size: 0, holds: 0, lastStep: 0, lastUse: -1 },
        shape,
      );
    };
    return { path, at: (name) => at(joinPath(path, name)), tensor, weight: tensor };
  };
  return { root: at(""), requests };
}

/** Options of {@link randomWeights}. */
export interface RandomWeightsOptions {
  random: Random;
  /** Standard deviation of matrices; `initializer_range` of the config. */
  std?: number;
}

/**
 * Freshly initialised, trainable f32 weights for the tensors that `shapes` lists: normal matrices, ones for norms,
 * zeros for biases, as transformers does.
 */
export function randomWeights(
  device: Device,
  shapes: readonly ShapeRequest[],
  { random, std = 0.02 }: RandomWeightsOptions,
): { root: Weights; parameters: Parameters } {
  const parameters = allocateParameters(device, shapes);
  const tensors = new Map(parameters.entries.map(({ name, tensor }) => [name, tensor]));
  for (const { name, shape, init } of shapes) {
    tensors.get(name)?.write(initialValues(elementCount(shape), init, random, std));
  }
  const at = (path: string): Weights => {
    const tensor = (name: string) => tensors.get(joinPath(path, name)) as Tensor;
    return { path, at: (name) => at(joinPath(path, name)), tensor, weight: tensor };
  };
  return { root: at(""), parameters };
}

/** Values of one freshly initialised tensor. */
export function initialValues(
  count: number,
  init: ShapeRequest["init"],
  random: Random,
  std: number,
): Float32Array {
  const values = new Float32Array(count);
  if (init === "ones") return values.fill(1);
  if (init === "normal") for (let i = 0; i < count; i++) values[i] = std * random.normal();
  return values;
}
