import type { Device } from "../gpu/device.ts";
import { fromArray, scoped, type Tensor } from "../gpu/tensor.ts";
import { addInputSum, type InputSum } from "../kernels/branch-gradients.ts";
import { addInto, scaleBy, add as sum } from "../kernels/elementwise.ts";
import { ROUNDING } from "../kernels/late-rounding.ts";
import { fail } from "../util/fail.ts";
import { type Saving, Vacated } from "./vacated.ts";

/**
 * Adds a contribution to the gradient of `input`, if anybody wants it: `compute` is not called otherwise.
 * `compute` adds in place to `into` where given, else returns a tensor (which may be dy itself).
 */
export type Accumulate = (input: Tensor, compute: (into?: Tensor) => Tensor) => void;

/** Sends the gradient of an op's output on to its inputs. */
export type Backward = (dy: Tensor, add: Accumulate) => void;

/** The same for an op of several outputs; undefined for an output that got no gradient. */
export type BackwardOfAll = (dys: readonly (Tensor | undefined)[], add: Accumulate) => void;

/** Tensors that a backward pass reads. */
export interface Saved {
  /** As they are. */
  readonly exact?: readonly Tensor[];
  /** Perhaps rounded, where the tape is told to keep them in fewer bits. */
  readonly coarse: readonly Tensor[];
  /**
   * Computes the output, of which there is one, once more from these tensors alone, to the same bits. For what costs little: the
   * tape does so in its backward pass rather than keep the output for those who save it.
   */
  readonly again?: () => Tensor;
  /**
   * The same of an op with several outputs, for some of them, in order. Not where anything is rounded: the keys of attention have to be
   * those that its logsumexp is of.
   */
  readonly exactlyAgain?: readonly ((() => Tensor) | undefined)[];
}

interface Node extends Saving {
  readonly backward: BackwardOfAll;
}

/** How a tape keeps what it saves. */
export interface TapeOptions {
  /** 8: what may be rounded is, after each layer, by what `loadRounding` has loaded before. 32, as it is, unless given. */
  activationBits?: 8 | 32;
}

/** What a tape shares with the tapes of its checkpointed blocks. */
interface State {
  /** Tensors that need a gradient: watched leaves and everything computed from them. */
  tracked: Set<Tensor>;
  gradients: Map<Tensor, Tensor>;
  /** Caller-owned gradients, always added to in place. */
  sinks: ReadonlyMap<Tensor, Tensor>;
  /** A contribution to one of these that can wait for a dispatch to come along with. */
  waiting?: InputSum | undefined;
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
  readonly #vacated: Vacated;
  readonly #rounds: boolean;
  /** Nodes of layers that have ended. */
  #ended = 0;
  /** What nodes of the present layer can compute once more. */
  readonly #computable = new Set<Tensor>();

