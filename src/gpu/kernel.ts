import { fail } from "../util/fail.ts";
import type { Allocation } from "./memory.ts";
import type { Stream } from "./stream.ts";
import { type Specialization, specialize, type WgslBinding, type WgslModule } from "./wgsl.ts";

/** A byte range of an allocation; every Tensor is one. */
export interface Region {
  readonly storage: Allocation;
  /** A multiple of the device's `minStorageBufferOffsetAlignment`. */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** What one dispatch needs; everything by name. */
export interface Launch {
  /** A region for each storage binding of the entry point. */
  bind: Readonly<Record<string, Region>>;
  /** A number for each field of the shader's `Params`. */
  params?: Readonly<Record<string, number>>;
  /** New values for top-level `const` and `alias` lines. */
  constants?: Specialization;
  /** Workgroups: x, y, z. */
  grid: readonly [number, number?, number?];
}

interface Pipeline {
  id: number;
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
  bindings: readonly WgslBinding[];
}

const COMPUTE = 0x4; // GPUShaderStage.COMPUTE

/** Compiles specialised shaders once and records dispatches with cached bind groups. */
export class Kernels {
  readonly #gpu: GPUDevice;
  readonly #stream: Stream;
  readonly #pipelines = new Map<string, Pipeline>();
  readonly #groups = new Map<string, GPUBindGroup>();
  readonly #uniformIds = new WeakMap<GPUBuffer, number>();
  #nextUniform = 0;

  constructor(gpu: GPUDevice, stream: Stream) {
    this.#gpu = gpu;
    this.#stream = stream;
    stream.onEvict = () => this.#groups.clear();
  }

  /** Number of compiled pipelines. */
  get compiled(): number {
    return this.#pipelines.size;
  }

  /** Forgets bind groups; called before buffers are destroyed. */
  forgetBindings(): void {
    this.#groups.clear();
  }

  /**
   * Records one dispatch of `entry` of `module`.
   * @throws LoraError naming shader and binding for a missing or extra name, or a buffer bound both read and read_write.
   */
  run(module: WgslModule, entry: string, { bind, params = {}, constants = {}, grid }: Launch): void {
    const pipeline = this.#pipeline(module, entry, constants);
    const uniform = module.params.size > 0 ? this.#stream.uniform(packParams(module, params)) : undefined;
    const group = this.#group(module, entry, pipeline, bind, uniform);
    const used = Object.values(bind).map((region) => region.storage);
    this.#stream.dispatch(pipeline.pipeline, group, [grid[0], grid[1] ?? 1, grid[2] ?? 1], used);
  }

  #pipeline(module: WgslModule, entry: string, constants: Specialization): Pipeline {
    const key = `${module.name}/${entry}/${Object.entries(constants).join(";")}`;
    let known = this.#pipelines.get(key);
    if (!known) {
      known = this.#compile(module, entry, constants);
      this.#pipelines.set(key, known);
    }
    return known;
  }

  #compile(module: WgslModule, entry: string, constants: Specialization): Pipeline {
    const bindings = module.entries[entry];
    if (!bindings) {
      fail(
        `${module.name}.wgsl`,
        `no entry point "${entry}"`,
        `it has ${Object.keys(module.entries).join(", ")}`,
      );
    }
    const layout = this.#gpu.createBindGroupLayout({
      entries: bindings.map(({ binding, kind }) => ({
        binding,
        visibility: COMPUTE,
        buffer: { type: bufferType(kind) },
      })),
    });
    const label = `${module.name}.${entry}`;
    const pipeline = this.#gpu.createComputePipeline({
      label,
      layout: this.#gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: {
        module: this.#gpu.createShaderModule({ label, code: specialize(module, constants) }),
        entryPoint: entry,
      },
    });
    return { id: this.#pipelines.size, pipeline, layout, bindings };
  }

  #group(
    module: WgslModule,
    entry: string,
    pipeline: Pipeline,
    bind: Launch["bind"],
    uniform: GPUBuffer | undefined,
  ): GPUBindGroup {
    let key = `${pipeline.id}|${uniform ? this.#uniformId(uniform) : ""}`;
    for (const { name, kind } of pipeline.bindings) {
      if (kind === "uniform") continue;
      const region = bind[name];
      if (!region) fail(`${module.name}.${entry}`, `binding "${name}" is missing`);
      key += `|${region.storage.id}@${region.byteOffset}+${region.byteLength}`;
    }
    let group = this.#groups.get(key);
    if (!group) {
      checkBindings(`${module.name}.${entry}`, pipeline.bindings, bind);
      group = this.#createGroup(pipeline, bind, uniform);
      this.#groups.set(key, group);
    }
    return group;
  }

  #createGroup(pipeline: Pipeline, bind: Launch["bind"], uniform: GPUBuffer | undefined): GPUBindGroup {
    const entries = pipeline.bindings.map(({ name, binding, kind }): GPUBindGroupEntry => {
      if (kind === "uniform") return { binding, resource: { buffer: uniform as GPUBuffer } };
      const { storage, byteOffset, byteLength } = bind[name] as Region;
      // Round up so that a bf16 tensor of odd length still has its last word; allocations are 256-byte granular.
      const size = Math.max(16, Math.ceil(byteLength / 16) * 16);
      return { binding, resource: { buffer: storage.buffer, offset: byteOffset, size } };
    });
    return this.#gpu.createBindGroup({ layout: pipeline.layout, entries });
  }

  #uniformId(buffer: GPUBuffer): number {
    let id = this.#uniformIds.get(buffer);
    if (id === undefined) {
      id = this.#nextUniform++;
      this.#uniformIds.set(buffer, id);
    }
    return id;
  }
}

function bufferType(kind: WgslBinding["kind"]): GPUBufferBindingType {
  if (kind === "uniform") return "uniform";
  return kind === "read" ? "read-only-storage" : "storage";
}

function checkBindings(where: string, bindings: readonly WgslBinding[], bind: Launch["bind"]): void {
  const kinds = new Map(bindings.map(({ name, kind }) => [name, kind]));
  const written = new Map<number, string>();
  for (const [name, region] of Object.entries(bind)) {
    const kind = kinds.get(name);
    if (!kind) fail(where, `binding "${name}" does not exist`, `it has ${[...kinds.keys()].join(", ")}`);
    if (kind === "read_write") written.set(region.storage.id, name);
  }
  for (const [name, region] of Object.entries(bind)) {
    const writer = written.get(region.storage.id);
    if (kinds.get(name) === "read" && writer !== undefined) {
      fail(
        where,
        `"${name}" (read) and "${writer}" (written) are the same buffer`,
        "WebGPU forbids this; use another output",
      );
    }
  }
}

/** Packs named numbers at the offsets that reflection found. Field types: u32, i32, f32. */
function packParams(module: WgslModule, values: Readonly<Record<string, number>>): Uint32Array {
  const words = new Uint32Array(module.params.size / 4);
  const floats = new Float32Array(words.buffer);
  for (const { name, type, offset } of module.params.fields) {
    const value = values[name];
    if (value === undefined) fail(`${module.name}.wgsl`, `Params.${name} is missing`);
    if (type === "f32") floats[offset / 4] = value;
    else words[offset / 4] = value;
  }
  return words;
}
