// Several tensors in few bindings: a shader of the portable floor has eight.
import type { Region } from "../gpu/kernel.ts";
import { byteCount, elementCount, empty, type Tensor } from "../gpu/tensor.ts";

/** The bytes from the first of these tensors to the last, if they lie in one buffer and one binding can hold them. */
export function coverOf(tensors: readonly Tensor[], bindingLimit: number): Region | undefined {
  const { storage } = tensors[0] as Tensor;
  let [start, end] = [Infinity, 0];
  for (const tensor of tensors) {
    if (tensor.storage !== storage) return undefined;
    start = Math.min(start, tensor.byteOffset);
    end = Math.max(end, tensor.byteOffset + tensor.byteLength);
  }
  return end - start <= bindingLimit ? { storage, byteOffset: start, byteLength: end - start } : undefined;
}

/** Where a tensor begins in a region that covers it, in elements. */
export function placeIn(region: Region, { dtype, byteOffset }: Tensor): number {
  return (byteOffset - region.byteOffset) / byteCount([1], dtype);
}

/** Tensors that lie in one buffer or in two. */
export interface InTwo {
  /** What is bound; the same twice where there is one. */
  readonly regions: readonly [Region, Region];
  /** Of each tensor, in their order: which region it is in, and where it begins there, in elements. */
  readonly places: readonly { readonly buffer: number; readonly at: number }[];
}

/** Two bindings for these tensors, where that is enough. */
export function inTwoBuffers(tensors: readonly Tensor[], bindingLimit: number): InTwo | undefined {
  const [first] = tensors as [Tensor];
  const isFirst = ({ storage }: Tensor) => storage === first.storage;
  const others = tensors.filter((tensor) => !isFirst(tensor));
  const one = coverOf(tensors.filter(isFirst), bindingLimit);
  const two = others.length > 0 ? coverOf(others, bindingLimit) : one;
  if (!one || !two) return undefined;
  const places = tensors.map((tensor) =>
    isFirst(tensor) ? { buffer: 0, at: placeIn(one, tensor) } : { buffer: 1, at: placeIn(two, tensor) },
  );
  return { regions: [one, two], places };
}

/** Bytes at which every device can begin a binding. */
const ALIGNMENT = 256;

/** Two uninitialised tensors in one buffer, which lives as long as either. */
export function emptyPair(
  { device, dtype }: Pick<Tensor, "device" | "dtype">,
  shape: readonly number[],
  other: readonly number[],
): [Tensor, Tensor] {
  const unit = ALIGNMENT / byteCount([1], dtype);
  const start = Math.ceil(elementCount(shape) / unit) * unit;
  const both = empty(device, [start + elementCount(other)], dtype);
  const part = (from: number, shape: readonly number[]) =>
    both.slice(from, from + elementCount(shape)).reshape(shape);
  return [part(0, shape), part(start, other)];
}
