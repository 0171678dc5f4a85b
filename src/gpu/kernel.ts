import { fail, LoraError } from "../util/fail.ts";
import type { Allocation } from "./memory.ts";
import type { Stream, Uniform } from "./stream.ts";
import { type Specialization, specialize, type WgslBinding, type WgslModule } from "./wgsl.ts";
import { WordMap } from "./word-map.ts";

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
  /** New values for top-level `const` and `alias` lines; an object that is used again and again should be frozen. */
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

/** What is kept for a shader: its pipelines, and room to pack its parameters. */
interface Prepared {
  pipelines: Map<string, Pipeline>;
  /** The same by entry point and the constants themselves, where these are frozen. */
  known: Map<string, Map<Specialization, Pipeline>>;
  words: Uint32Array;
  floats: Float32Array;
}

const COMPUTE = 0x4; // GPUShaderStage.COMPUTE
/** More storage bindings than any implementation allows an entry point. */
const MAX_BINDINGS = 64;

/** Compiles specialised shaders once and records dispatches with cached bind groups. */
export class Kernels {
  /** Most bytes of one storage binding; tests lower it. */
  bindingLimit: number;
  /** Most workgroups along one dimension of a dispatch. */
  readonly #gridLimit: number;
  readonly #gpu: GPUDevice;
  readonly #stream: Stream;
  readonly #prepared = new Map<WgslModule, Prepared>();
  readonly #groups = new WordMap<GPUBindGroup>();
  /** What the key of a bind group is put together in. */
  readonly #key = new Uint32Array(2 + 3 * MAX_BINDINGS);
  #compiled = 0;
  #bound = 0;

  constructor(gpu: GPUDevice, stream: Stream) {
    this.#gpu = gpu;
    this.#stream = stream;
    this.bindingLimit = gpu.limits.maxStorageBufferBindingSize;
    this.#gridLimit = gpu.limits.maxComputeWorkgroupsPerDimension;
    stream.onEvict = () => this.#groups.clear();
  }

  /** Number of compiled pipelines. */
  get compiled(): number {
    return this.#compiled;
  }

  /** Number of bind groups made so far. */
  get bound(): number {
    return this.#bound;
  }

  /** Forgets bind groups; called before buffers are destroyed. */
  forgetBindings(): void {
    this.#groups.clear();
  }

  /**
   * Records one dispatch of `entry` of `module`.
   * @throws LoraError naming shader and binding for a missing or extra name, a buffer bound both read and read_write, or
   * one that is larger than a binding may be; and the grid where it is larger than a dispatch may be.
   */
  run(module: WgslModule, entry: string, { bind, params = {}, constants = {}, grid }: Launch): void {
    const [x, y = 1, z = 1] = grid;
    if (Math.max(x, y, z) > this.#gridLimit) failGrid(`${module.name}.${entry}`, grid, this.#gridLimit);
    const prepared = this.#prepare(module);
    const pipeline = this.#pipeline(module, prepared, entry, constants);
    const uniform =
      module.params.size > 0 ? this.#stream.uniform(packParams(module, prepared, params)) : undefined;
    const group = this.#group(module, entry, pipeline, bind, uniform);
    this.#stream.dispatch(pipeline.pipeline, group, x, y, z);
  }

  #prepare(module: WgslModule): Prepared {
    let prepared = this.#prepared.get(module);
    if (!prepared) {
      const words = new Uint32Array(module.params.size / 4);
      const floats = new Float32Array(words.buffer);
      prepared = { pipelines: new Map(), known: new Map(), words, floats };
      this.#prepared.set(module, prepared);
    }
    return prepared;
  }

  /** Joining the constants into a key takes longer than recording a dispatch: frozen ones are known again as they are. */
  #pipeline(module: WgslModule, prepared: Prepared, entry: string, constants: Specialization): Pipeline {
    const known = prepared.known.get(entry)?.get(constants);
    if (known) return known;
    const pipeline = this.#named(module, prepared, entry, constants);
    if (Object.isFrozen(constants)) {
      const byConstants = prepared.known.get(entry) ?? new Map<Specialization, Pipeline>();
      prepared.known.set(entry, byConstants.set(constants, pipeline));
    }
    return pipeline;
  }

  #named(module: WgslModule, { pipelines }: Prepared, entry: string, constants: Specialization): Pipeline {
    let key = entry;
    for (const name in constants) key += `;${name}=${constants[name]}`;
    let known = pipelines.get(key);
    if (!known) {
      known = this.#compile(module, entry, constants);
      pipelines.set(key, known);
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
    return { id: this.#compiled++, pipeline, layout, bindings };
  }

  #group(
    module: WgslModule,
    entry: string,
    pipeline: Pipeline,
    bind: Launch["bind"],
    uniform: Uniform | undefined,
  ): GPUBindGroup {
    const key = this.#key;
    let count = 0;
    key[count++] = pipeline.id;
    key[count++] = uniform?.id ?? 0;
    for (const { name, kind } of pipeline.bindings) {
      if (kind === "uniform") continue;
      const region = bind[name];
      if (!region) fail(`${module.name}.${entry}`, `binding "${name}" is missing`);
      const { storage, byteOffset, byteLength } = region;
      storage.lastUse = this.#stream.submits;
      key[count++] = storage.id;
      key[count++] = byteOffset;
      key[count++] = byteLength;
    }
    let group = this.#groups.get(key, count);
    if (!group) {
      const where = `${module.name}.${entry}`;
      checkBindings(where, pipeline.bindings, bind);
      checkSizes(where, bind, this.bindingLimit);
      group = this.#createGroup(pipeline, bind, uniform?.buffer);
      this.#groups.add(key, count, group);
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
    this.#bound++;
    return this.#gpu.createBindGroup({ layout: pipeline.layout, entries });
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

/** A driver loses the device over a binding that is too large; this tells which it was. */
function checkSizes(where: string, bind: Launch["bind"], limit: number): void {
  const tooLarge = Object.entries(bind).find(([, { byteLength }]) => byteLength > limit);
  if (!tooLarge) return;
  const [name, { byteLength }] = tooLarge;
  throw new LoraError(
    "out-of-memory",
    where,
    `"${name}" has ${byteLength} bytes, and this device binds at most ${limit}`,
    "use a smaller batch or max_length, or a smaller rank",
  );
}

function failGrid(where: string, grid: Launch["grid"], limit: number): never {
  throw new LoraError(
    "unsupported",
    where,
    `a grid of ${grid.join(" × ")} workgroups, and this device takes at most ${limit} along each side`,
    "use a smaller batch or max_length",
  );
}

/** Packs named numbers at the offsets that reflection found. Field types: u32, i32, f32. */
function packParams(
  module: WgslModule,
  { words, floats }: Prepared,
  values: Readonly<Record<string, number>>,
): Uint32Array {
  for (const { name, type, offset } of module.params.fields) {
    const value = values[name];
    if (value === undefined) fail(`${module.name}.wgsl`, `Params.${name} is missing`);
    if (type === "f32") floats[offset / 4] = value;
    else words[offset / 4] = value;
  }
  return words;
}
