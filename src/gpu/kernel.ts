import { fail } from "../util/fail.ts";
import { checkBindings, checkHalves, checkSizes, failGrid, type Launch, type Region } from "./launch.ts";
import { forgetDerived } from "./memory.ts";
import type { Stream } from "./stream.ts";
import type { Texels } from "./texels.ts";
import { Uniforms } from "./uniforms.ts";
import { type Specialization, specialize, usesHalves, type WgslBinding, type WgslModule } from "./wgsl.ts";
import { type Dated, WordMap } from "./word-map.ts";

export type { Launch, Region } from "./launch.ts";

/** What a pipeline is made of. */
export interface KernelSource {
  /** Shader and entry point. */
  readonly label: string;
  /** WGSL. */
  readonly code: string;
  readonly entryPoint: string;
  /** Of its only bind group. */
  readonly bindings: readonly GPUBindGroupLayoutEntry[];
}

interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

interface Pipeline extends Compiled {
  id: number;
  /** Whether parameters are bound by an offset that is given with each dispatch. */
  changing: boolean;
  bindings: readonly WgslBinding[];
  /** Some of its types are f16. */
  takesHalves: boolean;
  /** Its constants: names and values, in one order. */
  names: readonly string[];
  values: readonly Specialization[string][];
  /** The frozen object that held them last: recognised by identity. */
  frozen?: Specialization | undefined;
}

/** What is kept for a shader: its pipelines, and room to pack its parameters. */
interface Prepared {
  /** By entry point. */
  pipelines: Map<string, Pipeline[]>;
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

/** Pipelines that are compiled at a time. */
const COMPILED_AT_ONCE = 4;

/** What tells a pipeline from others. */
const sourceKey = ({ code, entryPoint, bindings }: KernelSource) =>
  `${entryPoint}${bindings.some(({ buffer }) => buffer?.hasDynamicOffset) ? ";changing" : ""}\n${code}`;

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
  /** Those that were compiled before anybody launches them, by {@link sourceKey}. */
  readonly #ahead = new Map<string, Compiled>();
  #compiled = 0;
  #bound = 0;
  #forgotten = 0;

  constructor(gpu: GPUDevice, stream: Stream) {
    this.#gpu = gpu;
    this.#stream = stream;
    this.bindingLimit = gpu.limits.maxStorageBufferBindingSize;
    this.#gridLimit = gpu.limits.maxComputeWorkgroupsPerDimension;
    this.#uniforms = new Uniforms(gpu);
    this.#uniforms.onEvict = (offsets) => {
      this.#stream.flush(); // what is recorded may read them, also where a replay has launched it
      this.#forget((_, key) => offsets.has(key[1] as number));
    };
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

