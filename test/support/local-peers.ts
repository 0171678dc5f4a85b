import type { Peers } from "../../src/train/peers.ts";

/** What the processes give to their n-th call. */
class Call {
  readonly all: Promise<readonly Uint8Array[]>;
  readonly #given: Uint8Array[] = [];
  readonly #size: number;
  #arrived = 0;
  #resolve = (_: readonly Uint8Array[]) => {};

  constructor(size: number) {
    this.#size = size;
    this.all = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  give(rank: number, bytes: Uint8Array): Promise<readonly Uint8Array[]> {
    this.#given[rank] = bytes;
    if (++this.#arrived === this.#size) this.#resolve(this.#given);
    return this.all;
  }
}

/** Peers within one process: what each gives waits for the others'. */
export function localPeers(size: number): Peers[] {
  const calls: Call[] = [];
  return Array.from({ length: size }, (_, rank) => {
    let next = 0;
    let bytes = 0;
    const meet = (given: Uint8Array) => {
      const at = next++;
      calls[at] ??= new Call(size);
      return calls[at].give(rank, given);
    };
    return {
      rank,
      size,
      get traffic() {
        return { bytes, seconds: 0 };
      },
      async sum(values) {
        bytes += values.byteLength;
        const all = await meet(new Uint8Array(values.slice().buffer));
        const parts = all.map(({ buffer }) => new Float32Array(buffer));
        return values.map((_, i) => parts.reduce((sum, part) => sum + (part[i] as number), 0));
      },
      broadcast: async (given) => (await meet(given))[0] as Uint8Array,
      async gather(text) {
        const all = await meet(new TextEncoder().encode(text));
        return all.map((one) => new TextDecoder().decode(one));
      },
    };
  });
}
