import type { Allocation, Memory } from "./memory.ts";
import type { Stream } from "./stream.ts";

/**
 * Words in a texture, four to a texel, line after line. A CPU rasteriser reads a texel for each lane in the time in which it reads
 * a single word of a buffer, which it asks for lane by lane.
 */
export interface Texels {
  readonly id: number;
  readonly texture: GPUTexture;
  readonly byteLength: number;
  /** Given back. */
  isGone: boolean;
}

/** Texels of a line. */
export const LINE = 4096;
/** The portable floor's limit of lines; 512 MiB. */
const MOST_LINES = 8192;
/** Most bytes of all textures together: they hold what is in buffers, too. */
const MOST_BYTES = 2 ** 30;
/** Ids begin here, so that none is that of a buffer. */
const FIRST_ID = 2 ** 31;
const USAGE = 0x8; // STORAGE_BINDING: a number, so that no GPU global is needed

/** What was made of a buffer's content, and goes when that changes or goes. */
class Derived {
  readonly byRegion = new Map<string, Texels | undefined>();
  readonly #textures: Textures;

  constructor(textures: Textures) {
    this.#textures = textures;
  }

  forget(): void {
    for (const texels of this.byRegion.values()) if (texels) this.#textures.release(texels);
  }
}

/** The textures of a device: copies of what buffers hold, made by whoever reads them often. */
export class Textures {
  readonly #gpu: GPUDevice;
  readonly #memory: Memory;
  readonly #stream: Stream;
  /** Called before textures are given back. */
  readonly #onRelease: (ids: ReadonlySet<number>) => void;
  #bytes = 0;
  #nextId = FIRST_ID;

  constructor(
    gpu: GPUDevice,
    { memory, stream }: { memory: Memory; stream: Stream },
    onRelease: (ids: ReadonlySet<number>) => void,
  ) {
    this.#gpu = gpu;
    this.#memory = memory;
    this.#stream = stream;
    this.#onRelease = onRelease;
  }

  /**
   * What was made of buffers that have not changed since: from the first time on that somebody asks, so that what is computed does not
   * depend on what was computed before. A run that is resumed comes to the same bytes.
   * @param region tells it from others of the first buffer
   * @param make fills so many texels; it is told where to
   */
  of(
    allocations: readonly Allocation[],
    region: string,
    texels: number,
    make: (into: Texels) => void,
  ): Texels | undefined {
    const all = allocations.map((allocation) => {
      allocation.derived ??= new Derived(this);
      return (allocation.derived as Derived).byRegion;
    });
    const known = all[0]?.get(region);
    if (known && !known.isGone) return known;
    const made = this.#create(texels);
    if (made) make(made);
    for (const byRegion of all) byRegion.set(region, made);
    return made;
  }

  /** Of all textures. */
  get bytes(): number {
    return this.#bytes;
  }

  release(texels: Texels): void {
    if (texels.isGone) return;
    texels.isGone = true;
    const { id, texture, byteLength } = texels;
    this.#onRelease(new Set([id]));
    this.#bytes -= byteLength;
    this.#memory.count(-byteLength);
    this.#stream.destroyLater(texture);
  }

  #create(texels: number): Texels | undefined {
    const height = Math.ceil(texels / LINE);
    const byteLength = 16 * LINE * height;
    if (height > MOST_LINES || this.#bytes + byteLength > MOST_BYTES) return undefined;
    const texture = this.#gpu.createTexture({ size: [LINE, height], format: "rgba32uint", usage: USAGE });
    this.#bytes += byteLength;
    this.#memory.count(byteLength);
    return { id: this.#nextId++, texture, byteLength, isGone: false };
  }
}