  /** How often buffers, textures or parameters went that bind groups may hold: what somebody keeps of these is then to be thrown away. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** Forgets the bind groups of these buffers; called before they are destroyed. */
  forgetBindings(ids: ReadonlySet<number>): void {
    this.#forget((_, key) => {
      for (let at = 2; at < key.length; at += 3) if (ids.has(key[at] as number)) return true;
      return false;
    });
  }

  #forget(isGone: (group: BindGroup, key: Uint32Array) => boolean): void {
    this.#forgotten++;
    this.#groups.remove(isGone);
  }

  /**
   * Records one dispatch of `entry` of `module`.
   * @throws LoraError naming shader and binding for a missing or extra name, a buffer bound both read and read_write, or
   * one that is larger than a binding may be; and the grid where it is larger than a dispatch may be.
   */
  run(module: WgslModule, entry: string, launch: Launch): void {
    const { params = {}, constants = {}, grid, changing = false } = launch;
    const [x, y = 1, z = 1] = grid;
    if (Math.max(x, y, z) > this.#gridLimit) failGrid(`${module.name}.${entry}`, grid, this.#gridLimit);
    const prepared = this.#prepare(module);
    const pipeline = this.#pipeline(module, prepared, entry, constants, changing);
    const offset =
      module.params.size > 0
        ? this.#uniforms.offsetOf(packParams(module, prepared, params), this.#stream.submits)
        : NOWHERE;
    const group = this.#group(module, entry, pipeline, launch, changing ? NOWHERE : offset);
    if (changing) this.#stream.recording?.giveUp();
    this.#stream.dispatch(pipeline.pipeline, group, x, y, z, changing ? offset : undefined);
  }

  #prepare(module: WgslModule): Prepared {
    let prepared = this.#prepared.get(module);
    if (!prepared) {
      const words = new Uint32Array(module.params.size / 4);
      const floats = new Float32Array(words.buffer);
      prepared = { pipelines: new Map(), words, floats };
      this.#prepared.set(module, prepared);
    }
    return prepared;
  }

  /** Joining the constants into a key takes longer than recording a dispatch: the entry point's few pipelines are gone through. */
  #pipeline(
    module: WgslModule,
    { pipelines }: Prepared,
    entry: string,
    constants: Specialization,
    changing: boolean,
  ): Pipeline {
    let known = pipelines.get(entry);
    if (!known) {
      known = [];
      pipelines.set(entry, known);
    }
    let at = known.findIndex((pipeline) => pipeline.frozen === constants && pipeline.changing === changing);
    if (at < 0)
      at = known.findIndex((pipeline) => pipeline.changing === changing && hasValues(pipeline, constants));
    if (at < 0) at = known.push(this.#compile(module, entry, constants, changing)) - 1;
    const pipeline = known[at] as Pipeline;
    if (Object.isFrozen(constants)) pipeline.frozen = constants;
    if (at > 0) [known[at], known[at - 1]] = [known[at - 1] as Pipeline, pipeline]; // what is asked for most is found first
    return pipeline;
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
    const source: KernelSource = {
      label: `${module.name}.${entry}`,
      code: specialize(module, constants),
      entryPoint: entry,
      bindings: bindings.map(({ binding, kind }) => ({
        binding,
        visibility: COMPUTE,
        ...(isTexture(kind)
          ? {
              storageTexture: {
                access: kind === "texels" ? "read-only" : "write-only",
                format: "rgba32uint",
              },
            }
          : { buffer: { type: bufferType(kind), hasDynamicOffset: changing && kind === "uniform" } }),
      })),
    };
    const { layout, pipeline } = this.#ahead.get(sourceKey(source)) ?? this.#compileNow(source);
    const takesHalves = usesHalves(constants);
    const [names, values] = [Object.keys(constants), Object.values(constants)];
    const id = this.#compiled++;
    return { id, changing, pipeline, layout, bindings, takesHalves, names, values, frozen: undefined };
  }

  #compileNow(source: KernelSource): Compiled {
    const { layout, descriptor } = this.#describe(source);
    return { layout, pipeline: this.#gpu.createComputePipeline(descriptor) };
  }

  #describe({ label, code, entryPoint, bindings: entries }: KernelSource) {
    const layout = this.#gpu.createBindGroupLayout({ entries: [...entries] });
    const descriptor: GPUComputePipelineDescriptor = {
      label,
      layout: this.#gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: this.#gpu.createShaderModule({ label, code }), entryPoint },
    };
    return { layout, descriptor };
  }

  /**
   * Compiles kernels before they are launched, a few at a time, while this thread and the device do other work.
   * @param onProgress called after each
   */
  async compileAhead(
    sources: readonly KernelSource[],
    onProgress: (done: number, of: number) => void = () => {},
  ): Promise<void> {
    const missing = new Map(sources.map((source) => [sourceKey(source), source]));
    for (const key of this.#ahead.keys()) missing.delete(key);
    const waiting = [...missing];
    let done = 0;
    const work = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) {
        const [key, source] = next;
        const { layout, descriptor } = this.#describe(source);
        const pipeline = await this.#gpu.createComputePipelineAsync(descriptor);
        this.#ahead.set(key, { layout, pipeline });
        onProgress(++done, missing.size);
      }
    };
    await Promise.all(Array.from({ length: COMPILED_AT_ONCE }, work));
  }

  /** @param params where the parameters lie, as far as the bind group holds that */
  #group(
    module: WgslModule,
    entry: string,
    pipeline: Pipeline,
    { bind, textures }: Launch,
    params: number,
  ): GPUBindGroup {
    const key = this.#key;
    const { recording } = this.#stream;
    let count = 0;
    key[count++] = pipeline.id;
    key[count++] = params;
    for (const { name, kind } of pipeline.bindings) {
      if (kind === "uniform") continue;
      if (isTexture(kind)) {
        const texels = textures?.[name];
        if (!texels) fail(`${module.name}.${entry}`, `texture "${name}" is missing`);
        if (kind === "texels_written" && !texels.isScratch) recording?.giveUp(); // once made, it is only read
        key[count++] = texels.id;
        key[count++] = 0;
        key[count++] = texels.byteLength;
        continue;
      }
      const region = bind[name];
      if (!region) fail(`${module.name}.${entry}`, `binding "${name}" is missing`);
      const { storage, byteOffset, byteLength } = region;
      if (kind === "read_write" && storage.derived) forgetDerived(storage);
      storage.lastUse = this.#stream.submits;
      recording?.use(storage, kind === "read_write");
      key[count++] = storage.id;
      key[count++] = byteOffset;
      key[count++] = byteLength;
    }
    let known = this.#groups.get(key, count);
    if (!known) {
      const where = `${module.name}.${entry}`;
      checkBindings(where, pipeline.bindings, bind);
      if (!pipeline.takesHalves) checkHalves(where, module, bind);
      checkSizes(where, bind, this.bindingLimit);
      if (this.#groups.size >= MAX_GROUPS) this.#groups.removeOldest(this.#stream.submits);
      known = { group: this.#createGroup(module, pipeline, { bind, textures }, params), lastUse: 0 };
      this.#groups.add(key, count, known);
    }
    known.lastUse = this.#stream.submits;
    return known.group;
  }

  #createGroup(
    module: WgslModule,
    pipeline: Pipeline,
    { bind, textures }: { bind: Launch["bind"]; textures: Launch["textures"] },
    params: number,
  ): GPUBindGroup {
    const offset = params === NOWHERE ? 0 : params;
    const entries = pipeline.bindings.map(({ name, binding, kind }): GPUBindGroupEntry => {
      if (kind === "uniform")
        return { binding, resource: { buffer: this.#uniforms.buffer, offset, size: module.params.size } };
      if (isTexture(kind)) {
        const { texture } = (textures as NonNullable<Launch["textures"]>)[name] as Texels;
        return { binding, resource: texture.createView() };
      }
      const { storage, byteOffset, byteLength } = bind[name] as Region;
      // Round up so that a bf16 tensor of odd length still has its last word; allocations are 256-byte granular.
      const size = Math.max(16, Math.ceil(byteLength / 16) * 16);
      return { binding, resource: { buffer: storage.buffer, offset: byteOffset, size } };
    });
    this.#bound++;
    return this.#gpu.createBindGroup({ layout: pipeline.layout, entries });
  }
}

/** Whether a pipeline is the one of these constants. */
function hasValues({ names, values }: Pipeline, constants: Specialization): boolean {
  let count = 0;
  for (const name in constants) {
    if (names[count] !== name || values[count] !== constants[name]) return false;
    count++;
  }
  return count === names.length;
}

function isTexture(kind: WgslBinding["kind"]): boolean {
  return kind === "texels" || kind === "texels_written";
}

function bufferType(kind: WgslBinding["kind"]): GPUBufferBindingType {
  if (kind === "uniform") return "uniform";
  return kind === "read" ? "read-only-storage" : "storage";
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
