import { fail, LoraError } from "../util/fail.ts";
import type { Allocation } from "./memory.ts";
import type { Stream } from "./stream.ts";
import { Uniforms } from "./uniforms.ts";
import { type Specialization, specialize, type WgslBinding, type WgslModule } from "./wgsl.ts";
import { type Dated, WordMap } from "./word-map.ts";

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
  /**
   * The parameters are others at each launch, such as the seed of a dropout mask: they are bound by an offset that is given
   * with the dispatch. That takes 1 µs longer than what is bound once, and saves a new bind group each time.
   */
  changing?: boolean;
}

interface Pipeline {
  id: number;
  /** Whether parameters are bound by an offset that is given with each dispatch. */
  changing: boolean;
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
/** Bind groups kept: a training step of a large model has some thousands, and batches of other lengths have their own. */
const MAX_GROUPS = 16_384;

/** In place of an offset: there are no parameters, or it is given with the dispatch. */
const NOWHERE = 0xffff_ffff;

interface BindGroup extends Dated {
  readonly group: GPUBindGroup;
}

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
  readonly #uniforms: Uniforms;
  readonly #groups = new WordMap<BindGroup>();
  /**
   * What the key of a bind group is put together in: the pipeline, where its parameters lie, then buffer, offset and
   * length of each binding.
   */
  readonly #key = new Uint32Array(2 + 3 * MAX_BINDINGS);
  #compiled = 0;
  #bound = 0;

  constructor(gpu: GPUDevice, stream: Stream) {
    this.#gpu = gpu;
    this.#stream = stream;
    this.bindingLimit = gpu.limits.maxStorageBufferBindingSize;
    this.#gridLimit = gpu.limits.maxComputeWorkgroupsPerDimension;
    this.#uniforms = new Uniforms(gpu);
    this.#uniforms.onEvict = (offsets) => this.#groups.remove((_, key) => offsets.has(key[1] as number));
  }

  /** Number of compiled pipelines. */
  get compiled(): number {
    return this.#compiled;
  }

  /** Number of bind groups made so far. */
  get bound(): number {
    return this.#bound;
  }

  /** Number of bind groups kept. */
  get kept(): number {
    return this.#groups.size;
  }

  /** Forgets the bind groups of these buffers; called before they are destroyed. */
  forgetBindings(ids: ReadonlySet<number>): void {
    this.#groups.remove((_, key) => {
      for (let at = 2; at < key.length; at += 3) if (ids.has(key[at] as number)) return true;
      return false;
    });
  }

  /**
   * Records one dispatch of `entry` of `module`.
   * @throws LoraError naming shader and binding for a missing or extra name, a buffer bound both read and read_write, or
   * one that is larger than a binding may be; and the grid where it is larger than a dispatch may be.
   */
  run(module: WgslModule, entry: string, launch: Launch): void {
    const { bind, params = {}, constants = {}, grid, changing = false } = launch;
    const [x, y = 1, z = 1] = grid;
    if (Math.max(x, y, z) > this.#gridLimit) failGrid(`${module.name}.${entry}`, grid, this.#gridLimit);
    const prepared = this.#prepare(module);
    const pipeline = this.#pipeline(module, prepared, entry, constants, changing);
    const offset =
      module.params.size > 0
        ? this.#uniforms.offsetOf(packParams(module, prepared, params), this.#stream.submits)
        : NOWHERE;
    const group = this.#group(module, entry, pipeline, bind, changing ? NOWHERE : offset);
    this.#stream.dispatch(pipeline.pipeline, group, x, y, z, changing ? offset : undefined);
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

  /** Joining the constants into a key takes longer than recording a dispatch: frozen objects are recognised by identity. */
  #pipeline(
    module: WgslModule,
    prepared: Prepared,
    entry: string,
    constants: Specialization,
    changing: boolean,
  ): Pipeline {
    const known = prepared.known.get(entry)?.get(constants);
    if (known?.changing === changing) return known;
    const pipeline = this.#named(module, prepared, entry, constants, changing);
    if (Object.isFrozen(constants)) {
      const byConstants = prepared.known.get(entry) ?? new Map<Specialization, Pipeline>();
      prepared.known.set(entry, byConstants.set(constants, pipeline));
    }
    return pipeline;
  }

  #named(
    module: WgslModule,
    { pipelines }: Prepared,
    entry: string,
    constants: Specialization,
    changing: boolean,
  ): Pipeline {
    let key = changing ? `${entry};changing` : entry;
    for (const name in constants) key += `;${name}=${constants[name]}`;
    let known = pipelines.get(key);
    if (!known) {
      known = this.#compile(module, entry, constants, changing);
      pipelines.set(key, known);
    }
    return known;
  }

  #compile(module: WgslModule, entry: string, constants: Specialization, changing: boolean): Pipeline {
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
        buffer: { type: bufferType(kind), hasDynamicOffset: changing && kind === "uniform" },
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
    return { id: this.#compiled++, changing, pipeline, layout, bindings };
  }

  /** @param params where the parameters lie, as far as the bind group holds that */
  #group(
    module: WgslModule,
    entry: string,
    pipeline: Pipeline,
    bind: Launch["bind"],
    params: number,
  ): GPUBindGroup {
    const key = this.#key;
    let count = 0;
    key[count++] = pipeline.id;
    key[count++] = params;
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
    let known = this.#groups.get(key, count);
    if (!known) {
      const where = `${module.name}.${entry}`;
      checkBindings(where, pipeline.bindings, bind);
      checkSizes(where, bind, this.bindingLimit);
      if (this.#groups.size >= MAX_GROUPS) this.#groups.removeOldest(this.#stream.submits);
      known = { group: this.#createGroup(module, pipeline, bind, params), lastUse: 0 };
      this.#groups.add(key, count, known);
    }
    known.lastUse = this.#stream.submits;
    return known.group;
  }

  #createGroup(module: WgslModule, pipeline: Pipeline, bind: Launch["bind"], params: number): GPUBindGroup {
    const offset = params === NOWHERE ? 0 : params;
    const entries = pipeline.bindings.map(({ name, binding, kind }): GPUBindGroupEntry => {
      if (kind === "uniform")
        return { binding, resource: { buffer: this.#uniforms.buffer, offset, size: module.params.size } };
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

/** A driver may lose the device over a binding that is too large; this error names it. */
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
