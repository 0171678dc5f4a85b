import { LoraError } from "../util/fail.ts";
import type { Device } from "./device.ts";
import type { Allocation } from "./memory.ts";

/** Layers that have room on the device at a time: one is computed with while the next one arrives. */
const SLOTS = 2;

/** Room on the device for the weights of a layer. */
interface Slot {
  readonly buffers: readonly Allocation[];
  layer: Layer | undefined;
}

interface Layer {
  readonly index: number;
  readonly parts: HostAllocation[];
  /** Where its copy is. */
  slot: Slot | undefined;
}

/**
 * Keeps the weights of layers in the host's memory, in buffers that the device copies from, and brings a layer to the device
 * where something is about to use it. The layer that is expected next follows at once, while the device computes.
 *
 * Nobody has to say that a layer begins: whoever binds the buffer of one of its weights brings it. Commands run in the order
 * in which they were recorded, so that a layer may take the place of one whose commands are still to be run.
 */
export class Offload {
  /** Bytes that were copied to the device so far. */
  uploaded = 0;
  readonly #device: Device;
  readonly #layers = new Map<string, Layer>();
  #slots: Slot[] = [];
  #current: Layer | undefined;
  #previous: Layer | undefined;
  /** Which layer followed two others last time. */
  readonly #followers = new Map<string, Layer>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** Layers that stay on the host. */
  get layers(): number {
    return this.#layers.size;
  }

  /** Bytes of all of them. */
  get bytes(): number {
    return [...this.#layers.values()].reduce((sum, layer) => sum + bytesOf(layer), 0);
  }

  /** Runs `body`: the buffers that it allocates are of this layer. Only the host may write to them. */
  place<T>(name: string, body: () => T): T {
    const layer: Layer = this.#layers.get(name) ?? { index: this.layers, parts: [], slot: undefined };
    this.#layers.set(name, layer);
    return this.#device.memory.from((bytes) => {
      const place = layer.parts.length;
      const part = new HostAllocation(this.#device.gpu, bytes, {
        use: () => this.#use(layer, place),
        onFree: (host) => this.#onFree(host),
      });
      layer.parts.push(part);
      return part;
    }, body);
  }

  /** Takes room on the device, behind the last write to what was placed. */
  finish(): void {
    const { memory } = this.#device;
    const sizes: number[] = [];
    for (const { parts } of this.#layers.values()) {
      for (const part of parts) part.seal();
      for (const [i, { size }] of parts.entries()) sizes[i] = Math.max(sizes[i] ?? 0, size);
    }
    const buffersOf = () => memory.persistent(() => sizes.map((size) => memory.allocate(size)));
    const count = Math.min(SLOTS, this.layers);
    this.#slots = Array.from({ length: count }, () => ({ buffers: buffersOf(), layer: undefined }));
  }

  /** The place of a layer's part on the device, with its content. */
  #use(layer: Layer, part: number): Allocation {
    if (layer !== this.#current) this.#turnTo(layer);
    return layer.slot?.buffers[part] as Allocation;
  }

  #turnTo(layer: Layer): void {
    this.#followers.set(pair(this.#previous, this.#current), layer);
    if (!layer.slot) this.#upload(layer, this.#slotBeside(this.#current));
    [this.#previous, this.#current] = [this.#current, layer];
    const next = this.#expected();
    if (next && !next.slot) this.#upload(next, this.#slotBeside(layer));
  }

  /** What followed last time; before that, the next one in the same direction. */
  #expected(): Layer | undefined {
    const [previous = -1, current = -1] = [this.#previous?.index, this.#current?.index];
    const known = this.#followers.get(pair(this.#previous, this.#current));
    return known ?? [...this.#layers.values()][current + Math.sign(current - previous)];
  }

  #slotBeside(layer: Layer | undefined): Slot {
    const [first, second] = this.#slots;
    return (layer && first?.layer === layer ? second : first) as Slot;
  }

  #upload(layer: Layer, slot: Slot): void {
    if (slot.layer) slot.layer.slot = undefined;
    if (layer.slot) layer.slot.layer = undefined;
    [slot.layer, layer.slot] = [layer, slot];
    for (const [i, { host, size }] of layer.parts.entries())
      this.#device.stream.copy(host, 0, slot.buffers[i] as Allocation, 0, size);
    this.uploaded += bytesOf(layer);
  }

  /** Frees a part, and the room on the device when it was the last one. */
  #onFree(host: GPUBuffer): void {
    this.#device.stream.destroyLater(host); // its upload may be recorded and not submitted
    const isUsed = [...this.#layers.values()].some(({ parts }) => parts.some(({ holds }) => holds > 0));
    if (isUsed) return;
    for (const { buffers } of this.#slots.splice(0))
      for (const buffer of buffers) this.#device.memory.release(buffer);
  }
}

