import type { Device } from "../gpu/device.ts";
import { fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import { addInto, scaleBy, add as sum } from "../kernels/elementwise.ts";

/**
 * Adds a contribution to the gradient of `input`, if anybody wants it: `compute` is not called otherwise.
 * `compute` adds in place to `into` where given, else returns a tensor (which may be dy itself).
 */
export type Accumulate = (input: Tensor, compute: (into?: Tensor) => Tensor) => void;

/** Sends the gradient of an op's output on to its inputs. */
export type Backward = (dy: Tensor, add: Accumulate) => void;

/** The same for an op of several outputs; undefined for an output that got no gradient. */
export type BackwardOfAll = (dys: readonly (Tensor | undefined)[], add: Accumulate) => void;

interface Node {
  outputs: readonly Tensor[];
  saved: readonly Tensor[];
  backward: BackwardOfAll;
}

/** What a tape shares with the tapes of its checkpointed blocks. */
interface State {
  /** Tensors that need a gradient: watched leaves and everything computed from them. */
  tracked: Set<Tensor>;
  gradients: Map<Tensor, Tensor>;
  /** Caller-owned gradients, always added to in place. */
  sinks: ReadonlyMap<Tensor, Tensor>;
}

/**
 * The operations of one forward pass, in order, and how to send gradients back through them.
 *
 * Only what depends on a watched tensor is recorded: a frozen weight never gets a gradient, and nothing below
 * the lowest watched tensor is visited. What a node saves is held until the backward pass has run it.
 */
export class Tape {
  readonly #nodes: Node[] = [];
  readonly #state: State;
  /** Follows what is tracked, without recording. */
  readonly #dry: boolean;

  constructor(state?: State, dry = false) {
    this.#state = state ?? { tracked: new Set(), gradients: new Map(), sinks: new Map() };
    this.#dry = dry;
  }

  /** Number of recorded nodes. */
  get length(): number {
    return this.#nodes.length;
  }

  /** A tape for a part that goes back before the rest does: tracks the same, with nodes and gradients of its own. */
  apart(): Tape {
    const { tracked } = this.#state;
    return new Tape({ tracked: new Set(tracked), gradients: new Map(), sinks: new Map() });
  }

  /** Asks for the gradient of a leaf. */
  watch(leaf: Tensor): void {
    this.#state.tracked.add(leaf.source);
  }

  /** Whether a tensor is watched, or was computed from what is. */
  tracks(tensor: Tensor): boolean {
    return this.#state.tracked.has(tensor.source);
  }

  /**
   * Notes that `output` came from `inputs`. `saved` lists the tensors that `backward` reads.
   * @returns output
   */
  record(output: Tensor, inputs: readonly Tensor[], saved: readonly Tensor[], backward: Backward): Tensor {
    this.recordAll([output], inputs, saved, ([dy], add) => backward(dy as Tensor, add));
    return output;
  }

  /** {@link record} of an op with several outputs; `backward` runs if at least one of them got a gradient. */
  recordAll(
    outputs: readonly Tensor[],
    inputs: readonly Tensor[],
    saved: readonly Tensor[],
    backward: BackwardOfAll,
  ): void {
    if (inputs.some(({ source }) => source.whole && this.tracks(source.whole)))
      throw new Error(
        "tape: a slice of a tensor that needs a gradient passes none on; this is a bug in the engine",
      );
    if (!inputs.some((input) => this.tracks(input))) return;
    for (const output of outputs) this.#state.tracked.add(output.source);
    if (this.#dry) return;
    for (const tensor of saved) tensor.device.memory.hold(tensor.storage);
    this.#nodes.push({ outputs, saved, backward });
  }

  /**
   * Gradients of sum(dy · output) with respect to the watched leaves.
   * @param dy like output; 1 unless given, for a loss `[1]`
   * @param sinks gradients that the caller owns: contributions are added to them in place
   * @returns a map from leaf to gradient, without the sinks' leaves
   */
  backward(
    output: Tensor,
    dy: Tensor = one(output.device),
    sinks: ReadonlyMap<Tensor, Tensor> = new Map(),
  ): Map<Tensor, Tensor> {
    this.#state.sinks = sinks;
    try {
      this.#seed(output, dy);
      this.#run();
    } catch (error) {
      this.discard();
      throw error;
    }
    const result = new Map(this.#state.gradients);
    this.#state.gradients.clear();
    for (const gradient of result.values()) gradient.device.memory.adopt(gradient.storage);
    return result;
  }

  /**
   * Runs `block` without keeping its intermediate tensors; the backward pass runs it again.
   * `block` must compute the same both times (dropout seeds are part of its arguments, not of a counter).
   * Chen et al. 2016, arXiv 1604.06174.
   */
  checkpoint(x: Tensor, block: (tape: Tape, x: Tensor) => Tensor): Tensor {
    const probe = new Tape(this.#state, true);
    const y = scoped(x.device, () => block(probe, x));
    if (this.#dry || !this.tracks(y)) return y;
    return this.record(y, [y], [x], (dy) => {
      const inner = new Tape(this.#state);
      try {
        const again = scoped(x.device, () => block(inner, x));
        inner.#seed(again, dy);
        inner.#run();
      } finally {
        inner.#releaseNodes(); // none is left unless something failed
      }
    });
  }

  /** Releases all that is held: for a forward pass whose backward will not run, or not to its end. */
  discard(): void {
    this.#releaseNodes();
    releaseAll([...this.#state.gradients.values()]);
    this.#state.gradients.clear();
  }

  #releaseNodes(): void {
    for (const { saved } of this.#nodes.splice(0)) releaseAll(saved);
  }

  #seed(output: Tensor, dy: Tensor): void {
    this.#add(output, (into) => passOn(dy, into));
  }

  #run(): void {
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
      const { outputs, saved, backward } = node;
      const dys = outputs.map((output) => this.#take(output));
      const given = dys.filter((dy) => dy !== undefined);
      const [first] = given;
      try {
        if (first) {
          scoped(first.device, () => {
            backward(dys, this.#add);
            return undefined;
          });
        }
      } finally {
        releaseAll(given);
        releaseAll(saved);
      }
    }
  }

  /** The gradient of an output, complete by now. */
  #take(output: Tensor): Tensor | undefined {
    const dy = this.#state.gradients.get(output.source);
    this.#state.gradients.delete(output.source);
    return dy?.reshape(output.shape);
  }

  readonly #add: Accumulate = (input, compute) => {
    const leaf = input.source;
    const { tracked, gradients, sinks } = this.#state;
    if (!tracked.has(leaf)) return;
    const sink = sinks.get(leaf);
    const existing = gradients.get(leaf);
    if (sink) {
      compute(sink);
    } else if (!existing) {
      this.#keep(leaf, compute());
    } else if (existing.storage.holds === 1) {
      compute(existing);
    } else {
      // Somebody else still reads it (a residual branch passes dy on unchanged): add into a copy.
      this.#keep(leaf, sum(existing, compute()));
      existing.device.memory.release(existing.storage);
    }
  };

  #keep(leaf: Tensor, gradient: Tensor): void {
    gradient.device.memory.hold(gradient.storage);
    this.#state.gradients.set(leaf, gradient);
  }
}

/** A gradient that is known already: handed on without a copy, or added to what there is. */
export function passOn(gradient: Tensor, into: Tensor | undefined): Tensor {
  return into ? addInto(into, gradient) : gradient;
}

const ones = new WeakMap<Device, Tensor>();

/** The gradient `[1]` of a loss with respect to itself. */
export function one(device: Device): Tensor {
  const known = ones.get(device);
  if (known) return known;
  const made = device.memory.persistent(() => fromArray(device, Float32Array.of(1), [1]));
  ones.set(device, made);
  return made;
}

/**
 * dL/dx of a loss `[1]` whose gradient its forward pass has found for dy = 1: handed on where dy is the tape's own 1, else
 * multiplied by it.
 */
export function passOnTimes(gradient: Tensor, dy: Tensor, into: Tensor | undefined): Tensor {
  return dy.source === ones.get(dy.device) ? passOn(gradient, into) : scaleBy(gradient, dy, into);
}

function releaseAll(tensors: readonly Tensor[]): void {
  for (const { device, storage } of tensors) device.memory.release(storage);
}
