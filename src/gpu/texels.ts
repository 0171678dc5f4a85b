import type { LoraError } from "../util/fail.ts";
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
  /** Written anew for each launch that reads it; see {@link Textures.scratch}. */
  readonly isScratch: boolean;
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

/** Who is told what becomes of textures. */
interface TextureWatcher {
  /** Called before textures are given back. */
  onRelease(ids: ReadonlySet<number>): void;
  /** Called once, where the device cannot give one. */
  onGiveUp(error: LoraError): void;
}

/**
 * The textures of a device: copies of what buffers hold, made by whoever reads them often. Where the device cannot give one, all are
 * given up for good: whatever was recorded on it fails with an out-of-memory error, and does without from then on.
 */
export class Textures {
  readonly #gpu: GPUDevice;
  readonly #memory: Memory;
  readonly #stream: Stream;
  readonly #watcher: TextureWatcher;
  readonly #live = new Set<Texels>();
  readonly #scratch: Texels[] = [];
  #failure: LoraError | undefined;
  #bytes = 0;
  #nextId = FIRST_ID;

  constructor(
    gpu: GPUDevice,
    { memory, stream }: { memory: Memory; stream: Stream },
    watcher: TextureWatcher,
  ) {
    this.#gpu = gpu;
    this.#memory = memory;
    this.#stream = stream;
    this.#watcher = watcher;
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
    if (this.#failure) return undefined;
    const all = allocations.map((allocation) => {
      allocation.derived ??= new Derived(this);
      return (allocation.derived as Derived).byRegion;
    });
    const known = all[0]?.get(region);
    if (known && !known.isGone) return known;
    const made = this.#create(texels, false);
    if (made) make(made);
    for (const byRegion of all) byRegion.set(region, made);
    return made;
  }

  /**
   * A texture of at least so many texels for what a launch writes and the next one reads: the same one each time, unless a larger one is needed.
   * @param place tells it from others that are read at the same time
   * @returns undefined where the device cannot give one
   */
  scratch(place: number, texels: number): Texels | undefined {
    const known = this.#scratch[place];
    if (known && !known.isGone && known.byteLength >= 16 * texels) return known;
    if (this.#failure) return undefined;
    if (known) this.release(known);
    const made = this.#create(texels, true);
    if (made) this.#scratch[place] = made;
    return made;
  }

  /** Of all textures. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Of those that are written anew for each launch that reads them. */
  get scratchBytes(): number {
    return this.#scratch.reduce((sum, { byteLength, isGone }) => sum + (isGone ? 0 : byteLength), 0);
  }

  /** The error of the one that could not be had; whoever is told of it can do the same again. */
  get failure(): LoraError | undefined {
    return this.#failure;
  }

  release(texels: Texels): void {
    if (texels.isGone) return;
    texels.isGone = true;
    this.#live.delete(texels);
    const { id, texture, byteLength } = texels;
    this.#watcher.onRelease(new Set([id]));
    this.#bytes -= byteLength;
    this.#memory.count(-byteLength);
    this.#stream.destroyLater(texture);
  }

  /** Gives all back; whoever asks again has them made again. */
  clear(): void {
    for (const texels of this.#live) this.release(texels);
  }

  #create(texels: number, isScratch: boolean): Texels | undefined {
    const height = Math.ceil(texels / LINE);
    const byteLength = 16 * LINE * height;
    if (height > MOST_LINES || this.#bytes + byteLength > MOST_BYTES) return undefined;
    this.#stream.flush(); // where it cannot be had, the device drops all that is submitted together with commands on it
    this.#gpu.pushErrorScope("validation");
    this.#gpu.pushErrorScope("out-of-memory");
    const texture = this.#gpu.createTexture({ size: [LINE, height], format: "rgba32uint", usage: USAGE });
    const scopes = [this.#gpu.popErrorScope(), this.#gpu.popErrorScope()];
    this.#memory.watch(scopes, byteLength, (error) => this.#giveUp(error));
    this.#bytes += byteLength;
    this.#memory.count(byteLength);
    const made = { id: this.#nextId++, texture, byteLength, isGone: false, isScratch };
    this.#live.add(made);
    return made;
  }

  /** Of all, since those that were filled together with the missing one are empty. */
  #giveUp(error: LoraError): void {
    if (this.#failure) return;
    this.#failure = error;
    this.clear();
    this.#watcher.onGiveUp(error);
  }
}
