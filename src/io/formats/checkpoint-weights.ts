import type { Device } from "../../gpu/device.ts";
import { type DType, empty, Tensor } from "../../gpu/tensor.ts";
import { initialValues } from "../../nn/initial-weights.ts";
import { joinPath, type TensorRequest, type Weights } from "../../nn/weights.ts";
import { failAll } from "../../util/fail.ts";
import { type FloatFormat, nonFinite } from "../../util/finite.ts";
import { firstLines, groupLines } from "../../util/group-lines.ts";
import { decodeBf16, decodeF16 } from "../../util/half.ts";
import type { Random } from "../../util/random.ts";
import { transposeBand } from "../../util/transpose.ts";
import type { Checkpoint, CheckpointTensor } from "./checkpoint.ts";

/** Bytes that are read and uploaded at a time: what loading needs on the host, whatever the model's size. */
const CHUNK_BYTES = 4 * 2 ** 20;

/** Kinds of problems that are told, and remarks on what is there instead. */
const MOST_TOLD = 20;

/** Bytes in flight after which loading waits: an implementation copies every write until the device has taken it. */
const IN_FLIGHT_BYTES = 8 * CHUNK_BYTES;

const STORED: Readonly<Record<string, DType>> = { F32: "f32", BF16: "bf16", F16: "f16" };

interface Upload {
  source: CheckpointTensor;
  target: Tensor;
  transposed: boolean;
}

/** Options of {@link CheckpointWeights}. */
export interface CheckpointWeightsOptions {
  /** Initialises what a head needs and the checkpoint lacks, or has for another number of labels. */
  fresh?: { random: Random; std: number };
  /** For tensors that should be there: why they are not. */
  absent?: ReadonlyMap<string, string>;
}

/**
 * Weights out of a checkpoint. Asking for a tensor checks it and reserves its place; `finish` streams the bytes.
 */
export class CheckpointWeights {
  readonly root: Weights;
  readonly #device: Device;
  readonly #checkpoint: Pick<Checkpoint, "label" | "tensors" | "read">;
  readonly #uploads: Upload[] = [];
  readonly #problems: string[] = [];
  readonly #fresh: CheckpointWeightsOptions["fresh"];
  readonly #absent: ReadonlyMap<string, string>;
  readonly #initialised: { name: string; target: Tensor }[] = [];
  /** NaN or an infinity that a tensor holds, by the tensor's name in the file. */
  readonly #spoilt = new Map<string, number>();
  #inFlight = 0;

  /** @param checkpoint its tensors have the names by which they will be asked for */
  constructor(
    device: Device,
    checkpoint: Pick<Checkpoint, "label" | "tensors" | "read">,
    { fresh, absent = new Map() }: CheckpointWeightsOptions = {},
  ) {
    this.#device = device;
    this.#checkpoint = checkpoint;
    this.#fresh = fresh;
    this.#absent = absent;
    this.root = this.#at("");
  }

  /** Names of the tensors that were initialised because the checkpoint lacks them. */
  get initialised(): string[] {
    return this.#initialised.map(({ name }) => name);
  }