const bytesOf = ({ parts }: Layer) => parts.reduce((sum, { size }) => sum + size, 0);

const pair = (a: Layer | undefined, b: Layer | undefined) => `${a?.index},${b?.index}`;

/** Of whom an allocation on the host is a part. */
interface Owner {
  use(): Allocation;
  onFree(host: GPUBuffer): void;
}

/** What is in the host's memory, and has a copy on the device when it is used. */
class HostAllocation implements Allocation {
  readonly size: number;
  readonly host: GPUBuffer;
  holds = 1;
  lastStep = 0;
  lastUse = -1;
  readonly #owner: Owner;
  #bytes: Uint8Array | undefined;

  /** @throws LoraError where the host has no memory for it, or one buffer may not have as much */
  constructor(gpu: GPUDevice, bytes: number, owner: Owner) {
    this.size = Math.ceil(bytes / 4) * 4;
    this.#owner = owner;
    this.host = hostBuffer(gpu, this.size);
  }

  /** Of the copy on the device. */
  get id(): number {
    return this.#owner.use().id;
  }

  /** The copy on the device. */
  get buffer(): GPUBuffer {
    return this.#owner.use().buffer;
  }

  write(offset: number, bytes: Uint8Array): void {
    if (this.host.mapState !== "mapped")
      throw new Error("offload: written after it was finished; this is a bug in the engine");
    this.#bytes ??= new Uint8Array(this.host.getMappedRange());
    this.#bytes.set(bytes, offset);
  }

  /** Hands it to the device: nothing is written from now on. */
  seal(): void {
    this.#bytes = undefined;
    this.host.unmap();
  }

  free(): void {
    this.#owner.onFree(this.host);
  }
}

const [MAP_WRITE, COPY_SRC, COPY_DST] = [0x2, 0x4, 0x8];

/** A buffer in memory of the host that the device can read, which the host can write until it is unmapped. */
function hostBuffer(gpu: GPUDevice, size: number): GPUBuffer {
  try {
    return gpu.createBuffer({ size, usage: MAP_WRITE | COPY_SRC, mappedAtCreation: true });
  } catch (error) {
    const help = "offload fewer layers, or quantise the model";
    throw new LoraError("out-of-memory", "offload", `the host could not give ${size} bytes (${error})`, help);
  }
}

/** Bytes that are copied to find out how fast that is, and how often. */
const [MEASURED, TIMES] = [32 * 2 ** 20, 8];

/** @returns bytes a second at which a device copies from the host's memory, measured */
export async function measureUpload(device: Device): Promise<number> {
  const { gpu } = device;
  const host = hostBuffer(gpu, MEASURED);
  host.unmap();
  const target = gpu.createBuffer({ size: MEASURED, usage: COPY_DST });
  const copy = async (times: number): Promise<number> => {
    const started = performance.now();
    for (let i = 0; i < times; i++) device.stream.copy(host, 0, target, 0, MEASURED);
    await device.sync();
    return (1000 * times * MEASURED) / (performance.now() - started);
  };
  try {
    await device.sync();
    await copy(1); // what is touched for the first time takes longer
    return await copy(TIMES);
  } finally {
    host.destroy();
    target.destroy();
  }
}
