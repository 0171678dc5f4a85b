import type { Device } from "./device.ts";
import { Recording } from "./recording.ts";
import type { Tensor } from "./tensor.ts";

/** Recordings that are kept: inputs, and results that are held for a while, take turns in a few buffers, and batches have a few shapes. */
const KEPT = 8;

/**
 * Passes that repeat with other contents of the same buffers, such as those of one token after the other, or of one training batch
 * after the other. What a pass launches is recorded; a pass like it launches that again, which spares the host all that led to it, and
 * gives the same bits.
 *
 * A recording stands for a pass where nothing has changed that its launches came of:
 * 1. the key, which holds all that the pass looks at on the host; measured choices of kernels and the limit of bindings are part of it;
 * 2. the inputs: tensors that the caller fills anew each time, in the same place of the same buffers;
 * 3. all other buffers that were there before: held ever since, so that nobody else's content can be in them;
 * 4. the buffers that the pass took from the pool: free, so that it can use them again, whoever had them by turns in the pass;
 * 5. bind groups and parameters: none was forgotten since, which happens where a buffer, a texture or a slot of parameters goes;
 * 6. buffers that it writes: nobody has made a copy elsewhere that would have to be forgotten.
 *
 * A pass is not recorded that is more than launches (uploads, copies), has parameters that change or writes textures, uses memory that
 * is none of the pool's (weights that lie on the host), or keeps some of what it took besides its result.
 */
export class Replay {
  readonly #device: Device;
  /** The one used last first. */
  #recordings: readonly Recording[] = [];

  constructor(device: Device) {
    this.#device = device;
  }

  /**
   * The result of a pass, which the pass takes from the pool.
   * @param key compared part by part, by identity
   */
  run(key: readonly unknown[], inputs: readonly Tensor[], pass: () => Tensor): Tensor {
    const { stream, choices, bindingLimit } = this.#device;
    if (stream.recording) return pass(); // within another one
    const places = inputs.flatMap(({ storage, byteOffset, dtype, shape }) => [
      ...[storage, storage.id, byteOffset, dtype],
      ...shape,
    ]);
    const whole = [...key, ...places, choices.changes, bindingLimit];
    for (const known of this.#recordings) {
      const result = isSame(known.key, whole) ? known.repeat() : undefined;
      if (!result) continue;
      this.#keep(known);
      return result;
    }
    const made = new Recording(this.#device, whole, inputs);
    const result = made.record(pass);
    if (made.isWhole) this.#keep(made);
    return result;
  }

  #keep(newest: Recording): void {
    const others = this.#recordings.filter((recording) => recording !== newest && recording.isCurrent);
    this.#recordings = [newest, ...others].slice(0, KEPT);
  }

  /** Forgets what it knows, and what that refers to. */
  forget(): void {
    this.#recordings = [];
  }
}

function isSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((part, i) => part === b[i]);
}
