import { WordMap } from "./word-map.ts";

/** More contents than any training step has. */
const SLOTS = 4096;

interface Slot {
  readonly offset: number;
  /** The flush during which a command last read it. */
  lastUse: number;
}

/**
 * The parameters of dispatches: one uniform buffer in slots, which are bound one by one. Equal contents
 * share a slot. `queue.writeBuffer` overtakes commands that are recorded and not yet submitted, so a slot that one of
 * them reads is not written.
 */
export class Uniforms {
  /** Called with the places whose content is about to be replaced. */
  onEvict: ((offsets: ReadonlySet<number>) => void) | undefined;
  /** What bind groups hold. */
  readonly buffer: GPUBuffer;
  readonly #gpu: GPUDevice;
  readonly #slots = new WordMap<Slot>();
  readonly #free: number[];

  constructor(gpu: GPUDevice, slots = SLOTS) {
    const stride = gpu.limits.minUniformBufferOffsetAlignment;
    this.#gpu = gpu;
    this.buffer = gpu.createBuffer({ size: slots * stride, usage: 0x40 | 0x8 }); // UNIFORM | COPY_DST
    this.#free = Array.from({ length: slots }, (_, i) => (slots - 1 - i) * stride);
  }

  /** Number of slots that hold something. */
  get size(): number {
    return this.#slots.size;
  }

  /**
   * Where this content lies, in bytes.
   * @param submits submissions so far: what was used before the last of them may be overwritten
   */
  offsetOf(words: Uint32Array, submits: number): number {
    const known = this.#slots.get(words);
    if (known) {
      known.lastUse = submits;
      return known.offset;
    }
    if (this.#free.length === 0) this.#evict(submits);
    const offset = this.#free.pop();
    if (offset === undefined) throw new Error("uniforms: every slot is in use; this is a bug in the engine");
    this.#gpu.queue.writeBuffer(this.buffer, offset, words as Uint32Array<ArrayBuffer>);
    this.#slots.add(words, words.length, { offset, lastUse: submits });
    return offset;
  }

  /** Frees the half of the slots that was used longest ago. */
  #evict(submits: number): void {
    this.#slots.removeOldest(submits, ({ offset }) => this.#free.push(offset));
    this.onEvict?.(new Set(this.#free));
  }
}
