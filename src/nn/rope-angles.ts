import type { Device } from "../gpu/device.ts";
import { type RopeTensors, ropeTable, uploadRopeTable } from "../kernels/rope.ts";
import { type RopeOptions, ropeRegime } from "../kernels/rope-frequencies.ts";
import { fail } from "../util/fail.ts";

/** Tables that are kept: those of one pass and its backward are one, so a few lengths can alternate. */
const KEPT_TABLES = 4;
/** Shortest table; longer ones are powers of two. */
const SHORTEST = 256;

/**
 * Cosines and sines of one rotary embedding. Tables are made when a sequence needs them and as long as it needs:
 * a model for 131 072 positions costs nothing until it sees a long text.
 */
export class RopeAngles {
  readonly #device: Device;
  readonly #options: RopeOptions;
  readonly #maxPositions: number;
  readonly #tables = new Map<string, RopeTensors>();

  constructor(device: Device, options: RopeOptions, maxPositions: number) {
    this.#device = device;
    this.#options = options;
    this.#maxPositions = maxPositions;
  }

  /**
   * Tables that reach to the end of a document of `length` tokens, the longest of a batch: frequencies may depend on it.
   * @throws LoraError for more tokens than the model has positions
   */
  upTo(length: number): RopeTensors {
    const max = this.#maxPositions;
    if (length > max)
      fail("rope", `positions up to ${length} are needed, the model has ${max}`, "shorten the sequences");
    const rows = Math.min(max, Math.max(SHORTEST, 2 ** Math.ceil(Math.log2(length))));
    const key = `${ropeRegime(this.#options, length)}/${rows}`;
    const table = this.#tables.get(key) ?? this.#make(rows, length);
    this.#tables.delete(key); // to the end: the oldest is the one used longest ago
    this.#tables.set(key, table);
    return table;
  }

  /**
   * Whether keys that were rotated in a sequence of `past` tokens can stay for one of `length` tokens. With the kind
   * `dynamic` they do although the base has changed since, which is what transformers does too.
   */
  keeps(past: number, length: number): boolean {
    const isSearched = this.#options.scaling?.rope_type === "longrope";
    return !isSearched || this.alike(past, length);
  }

  /** Whether sequences of two lengths are rotated by the same angles. */
  alike(a: number, b: number): boolean {
    return ropeRegime(this.#options, a) === ropeRegime(this.#options, b);
  }

  release(): void {
    for (const key of [...this.#tables.keys()]) this.#drop(key);
  }

  #make(rows: number, sequenceLength: number): RopeTensors {
    const [oldest] = this.#tables.keys();
    if (this.#tables.size >= KEPT_TABLES && oldest !== undefined) this.#drop(oldest);
    const angles = ropeTable({ ...this.#options, length: rows, sequenceLength });
    return this.#device.memory.persistent(() => uploadRopeTable(this.#device, angles));
  }

  #drop(key: string): void {
    const table = this.#tables.get(key);
    this.#tables.delete(key);
    if (table) for (const { storage } of [table.cos, table.sin]) this.#device.memory.release(storage);
  }
}
