import type { Allocation, Memory } from "./memory.ts";
import type { ShapeGpu } from "./shape-gpu.ts";
import type { Stream } from "./stream.ts";

/** A stretch of memory that somebody held for a while. */
export interface Holding {
  /** Bytes of the buffer, with its slack. */
  readonly bytes: number;
  /** What was going on when it was taken. */
  readonly phase: string;
  /** The buffer, to be compared. */
  readonly allocation: Allocation;
  /** The kernels that wrote to it, by shader and entry point, the first one first. */
  readonly writers: string[];
  /** When it was taken, in allocations so far. */
  readonly from: number;
}

/** Keeps the books of a pool: who held what at the moment when most was held. */
export class Ledger {
  /** What is going on, by a name that is noted with what is taken then. */
  phase = "";
  /** Most bytes that were held since the last {@link restart}. */
  peak = 0;
  readonly #memory: Memory;
  readonly #stream: Stream;
  readonly #gpu: ShapeGpu;
  readonly #live = new Map<GPUBuffer, Holding>();
  /** Held at the peak, and given back since. */
  #gone: Holding[] = [];
  #now = 0;
  #peakAt = 0;

  constructor({ memory, stream }: { readonly memory: Memory; readonly stream: Stream }, gpu: ShapeGpu) {
    this.#memory = memory;
    this.#stream = stream;
    this.#gpu = gpu;
    memory.onAllocate = (allocation) => this.#take(allocation);
    memory.onRelease = ({ buffer }) => this.#giveBack(buffer);
    gpu.watcher = { onWrite: (buffer, label) => this.#note(buffer, label) };
  }

  /** What is held now. */
  get live(): readonly Holding[] {
    this.#stream.encode();
    return [...this.#live.values()];
  }

  /** Gives free buffers back and forgets the peak: from now on another one is looked for. */
  restart(): void {
    this.#memory.trim();
    this.#memory.resetPeak();
    this.#gpu.restart();
    this.#gone = [];
    this.peak = this.#memory.stats.used;
    this.#peakAt = this.#now;
  }

  /** What was held when most was. */
  atPeak(): readonly Holding[] {
    return [...this.#gone, ...this.live.filter(({ from }) => from <= this.#peakAt)];
  }

  #take(allocation: Allocation): void {
    const { phase } = this;
    const from = ++this.#now;
    this.#live.set(allocation.buffer, { bytes: allocation.size, phase, allocation, from, writers: [] });
    const { used } = this.#memory.stats;
    if (used <= this.peak) return;
    this.peak = used;
    this.#peakAt = from;
    this.#gone = [];
  }

  #giveBack(buffer: GPUBuffer): void {
    this.#stream.encode(); // what was written to it is its own, and not the next one's
    const holding = this.#live.get(buffer);
    if (holding && holding.from <= this.#peakAt) this.#gone.push(holding);
    this.#live.delete(buffer);
  }

  #note(buffer: GPUBuffer, label: string): void {
    const writers = this.#live.get(buffer)?.writers;
    if (writers && !writers.includes(label)) writers.push(label);
  }
}