  /**
   * Streams all tensors that were asked for to the device, in file order.
   * @param remarks told with problems, where there are any: what the checkpoint holds instead, say
   * @throws LoraError listing every missing and misshapen tensor, or those that hold NaN or infinity; nothing stays
   * allocated then.
   */
  async finish({
    remarks = [],
    help = "config.json and the weights do not belong together",
  }: {
    remarks?: readonly string[];
    help?: string;
  } = {}): Promise<void> {
    try {
      const problems = groupLines(this.#problems);
      const room = MOST_TOLD - remarks.length;
      if (problems.length > 0)
        failAll(this.#checkpoint.label, [...firstLines(problems, room), ...remarks], help);
      const order = ({ source: a }: Upload, { source: b }: Upload) =>
        a.file === b.file ? a.begin - b.begin : a.file < b.file ? -1 : 1;
      for (const upload of this.#uploads.sort(order)) await this.#stream(upload);
      const spoilt = [...this.#spoilt].map(([name, value]) => `${name} holds ${value}`);
      failAll(this.#checkpoint.label, spoilt, SPOILT);
      await this.#device.check();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Frees all tensors. */
  release(): void {
    const all = [...this.#uploads.splice(0), ...this.#initialised.splice(0)];
    for (const { target } of all) this.#device.memory.release(target.storage);
  }

  #at(path: string): Weights {
    const tensor: Weights["tensor"] = (name, shape, request) =>
      this.#tensor(joinPath(path, name), shape, request);
    return { path, at: (name) => this.#at(joinPath(path, name)), tensor, weight: tensor };
  }

  #tensor(
    name: string,
    shape: readonly number[],
    { storage = "words", init = "normal", transposed = false, fresh = false }: TensorRequest = {},
  ): Tensor {
    const source = this.#checkpoint.tensors.get(name);
    const wanted = transposed ? [...shape].reverse() : shape;
    const fits = source?.shape.join() === wanted.join();
    if (fresh && this.#fresh && !fits) return this.#initialise(name, shape, init, this.#fresh);
    const stored = source && STORED[source.dtype];
    if (!source)
      return this.#reject(shape, this.#absent.get(name) ?? `${name} ${describe(wanted)} is missing`);
    if (!stored) return this.#reject(shape, `${name} is ${source.dtype}; supported are F32, BF16 and F16`);
    if (!fits) {
      return this.#reject(
        shape,
        `${name} is ${describe(source.shape)}, the config wants ${describe(wanted)}`,
      );
    }
    const dtype = storage === "f32" ? "f32" : stored;
    const target = this.#device.memory.persistent(() => empty(this.#device, shape, dtype));
    this.#uploads.push({ source, target, transposed });
    return target;
  }

  /** Each tensor has its own stream of numbers, so that one more label changes no other tensor. */
  #initialise(
    name: string,
    shape: readonly number[],
    init: NonNullable<TensorRequest["init"]>,
    { random, std }: { random: Random; std: number },
  ): Tensor {
    const target = this.#device.memory.persistent(() => empty(this.#device, shape));
    target.write(initialValues(target.size, init, random.fork(name), std));
    this.#initialised.push({ name, target });
    return target;
  }

  /** Notes a problem; construction goes on with a tensor that is never read, so that all problems are found. */
  #reject(shape: readonly number[], problem: string): Tensor {
    this.#problems.push(problem);
    return new Tensor(
      this.#device,
      { id: -1, buffer: undefined as never, size: 0, holds: 0, lastStep: 0, lastUse: -1 },
      shape,
    );
  }

  async #stream(upload: Upload): Promise<void> {
    if (upload.transposed) return this.#streamTransposed(upload);
    const { source, target } = upload;
    const total = source.end - source.begin;
    const ratio = target.byteLength / total; // 2 where 16-bit values are widened
    for (let start = 0; start < total; start += CHUNK_BYTES) {
      const read = await this.#checkpoint.read(source, start, Math.min(start + CHUNK_BYTES, total));
      await this.#write(upload, start * ratio, ratio === 1 ? read : widen(read, source.dtype));
    }
  }

  /** A row of the result has bytes from the whole matrix: that is read at once, and turned a few rows at a time. */
  async #streamTransposed(upload: Upload): Promise<void> {
    const { source, target } = upload;
    const matrix = valuesOf(await this.#checkpoint.read(source), source.dtype);
    const [rows = 0, cols = 0] = source.shape;
    const rowBytes = rows * matrix.BYTES_PER_ELEMENT;
    const ratio = target.byteLength / matrix.byteLength;
    const step = 2 * Math.max(1, Math.floor(CHUNK_BYTES / (2 * rowBytes))); // two rows of 16-bit values begin at a word
    for (let first = 0; first < cols; first += step) {
      const band = transposeBand(matrix, cols, first, Math.min(first + step, cols));
      const bytes = new Uint8Array(band.buffer);
      await this.#write(upload, first * rowBytes * ratio, ratio === 1 ? bytes : widen(bytes, source.dtype));
    }
  }

  async #write({ source, target }: Upload, offset: number, bytes: Uint8Array): Promise<void> {
    const words = paddedToWords(bytes);
    const spoilt = nonFinite(words, target.dtype as FloatFormat);
    if (spoilt !== undefined && !this.#spoilt.has(source.name)) this.#spoilt.set(source.name, spoilt);
    this.#device.stream.write(target.storage, target.byteOffset + offset, words);
    await this.#throttle(bytes.length);
  }

  async #throttle(written: number): Promise<void> {
    this.#inFlight += written;
    if (this.#inFlight < IN_FLIGHT_BYTES) return;
    this.#inFlight = 0;
    await this.#device.sync();
  }
}

const SPOILT =
  "the model computes no numbers with them: take another checkpoint, or convert it again (F16 ends at 65504, BF16 does not)";

/** Values as their bit patterns. A view where the bytes lie at an element's boundary, as a file's do; else a copy. */
function valuesOf(bytes: Uint8Array, dtype: string): Uint32Array | Uint16Array {
  const Bits = dtype === "F32" ? Uint32Array : Uint16Array;
  const isAligned = bytes.byteOffset % Bits.BYTES_PER_ELEMENT === 0;
  const { buffer, byteOffset } = isAligned ? bytes : bytes.slice();
  return new Bits(buffer as ArrayBuffer, byteOffset, bytes.length / Bits.BYTES_PER_ELEMENT);
}

function widen(bytes: Uint8Array, dtype: string): Uint8Array {
  const codes = valuesOf(bytes, dtype) as Uint16Array;
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
