import type { Peers, WireType } from "./peers.ts";
import type { TrainState } from "./state.ts";

/** What a process adds to a step of all, beside its gradients. */
export interface StepCounts {
  /** Summed loss of its terms. */
  readonly loss: number;
  /** Terms of its loss. */
  readonly terms: number;
  /** Tokens that it has read, without padding. */
  readonly tokens: number;
  /** Sums of what the objective measures. */
  readonly measures: Float32Array;
}

/** The same of all processes. */
export interface StepTotals extends StepCounts {
  /** One of them wants the run to end before this step's update. */
  readonly stops: boolean;
}

/** The steps of a run that several processes take together: each gives its part of every sum, and all go on from the whole. */
export class Exchange {
  readonly #peers: Peers;
  readonly #wire: WireType;

  constructor(peers: Peers, wire: WireType = "f32") {
    this.#peers = peers;
    this.#wire = wire;
  }

  /** Puts the state of rank 0 in the place of every other. */
  async begin(state: TrainState): Promise<void> {
    const { tensors, ...counters } = await state.capture();
    const text = await this.#peers.broadcast(new TextEncoder().encode(JSON.stringify(counters)));
    const leaders = new Map(tensors);
    for (const [name, tensor] of tensors)
      leaders.set(name, { ...tensor, data: await this.#peers.broadcast(new Uint8Array(tensor.data)) });
    if (this.#peers.rank > 0)
      state.restore({ ...JSON.parse(new TextDecoder().decode(text)), tensors: leaders });
  }

  /** Adds up what the processes have counted, and hears whether one wants to stop. */
  async total({ loss, terms, tokens, measures }: StepCounts, stops: boolean): Promise<StepTotals> {
    const own = Float32Array.of(loss, terms, tokens, Number(stops), ...measures);
    const [allLoss = 0, allTerms = 0, allTokens = 0, stopping = 0, ...figures] = await this.#peers.sum(own);
    const total = { loss: allLoss, terms: allTerms, tokens: allTokens, stops: stopping > 0 };
    return { ...total, measures: Float32Array.from(figures) };
  }

  /** Whether one of the processes wants to stop. */
  async stops(own: boolean): Promise<boolean> {
    const [stopping = 0] = await this.#peers.sum(Float32Array.of(Number(own)));
    return stopping > 0;
  }

  /** Adds up the gradients of the summed loss, or what else has their shape. */
  gradients(own: Float32Array<ArrayBuffer>): Promise<Float32Array> {
    return this.#peers.sum(own, this.#wire);
  }

  /**
   * What is wrong with a step whose gradient is not finite, by those that know.
   * @param own undefined where this process has computed numbers
   */
  async fault(own: string | undefined): Promise<string> {
    const all = await this.#peers.gather(own ?? "");
    const told = all.flatMap((text, rank) => (text === "" ? [] : [`rank ${rank}: ${text}`]));
    return told.join("; ") || "the gradients of all ranks are finite, and their sum is not";
  }
}
