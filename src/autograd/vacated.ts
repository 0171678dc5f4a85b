import { type Allocation, sizeClass } from "../gpu/memory.ts";
import { scoped, type Tensor } from "../gpu/tensor.ts";
import { castToFloat } from "../kernels/cast.ts";
import { ROUNDING } from "../kernels/late-rounding.ts";
import { partsOf } from "../kernels/weight.ts";

/** What a node of a tape has saved. */
export interface Saving {
  readonly outputs: readonly Tensor[];
  readonly saved: readonly Tensor[];
  /** Those of them that may be rounded. */
  readonly coarse: readonly Tensor[];
  /** By output: computes it once more from what is saved. */
  readonly again: readonly ((() => Tensor) | undefined)[];
  /** Only where nothing of that is rounded. */
  readonly isExact: boolean;
}

/** A node that can do so. */
interface Producer {
  readonly saved: readonly Tensor[];
  again(): Tensor;
}

/** How a content comes back. */
interface Return {
  /** Makes it. */
  make(): Tensor;
  /** Frees what that needs. */
  drop(): void;
}

/**
 * What a tape saves without keeping it: until its backward pass reads them, the buffers are the pool's. What a node can compute
 * once more is computed once more, to the same bits; on request, what else may be rounded is kept in 8 bits. What is computed
 * from rounded values is not rounded besides: it would otherwise be kept with a rounding of its own.
 */
export class Vacated {
  readonly #rounds: boolean;
  readonly #returns = new Map<Allocation, Return>();

  constructor({ rounds }: { readonly rounds: boolean }) {
    this.#rounds = rounds;
  }

  /** Gives up what nobody holds but these nodes, which are all that have saved it. */
  vacate(nodes: readonly Saving[]): void {
    const producers = producersOf(this.#rounds ? nodes.filter(({ isExact }) => !isExact) : nodes);
    const holds = new Map<Allocation, number>();
    const kept = new Set<Allocation>();
    const candidates = new Map<Allocation, Tensor>();
    for (const { saved, coarse } of nodes) {
      for (const tensor of saved) {
        const { storage } = tensor;
        holds.set(storage, (holds.get(storage) ?? 0) + 1);
        const isFree =
          producers.has(tensor.source) || (this.#rounds && coarse.includes(tensor) && tensor.dtype === "f32");
        if (isFree && fills(tensor)) candidates.set(storage, tensor);
        else kept.add(storage);
      }
    }
    for (const [storage, tensor] of candidates) {
      if (kept.has(storage) || storage.holds !== holds.get(storage)) continue;
      const producer = producers.get(tensor.source);
      this.#returns.set(storage, producer ? this.#computed(producer) : rounded(tensor));
      tensor.device.memory.vacate(storage);
    }
  }

  /** Puts back what these tensors held. */
  restore(tensors: readonly Tensor[]): void {
    for (const { storage, device } of tensors) {
      if (!storage.isVacant) continue; // as most: looking each up takes longer
      const way = this.#returns.get(storage);
      if (!way) continue;
      const { memory } = device;
      memory.refill(storage, memory.persistent(() => scoped(device, () => way.make())).storage);
      this.#drop(storage, way);
    }
  }

  /** Frees what is kept for these tensors, where nobody holds them any more. */
  forget(tensors: readonly Tensor[]): void {
    for (const { storage } of tensors) {
      const way = storage.isVacant && storage.holds === 0 ? this.#returns.get(storage) : undefined;
      if (way) this.#drop(storage, way);
    }
  }

  /** The node holds what it has saved until all that read its output have run. */
  #computed({ saved, again }: Producer): Return {
    return {
      make: () => {
        this.restore(saved);
        return again();
      },
      drop() {},
    };
  }

  #drop(storage: Allocation, way: Return): void {
    this.#returns.delete(storage);
    way.drop();
  }
}

/** The nodes that can compute an output once more, by that output. */
function producersOf(nodes: readonly Saving[]): Map<Tensor, Producer> {
  const producers = new Map<Tensor, Producer>();
  for (const { outputs, saved, again: all } of nodes)
    for (const [i, again] of all.entries())
      if (again) producers.set((outputs[i] as Tensor).source, { saved, again });
  return producers;
}

/** Keeps a tensor in 8 bits. */
function rounded(tensor: Tensor): Return {
  const { memory } = tensor.device;
  const scope = memory.beginScope();
  const kept = ROUNDING.loaded().roundTo8Bits(tensor);
  const parts = partsOf(kept);
  for (const { storage } of parts) memory.hold(storage);
  memory.endScope(scope);
  return {
    make: () => castToFloat(kept),
    drop() {
      for (const { storage } of parts) memory.release(storage);
    },
  };
}

/** Whether a tensor is all that its buffer holds. */
function fills({ dtype, byteOffset, byteLength, storage }: Tensor): boolean {
  return (dtype === "f32" || dtype === "f16") && byteOffset === 0 && storage.size === sizeClass(byteLength);
}