  /** @throws LoraError for other bits than 8 and 32, and for 8 where `loadRounding` was not awaited before */
  constructor({ activationBits = 32 }: TapeOptions = {}, state?: State, dry = false) {
    this.#state = state ?? { tracked: new Set(), gradients: new Map(), sinks: new Map() };
    this.#dry = dry;
    this.#rounds = activationBits !== 32;
    if (this.#rounds && !(activationBits === 8 && ROUNDING.isLoaded()))
      fail("Tape", `activationBits is ${activationBits}`, "give 32, or 8 after await loadRounding()");
    this.#vacated = new Vacated({ rounds: this.#rounds });
  }

  /** Whether it keeps what may be rounded in 8 bits, once a layer has ended and nobody else reads it. */
  get rounds(): boolean {
    return this.#rounds;
  }

  /** Number of recorded nodes. */
  get length(): number {
    return this.#nodes.length;
  }

  /** A tape for a part that goes back before the rest does: tracks the same, with nodes and gradients of its own. */
  apart(): Tape {
    const { tracked } = this.#state;
    return new Tape({}, { tracked: new Set(tracked), gradients: new Map(), sinks: new Map() });
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
  record(
    output: Tensor,
    inputs: readonly Tensor[],
    saved: readonly Tensor[] | Saved,
    backward: Backward,
  ): Tensor {
    this.recordAll([output], inputs, saved, ([dy], add) => backward(dy as Tensor, add));
    return output;
  }

  /** {@link record} of an op with several outputs; `backward` runs if at least one of them got a gradient. */
  recordAll(
    outputs: readonly Tensor[],
    inputs: readonly Tensor[],
    saves: readonly Tensor[] | Saved,
    backward: BackwardOfAll,
  ): void {
    if (inputs.some(({ source }) => source.whole && this.tracks(source.whole)))
      throw new Error(
        "tape: a slice of a tensor that needs a gradient passes none on; this is a bug in the engine",
      );
    if (!inputs.some((input) => this.tracks(input))) return;
    for (const output of outputs) this.#state.tracked.add(output.source);
    if (this.#dry) return;
    const {
      exact = [],
      coarse,
      again,
      exactlyAgain = [again],
    }: Saved = "coarse" in saves ? saves : { exact: saves, coarse: [] };
    const saved = [...exact, ...coarse];
    for (const tensor of saved) tensor.device.memory.hold(tensor.storage);
    const isExact = again === undefined;
    this.#nodes.push({ outputs, saved, coarse, again: exactlyAgain, isExact, backward });
    exactlyAgain.forEach((again, i) => {
      if (again) this.#computable.add((outputs[i] as Tensor).source);
    });
  }

  /** Whether saving a tensor costs nothing: an op of the present layer computes it once more where it is needed. */
  isComputable(tensor: Tensor): boolean {
    return !this.#rounds && this.#computable.has(tensor.source);
  }

  /** Notes that a layer has been through the forward pass: nobody but the backward pass reads what only this tape holds. */
  endLayer(): void {
    this.#vacated.vacate(this.#nodes.slice(this.#ended));
    this.#ended = this.#nodes.length;
    this.#computable.clear();
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
      this.withWaiting((sum) => {
        if (sum) addInputSum(sum);
      });
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
    const probe = new Tape({}, this.#state, true);
    const y = scoped(x.device, () => block(probe, x));
    if (this.#dry || !this.tracks(y)) return y;
    return this.record(y, [y], { coarse: [x] }, (dy) => {
      const inner = new Tape({}, this.#state);
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
    this.withWaiting(() => {});
  }

  /** The caller's own gradient of a leaf, to which contributions may come in any order; undefined where it has none. */
  sinkOf(leaf: Tensor): Tensor | undefined {
    return this.#state.tracked.has(leaf.source) ? this.#state.sinks.get(leaf.source) : undefined;
  }

  /** Leaves a sum into a sink to whoever launches next what it can come along with; at the latest it is added at the end. */
  leave(sum: InputSum): void {
    this.withWaiting((before) => {
      if (before) addInputSum(before);
    });
    for (const { device, storage } of [sum.dh, sum.x]) device.memory.hold(storage);
    this.#state.waiting = sum;
  }

  /** Hands on the sum that waits, if one does; `launch` has to add it. */
  withWaiting(launch: (sum: InputSum | undefined) => void): void {
    const { waiting } = this.#state;
    this.#state.waiting = undefined;
    try {
      launch(waiting);
    } finally {
      if (waiting) releaseAll([waiting.dh, waiting.x]);
    }
  }

  #releaseNodes(): void {
    for (const { saved } of this.#nodes.splice(0)) this.#release(saved);
  }

  #release(saved: readonly Tensor[]): void {
    releaseAll(saved);
    this.#vacated.forget(saved);
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
          this.#vacated.restore(saved);
          scoped(first.device, () => {
            backward(dys, this.#add);
            return undefined;
          });
        }
      } finally {
        releaseAll(given);
        this.#release(saved);
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
