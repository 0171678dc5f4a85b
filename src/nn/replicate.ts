import type { Tensor } from "../gpu/tensor.ts";
import type { Weight } from "../kernels/weight.ts";
import { shown } from "../util/shown.ts";
import { joinPath, type TensorRequest, type WeightRequest, type Weights } from "./weights.ts";

/**
 * Which layers a model is stacked from anew, PEFT's `layer_replication`: of each `[start, end)` the layers in turn. With
 * `[[0, 4], [2, 5]]` five layers become 0, 1, 2, 3, 2, 3, 4, numbered anew from 0. Copies share their weights.
 */
export type LayerReplication = readonly (readonly [start: number, end: number])[];

/** Whether a value has the form of one that keeps at least one layer. */
export function isReplication(value: unknown): value is LayerReplication {
  return Array.isArray(value) && value.length > 0 && value.every(isRange);
}

/** What the value has to be. */
export const REPLICATION_WANTED = "a list of ranges of layers, as [[0, 4], [2, 5]]";

/** What a field holds; nothing where it asks for nothing, as Python's truth has it, or is ill-formed. */
export function replicationOf(field: unknown): LayerReplication | undefined {
  return isReplication(field) ? field : undefined;
}

function isRange(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [start, end] = value as unknown[];
  return isCount(start) && isCount(end) && start < end;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** The old number of each new layer. */
export function replicatedOrder(ranges: LayerReplication): number[] {
  return ranges.flatMap(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i));
}

/** Why a model of so many layers can't be stacked so; undefined where it can. */
export function replicationProblem(ranges: LayerReplication, numLayers: number): string | undefined {
  const beyond = ranges.find(([, end]) => end > numLayers);
  return beyond && `has ${shown(beyond)}, and the model has ${numLayers} layers`;
}

/** Two adapters' or models' choices are the same. */
export function isSameReplication(a: LayerReplication | undefined, b: LayerReplication | undefined): boolean {
  return JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
}

/**
 * A source whose layers are numbered anew: what is asked for at `layers.3` is that of the old layer in place 3. Every tensor
 * is asked for once, so that copies hold the same one; paths of modules have the new numbers.
 * @param layers path of layer 0 without its number
 * @param order the old number of each new layer
 */
export function replicatedWeights(source: Weights, layers: string, order: readonly number[]): Weights {
  const tensors = new Map<string, Tensor>();
  const matrices = new Map<string, Weight>();
  const view = (path: string, own: Weights): Weights => ({
    path,
    at(name) {
      const next = joinPath(path, name);
      const number = next.startsWith(`${layers}.`) ? next.slice(layers.length + 1) : "";
      if (!/^\d+$/.test(number)) return view(next, own.at(name));
      return view(next, source.at(`${layers}.${order[Number(number)]}`));
    },
    tensor: (name, shape, request?: TensorRequest) =>
      once(tensors, joinPath(own.path, name), () => own.tensor(name, shape, request)),
    weight: (name, shape, request?: WeightRequest) =>
      once(matrices, joinPath(own.path, name), () => own.weight(name, shape, request)),
  });
  return view(source.path, source);
}

function once<T>(known: Map<string, T>, name: string, make: () => T): T {
  const there = known.get(name);
  if (there !== undefined) return there;
  const made = make();
  known.set(name, made);
  return made;
}
