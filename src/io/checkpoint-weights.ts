import type { Device } from "../gpu/device.ts";
import { type DType, empty, Tensor } from "../gpu/tensor.ts";
import { joinPath, type TensorRequest, type Weights } from "../nn/weights.ts";
import { failAll } from "../util/fail.ts";
import { decodeBf16, decodeF16 } from "../util/half.ts";
import type { Checkpoint, CheckpointTensor } from "./checkpoint.ts";

/** Bytes that are read and uploaded at a time: what loading needs on the host, whatever the model's size. */
const CHUNK_BYTES = 4 * 2 ** 20;

/** Bytes in flight after which loading waits: an implementation copies every write until the device has taken it. */
const IN_FLIGHT_BYTES = 8 * CHUNK_BYTES;

const STORED: Readonly<Record<string, DType>> = { F32: "f32", BF16: "bf16", F16: "f16" };

interface Upload {
  source: CheckpointTensor;
  target: Tensor;
}

/** Tensors of a checkpoint that no model asks for and that mean nothing: buffers of old transformers versions. */
const IGNORED = /\.rotary_emb\.inv_freq$|\.attention\.(masked_)?bias$/;

/**
 * Weights out of a checkpoint. Asking for a tensor checks it and reserves its place; `finish` streams the bytes.
 */
export class CheckpointWeights {
  readonly root: Weights;
  readonly #device: Device;
  readonly #checkpoint: Checkpoint;
  readonly #uploads: Upload[] = [];
  readonly #wanted = new Set<string>();
  readonly #problems: string[] = [];
  #inFlight = 0;

  constructor(device: Device, checkpoint: Checkpoint) {
    this.#device = device;
    this.#checkpoint = checkpoint;
    this.root = this.#at("");
  }

  /**
   * Streams all tensors that were asked for to the device, in file order.
   * @param optional names that may be left over, such as a stored copy of a tied output layer
   * @throws LoraError listing every missing, misshapen and unused tensor; nothing stays allocated then.
   */
  async finish({ optional = [] }: { optional?: readonly string[] } = {}): Promise<void> {
    for (const name of this.#checkpoint.tensors.keys()) {
      if (this.#wanted.has(name) || optional.includes(name) || IGNORED.test(name)) continue;
      this.#problems.push(`${name} is in the checkpoint, but the model has no use for it`);
    }
    try {
      failAll(this.#checkpoint.label, this.#problems, "config.json and the weights do not belong together");
      const order = ({ source: a }: Upload, { source: b }: Upload) =>
        a.file === b.file ? a.begin - b.begin : a.file < b.file ? -1 : 1;
      for (const upload of this.#uploads.sort(order)) await this.#stream(upload);
      await this.#device.check();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Frees all tensors. */
  release(): void {
    for (const { target } of this.#uploads.splice(0)) this.#device.memory.release(target.storage);
  }

  #at(path: string): Weights {
    return {
      path,
      at: (name) => this.#at(joinPath(path, name)),
      tensor: (name, shape, request) => this.#tensor(joinPath(path, name), shape, request),
    };
  }

  #tensor(name: string, shape: readonly number[], { storage = "words" }: TensorRequest = {}): Tensor {
    this.#wanted.add(name);
    const source = this.#checkpoint.tensors.get(name);
    const stored = source && STORED[source.dtype];
    if (!source) return this.#reject(shape, `${name} ${describe(shape)} is missing`);
    if (!stored) return this.#reject(shape, `${name} is ${source.dtype}; supported are F32, BF16 and F16`);
    if (source.shape.join() !== shape.join()) {
      return this.#reject(shape, `${name} is ${describe(source.shape)}, the config wants ${describe(shape)}`);
    }
    const dtype = storage === "f32" ? "f32" : stored;
    const target = this.#device.memory.persistent(() => empty(this.#device, shape, dtype));
    this.#uploads.push({ source, target });
    return target;
  }

  /** Notes a problem; construction goes on with a tensor that is never read, so that all problems are found. */
  #reject(shape: readonly number[], problem: string): Tensor {
    this.#problems.push(problem);
    return new Tensor(
      this.#device,
      { id: -1, buffer: undefined as never, size: 0, holds: 0, lastUse: -1 },
      shape,
    );
  }

  async #stream({ source, target }: Upload): Promise<void> {
    const total = source.end - source.begin;
    const ratio = target.byteLength / total; // 2 where 16-bit values are widened
    for (let start = 0; start < total; start += CHUNK_BYTES) {
      const bytes = await this.#checkpoint.read(source, start, Math.min(start + CHUNK_BYTES, total));
      const data = ratio === 1 ? bytes : widen(bytes, source.dtype);
      this.#device.stream.write(target.storage, target.byteOffset + start * ratio, paddedToWords(data));
      await this.#throttle(data.length);
    }
  }

  async #throttle(written: number): Promise<void> {
    this.#inFlight += written;
    if (this.#inFlight < IN_FLIGHT_BYTES) return;
    this.#inFlight = 0;
    await this.#device.sync();
  }
}

function widen(bytes: Uint8Array, dtype: string): Uint8Array {
  const codes = new Uint16Array(bytes.slice().buffer);
  const values = dtype === "BF16" ? decodeBf16(codes) : decodeF16(codes);
  return new Uint8Array(values.buffer);
}

/** A 16-bit tensor of odd length ends in half a word. */
function paddedToWords(bytes: Uint8Array): Uint8Array {
  if (bytes.length % 4 === 0) return bytes;
  const copy = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  copy.set(bytes);
  return copy;
}

const describe = (shape: readonly number[]) => `[${shape.join(", ")}]`;
