import type { Device } from "../../gpu/device.ts";
import type { Offload } from "../../gpu/offload.ts";
import { empty, Tensor } from "../../gpu/tensor.ts";
import { type Decoding, decodingOf } from "../../kernels/formats.ts";
import { emptyWeight, type QuantisedWeight, type Weight, weightBytes } from "../../kernels/weight.ts";
import { initialValues } from "../../nn/initial-weights.ts";
import {
  joinPath,
  storedShape,
  type TensorRequest,
  type WeightRequest,
  type Weights,
} from "../../nn/weights.ts";
import { greatestCommonDivisor } from "../../util/divisors.ts";
import { attempt, fail, failAll, Problems } from "../../util/fail.ts";
import { nonFinite } from "../../util/finite.ts";
import { firstLines, groupLines } from "../../util/group-lines.ts";
import type { Random } from "../../util/random.ts";
import { transposeBand } from "../../util/transpose.ts";
import type { Checkpoint, CheckpointTensor } from "./checkpoint.ts";
import { type PackedMatrix, spoiltPart } from "./packed.ts";
import type { WeightSink } from "./sink.ts";
import { paddedToWords, type RowSink, rowsInto, sinkInto } from "./weight-sink.ts";

/** Bytes that are read and uploaded at a time: what loading needs on the host, whatever the model's size. */
const CHUNK_BYTES = 4 * 2 ** 20;

/** Kinds of problems that are told, and remarks on what is there instead. */
const MOST_TOLD = 20;

/** Bytes in flight after which loading waits: an implementation copies every write until the device has taken it. */
const IN_FLIGHT_BYTES = 8 * CHUNK_BYTES;

const STORED: Readonly<Record<string, "f32" | "bf16" | "f16">> = { F32: "f32", BF16: "bf16", F16: "f16" };

interface Upload {
  source: CheckpointTensor;
  sink: WeightSink;
  /** It holds so many matrices, each of which is to be transposed; 0: values go as they lie. */
  turned: number;
}

/** Of a matrix that is quantised in the file. */
interface PackedUpload {
  source: CheckpointTensor;
  packed: PackedMatrix;
  sink: RowSink;
}

/** A stored tensor, and the format that it has. */
interface Found {
  source: CheckpointTensor;
  stored: "f32" | "bf16" | "f16";
}

/** How a matrix is to be quantised; nothing where it stays as it is stored. */
export type ChooseFormat = (name: string, request: WeightRequest, columns: number) => Decoding | undefined;

/** Options of {@link CheckpointWeights}. */
export interface CheckpointWeightsOptions {
  /** Initialises what a head needs and the checkpoint lacks, or has for another number of labels. */
  fresh?: { random: Random; std: number };
  /** For tensors that should be there: why they are not. */
  absent?: ReadonlyMap<string, string>;
  /** Which matrices are quantised on their way, and how. */
  quantise?: ChooseFormat | undefined;
  /** What keeps matrices on the host. */
  offload?: Offload | undefined;
  /** Names the layer that a matrix belongs to and stays on the host with; nothing where it goes to the device. */
  layerOf?: ((name: string) => string | undefined) | undefined;
  /** Reads no tensor: for a device whose memory has no content. False unless given. */
  unread?: boolean;
}

/**
 * Weights out of a checkpoint. Asking for a tensor checks it and reserves its place; `finish` streams the bytes.
 */
export class CheckpointWeights {
  readonly root: Weights;
  readonly #device: Device;
  readonly #checkpoint: Pick<Checkpoint, "label" | "tensors" | "read" | "fileName" | "misfitHelp">;
  readonly #uploads: (Upload | PackedUpload)[] = [];
  readonly #problems: string[] = [];
  readonly #fresh: CheckpointWeightsOptions["fresh"];
  readonly #absent: ReadonlyMap<string, string>;
  readonly #quantise: ChooseFormat;
  readonly #offload: Offload | undefined;
  readonly #layerOf: (name: string) => string | undefined;
  readonly #unread: boolean;
  readonly #initialised: { name: string; target: Tensor }[] = [];
  /** NaN or an infinity that a tensor holds, by the tensor's name in the file. */
  readonly #spoilt = new Map<string, number>();
  #inFlight = 0;

