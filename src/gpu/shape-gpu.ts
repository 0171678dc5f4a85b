import type { KernelSource } from "./kernel.ts";

/** Told what a {@link ShapeGpu} is asked for. */
export interface ShapeWatcher {
  /** A kernel, by the label of its pipeline, writes to this buffer. */
  onWrite?(buffer: GPUBuffer, label: string): void;
  /** A kernel is compiled. */
  onCompile?(kernel: KernelSource): void;
}

/** Bytes of the buffers of a {@link ShapeGpu}, without those that lie in the host's memory. */
export interface ShapeBytes {
  /** Of all that live. */
  bytes: number;
  /** Most of them so far. */
  peak: number;
  /** Of those that live and hold no tensors: parameters of dispatches, and what the host reads. */
  outside: number;
  /** Most of the latter so far. */
  outsidePeak: number;
  /** The largest buffer but that of parameters, of those that live and those that lived so far. */
  largestBuffer: number;
  /** The largest storage binding so far, and the kernel that it was of. */
  largestBinding: { bytes: number; kernel: string };
}

const [STORAGE, UNIFORM, MAP_WRITE] = [0x80, 0x40, 0x2];

/** What the host reads of a large buffer is no longer than this: nobody looks at copies of whole adapters here. */
const LONGEST_READ = 2 ** 20;

/** A buffer without content. What the host reads of it is 1 everywhere: a loss that is finite, a step that counts. */
class ShapeBuffer {
  readonly size: number;
  readonly #onDestroy: () => void;
  #isDestroyed = false;

  constructor(size: number, onDestroy: () => void) {
    this.size = size;
    this.#onDestroy = onDestroy;
  }

  async mapAsync(): Promise<void> {}

  getMappedRange(offset = 0, size = this.size - offset): ArrayBuffer {
    return new Float32Array(Math.ceil(Math.min(size, LONGEST_READ) / 4)).fill(1).buffer;
  }

  unmap(): void {}

  destroy(): void {
    if (!this.#isDestroyed) this.#onDestroy();
    this.#isDestroyed = true;
  }
}

interface ShapeLayout {
  readonly entries: readonly GPUBindGroupLayoutEntry[];
  label: string;
}

interface ShapePipeline {
  readonly label: string;
  readonly layout: { readonly bindGroupLayouts: readonly ShapeLayout[] };
  readonly compute: { readonly module: { readonly code: string }; readonly entryPoint: string };
}

interface ShapeGroup {
  readonly label: string;
  readonly written: readonly GPUBuffer[];
}

/**
 * The part of a `GPUDevice` that the engine uses, with buffers that are only counted and dispatches that do nothing: an
 * engine on top of it takes every decision that it takes on a device of the same limits, in no time and no memory.
 */
export class ShapeGpu {
  /** What was allocated. */
  readonly stats: ShapeBytes = {
    ...{ bytes: 0, peak: 0, outside: 0, outsidePeak: 0, largestBuffer: 0 },
    largestBinding: { bytes: 0, kernel: "" },
  };
  watcher: ShapeWatcher = {};
  readonly #live = new Set<ShapeBuffer>();
  readonly limits: Readonly<Record<string, number>>;
  readonly features = new Set<string>();
  readonly lost = new Promise<never>(() => {});
  readonly queue = {
    submit() {},
    writeBuffer() {},
    onSubmittedWorkDone: async () => {},
  };

  constructor(limits: Readonly<Record<string, number>>) {
    this.limits = limits;
  }

  /** The engine's view of it. */
  get gpu(): GPUDevice {
    return this as unknown as GPUDevice;
  }

  /** Forgets what was most so far. */
  restart(): void {
    const { bytes, outside } = this.stats;
    let largestBuffer = 0;
    for (const { size } of this.#live) largestBuffer = Math.max(largestBuffer, size);
    Object.assign(this.stats, {
      ...{ peak: bytes, outsidePeak: outside, largestBuffer },
      largestBinding: { bytes: 0, kernel: "" },
    });
  }

  createBuffer({ size, usage }: { size: number; usage: number }): ShapeBuffer {
    const { stats } = this;
    if (usage & MAP_WRITE) return new ShapeBuffer(size, () => {});
    const outside = (usage & STORAGE) === 0 ? size : 0;
    stats.bytes += size;
    stats.peak = Math.max(stats.peak, stats.bytes);
    stats.outside += outside;
    stats.outsidePeak = Math.max(stats.outsidePeak, stats.outside);
    const buffer = new ShapeBuffer(size, () => {
      stats.bytes -= size;
      stats.outside -= outside;
      this.#live.delete(buffer);
    });
    if ((usage & UNIFORM) === 0) {
      stats.largestBuffer = Math.max(stats.largestBuffer, size);
      this.#live.add(buffer);
    }
    return buffer;
  }

  /** Textures are of texels of 16 bytes. */
  createTexture({ size: [width = 1, height = 1] }: { size: readonly number[] }) {
    const bytes = 16 * width * height;
    this.stats.bytes += bytes;
    this.stats.peak = Math.max(this.stats.peak, this.stats.bytes);
    return {
      createView: () => ({}),
      destroy: () => {
        this.stats.bytes -= bytes;
      },
    };
  }

  createBindGroupLayout({ entries }: { entries: readonly GPUBindGroupLayoutEntry[] }): ShapeLayout {
    return { entries, label: "" };
  }

  createPipelineLayout({ bindGroupLayouts }: { bindGroupLayouts: readonly ShapeLayout[] }) {
    return { bindGroupLayouts };
  }

  createShaderModule({ code }: { code: string }) {
    return { code };
  }

  createComputePipeline({ label, layout, compute }: ShapePipeline) {
    const [group = { entries: [], label }] = layout.bindGroupLayouts;
    group.label = label;
    const { module, entryPoint } = compute;
    this.watcher.onCompile?.({ label, code: module.code, entryPoint, bindings: group.entries });
    return { label };
  }

  createBindGroup({
    layout,
    entries,
  }: {
    layout: ShapeLayout;
    entries: readonly GPUBindGroupEntry[];
  }): ShapeGroup {
    const types = new Map(layout.entries.map(({ binding, buffer }) => [binding, buffer?.type]));
    const written: GPUBuffer[] = [];
    for (const { binding, resource } of entries) {
      const type = types.get(binding);
      if (type === "uniform" || type === undefined) continue;
      const { buffer, size = 0 } = resource as GPUBufferBinding;
      if (size > this.stats.largestBinding.bytes)
        this.stats.largestBinding = { bytes: size, kernel: layout.label };
      if (type === "storage") written.push(buffer);
    }
    return { label: layout.label, written };
  }

  createCommandEncoder() {
    return {
      beginComputePass: () => this.#pass(),
      copyBufferToBuffer() {},
      finish: () => ({}),
    };
  }

  #pass() {
    let group: ShapeGroup | undefined;
    return {
      setPipeline() {},
      setBindGroup(_: number, next: ShapeGroup) {
        group = next;
      },
      dispatchWorkgroups: () => {
        for (const buffer of group?.written ?? []) this.watcher.onWrite?.(buffer, group?.label ?? "");
      },
      end() {},
    };
  }

  pushErrorScope(): void {}

  async popErrorScope(): Promise<null> {
    return null;
  }

  addEventListener(): void {}

  destroy(): void {}
}
