import { fail, LoraError } from "../util/fail.ts";
import type { Allocation } from "./memory.ts";
import type { Texels } from "./texels.ts";
import type { Specialization, WgslBinding, WgslModule } from "./wgsl.ts";

// What a dispatch is given, and what is wrong with that, before the device is asked.

/** A byte range of an allocation; every Tensor is one. */
export interface Region {
  readonly storage: Allocation;
  /** A multiple of the device's `minStorageBufferOffsetAlignment`. */
  readonly byteOffset: number;
  readonly byteLength: number;
  /** Type of the elements, of a tensor. */
  readonly dtype?: string;
}

/** What one dispatch needs; everything by name. */
export interface Launch {
  /** A region for each storage binding of the entry point. */
  bind: Readonly<Record<string, Region>>;
  /** Texels for each binding that is a texture. */
  textures?: Readonly<Record<string, Texels>>;
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

/** @throws LoraError for a binding that the entry point has not, and a buffer that is both read and written */
export function checkBindings(where: string, bindings: readonly WgslBinding[], bind: Launch["bind"]): void {
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

/** What to do where something computes from f32 alone. */
export const NO_HALVES = "mixed precision is not for this model or method: leave it out";

/** @throws LoraError for halves that a kernel would take for words of 32 bits: not all of them are for mixed precision */
export function checkHalves(where: string, { code }: WgslModule, bind: Launch["bind"]): void {
  const halves = Object.entries(bind).filter(([, { dtype }]) => dtype === "f16");
  // A weight in f16 is bound as words, and may be as something else beside that.
  const asWords = halves.filter(([name]) => isWords(code, name)).map(([, { storage }]) => storage);
  const wrong = halves.find(([name, { storage }]) => !isWords(code, name) && !asWords.includes(storage));
  if (!wrong) return;
  const message = `"${wrong[0]}" is f16, and this kernel computes from f32`;
  throw new LoraError("unsupported", where, message, NO_HALVES);
}

const isWords = (code: string, name: string) =>
  new RegExp(`var<storage, \\w+> ${name}: array<(u32|vec[24]u|packed)>`).test(code);

/** A driver may lose the device over a binding that is too large; this error names it. */
export function checkSizes(where: string, bind: Launch["bind"], limit: number): void {
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

/** @throws LoraError always: the grid is larger than a dispatch may be */
export function failGrid(where: string, grid: Launch["grid"], limit: number): never {
  throw new LoraError(
    "unsupported",
    where,
    `a grid of ${grid.join(" × ")} workgroups, and this device takes at most ${limit} along each side`,
    "use a smaller batch or max_length",
  );
}