  /** @param checkpoint its tensors have the names by which they will be asked for */
  constructor(
    device: Device,
    checkpoint: Pick<Checkpoint, "label" | "tensors" | "read" | "fileName" | "misfitHelp">,
    options: CheckpointWeightsOptions = {},
  ) {
    const { fresh, absent = new Map(), quantise, offload, layerOf, unread = false } = options;
    this.#offload = offload;
    this.#layerOf = layerOf ?? (() => undefined);
    this.#quantise = quantise ?? (() => undefined);
    this.#unread = unread;
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
    help = this.#checkpoint.misfitHelp ?? "config.json and the weights do not belong together",
  }: {
    remarks?: readonly string[];
    help?: string;
  } = {}): Promise<void> {
    try {
      const problems = groupLines(this.#problems);
      const room = MOST_TOLD - remarks.length;
      if (problems.length > 0)
        failAll(this.#checkpoint.label, [...firstLines(problems, room), ...remarks], help);
      const order = ({ source: a }: Pick<Upload, "source">, { source: b }: Pick<Upload, "source">) =>
        a.file === b.file ? a.begin - b.begin : a.file < b.file ? -1 : 1;
      const wrong = new Problems();
      for (const upload of this.#uploads.sort(order)) await attempt(wrong, () => this.#stream(upload));
      failAll(this.#checkpoint.label, wrong);
      const spoilt = [...this.#spoilt].map(([name, value]) => `${this.#fileName(name)} holds ${value}`);
      failAll(this.#checkpoint.label, spoilt, SPOILT);
      this.#offload?.finish();
      await this.#device.check();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Frees all tensors. */
  release(): void {
    for (const { sink } of this.#uploads.splice(0)) sink.release();
    for (const { target } of this.#initialised.splice(0)) this.#device.memory.release(target.storage);
  }

  #at(path: string): Weights {
    return {
      path,
      at: (name) => this.#at(joinPath(path, name)),
      tensor: (name, shape, request) => this.#tensor(joinPath(path, name), shape, request),
      weight: (name, shape, request) => this.#weight(joinPath(path, name), shape, request),
    };
  }

  #tensor(name: string, shape: readonly number[], request: TensorRequest = {}): Tensor {
    const found = this.#find(name, shape, request);
    if (found instanceof Tensor) return found;
    const dtype = request.storage === "f32" ? "f32" : found.stored;
    const target = this.#device.memory.persistent(() => empty(this.#device, shape, dtype));
    return this.#fill(target, found, request);
  }

  #weight(name: string, shape: readonly [number, number], request: WeightRequest = {}): Weight {
    const packed = this.#packed(name, shape);
    if (packed) return packed;
    const found = this.#find(name, shape, request);
    if (found instanceof Tensor) return found;
    const decoding = this.#quantise(name, request, shape[1]) ?? decodingOf(found.stored);
    return this.#fill(this.#room(name, shape, decoding), found, request);
  }

  /** Room for a matrix, where it will stay. */
  #room(name: string, shape: readonly [number, number], decoding: Decoding): Weight {
    const make = () => emptyWeight(this.#device, shape, decoding);
    const layer = this.#offload && this.#layerOf(name);
    if (this.#offload === undefined || layer === undefined) return this.#device.memory.persistent(make);
    return this.#offload.place(layer, make);
  }

  #fill<W extends Weight>(weight: W, { source, stored }: Found, request: WeightRequest): W {
    const { transposed = false, stack = 1 } = request;
    this.#uploads.push({ source, sink: sinkInto(weight, stored), turned: transposed ? stack : 0 });
    return weight;
  }

  /** A matrix that is quantised in the file; undefined for others. */
  #packed(name: string, shape: readonly [number, number]): Weight | undefined {
    const source = this.#checkpoint.tensors.get(name);
    const packed = source?.packed;
    if (!packed || source.shape.join() !== shape.join()) return undefined;
    const weight = this.#room(name, shape, packed.decoding) as QuantisedWeight;
    this.#uploads.push({ source, packed, sink: rowsInto(weight) });
    return weight;
  }

  /** What is stored under a name, or a tensor in its place. */
  #find(
    name: string,
    shape: readonly number[],
    { init = "normal", transposed, stack, fresh = false }: TensorRequest & WeightRequest,
  ): Tensor | Found {
    const source = this.#checkpoint.tensors.get(name);
    const wanted = source?.packed ? shape : storedShape(shape, { transposed, stack });
    const fits = source?.shape.join() === wanted.join();
    if (fresh && this.#fresh && !fits) return this.#initialise(name, shape, init, this.#fresh);
    const stored = source && !source.packed ? STORED[source.dtype] : undefined;
    const shownName = this.#fileName(name);
    if (!source)
      return this.#reject(shape, this.#absent.get(name) ?? `${shownName} ${describe(wanted)} is missing`);
    if (!fits)
      return this.#reject(
        shape,
        `${shownName} is ${describe(source.shape)}, the config wants ${describe(wanted)}`,
      );
    if (stored) return { source, stored };
    const type = source.packed?.type ?? source.dtype;
    return this.#reject(shape, `${shownName} is ${type}; supported are F32, BF16 and F16`);
  }

  #fileName(name: string): string {
    return this.#checkpoint.fileName?.(name) ?? name;
  }

  /** Each tensor has its own stream of numbers, so that one more label changes no other tensor. */
  #initialise(
    name: string,
    shape: readonly number[],
    init: NonNullable<TensorRequest["init"]>,
    { random, std }: { random: Random; std: number },
  ): Tensor {
    const target = this.#device.memory.persistent(() => empty(this.#device, shape));
    if (!this.#unread) target.write(initialValues(target.size, init, random.fork(name), std));
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

  async #stream(upload: Upload | PackedUpload): Promise<void> {
    if (this.#unread) return upload.sink.skip();
    if ("packed" in upload) await this.#streamPacked(upload);
    else if (upload.turned > 0) await this.#streamTransposed(upload);
    else await this.#streamRows(upload);
    await upload.sink.finish();
  }

  async #streamPacked({ source, packed, sink }: PackedUpload): Promise<void> {
    const { unit, weight } = sink;
    const bytes = (unit * weightBytes(weight)) / weight.rows;
    const step = unit * Math.max(1, Math.floor(CHUNK_BYTES / bytes));
    for (let first = 0; first < weight.rows; first += step) {
      const rows = await packed.read(first, Math.min(first + step, weight.rows));
      const spoilt = spoiltPart(packed.decoding, rows);
      if (spoilt !== undefined && !this.#spoilt.has(source.name)) this.#spoilt.set(source.name, spoilt);
      sink.writeRows(rows, first);
      await this.#throttle((step / unit) * bytes);
    }
  }

  async #streamRows(upload: Upload): Promise<void> {
    const { source, sink } = upload;
    const size = sizeOf(source.dtype);
    const step = size * sink.unit * Math.max(1, Math.floor(CHUNK_BYTES / (size * sink.unit)));
    const total = source.end - source.begin;
    for (let start = 0; start < total; start += step) {
      const read = await this.#checkpoint.read(source, start, Math.min(start + step, total));
      await this.#write(upload, start / size, read);
    }
  }

  /** A row of the result has bytes from a whole matrix: that is read at once, and turned a few rows at a time. */
  async #streamTransposed(upload: Upload): Promise<void> {
    const { source, turned } = upload;
    const bytes = (source.end - source.begin) / turned;
    for (let i = 0; i < turned; i++) {
      const matrix = await this.#checkpoint.read(source, i * bytes, (i + 1) * bytes);
      await this.#writeTransposed(upload, valuesOf(matrix, source.dtype), i);
    }
  }

  /** @param index of the matrix among those of its tensor, which the runs that are written at a time don't straddle */
  async #writeTransposed(upload: Upload, matrix: Uint32Array | Uint16Array, index: number): Promise<void> {
    const { sink } = upload;
    const [rows = 0, cols = 0] = upload.source.shape.slice(-2);
    const before = index * matrix.length;
    if (before % sink.unit !== 0)
      fail(this.#checkpoint.label, `${upload.source.name}: ${STRADDLED}`, "load it without quantization");
    const unit = sink.unit / greatestCommonDivisor(sink.unit, rows); // rows of the result that such runs consist of
    const step = unit * Math.max(1, Math.floor(CHUNK_BYTES / (unit * rows * matrix.BYTES_PER_ELEMENT)));
    for (let first = 0; first < cols; first += step) {
      const band = transposeBand(matrix, cols, first, Math.min(first + step, cols));
      await this.#write(upload, before + first * rows, new Uint8Array(band.buffer));
    }
  }

  async #write({ source, sink }: Upload, first: number, bytes: Uint8Array): Promise<void> {
    const spoilt = nonFinite(paddedToWords(bytes), STORED[source.dtype] ?? "f32");
    if (spoilt !== undefined && !this.#spoilt.has(source.name)) this.#spoilt.set(source.name, spoilt);
    sink.write(bytes, first);
    await this.#throttle(bytes.length);
  }

  async #throttle(written: number): Promise<void> {
    this.#inFlight += written;
    if (this.#inFlight < IN_FLIGHT_BYTES) return;
    this.#inFlight = 0;
    await this.#device.sync();
  }
}

const STRADDLED = "its matrices are too small to be turned and quantised one by one";

const SPOILT =
  "the model computes no numbers with them: take another checkpoint, or convert it again (F16 ends at 65504, BF16 does not)";

/** Values as their bit patterns. A view where the bytes lie at an element's boundary, as a file's do; else a copy. */
function valuesOf(bytes: Uint8Array, dtype: string): Uint32Array | Uint16Array {
  const Bits = dtype === "F32" ? Uint32Array : Uint16Array;
  const isAligned = bytes.byteOffset % Bits.BYTES_PER_ELEMENT === 0;
  const { buffer, byteOffset } = isAligned ? bytes : new Uint8Array(bytes);
  return new Bits(buffer as ArrayBuffer, byteOffset, bytes.length / Bits.BYTES_PER_ELEMENT);
}

/** Bytes of a stored value. */
const sizeOf = (dtype: string) => (dtype === "F32" ? 4 : 2);

const describe = (shape: readonly number[]) => `[${shape.join(", ")}]`;
