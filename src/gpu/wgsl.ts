import { fail } from "../util/fail.ts";

/** One binding of an entry point, as reflected from the WGSL source at build time. */
export interface WgslBinding {
  name: string;
  binding: number;
  /** Of textures: `texels`, which are read, and `texels_written`. */
  kind: "uniform" | "read" | "read_write" | "texels" | "texels_written";
}

/** A shader file after the build: source plus everything the host must know about it. */
export interface WgslModule {
  name: string;
  /** Its top-level `const` and `alias` declarations are rewritable through {@link specialize}. */
  code: string;
  /** Layout of `struct Params` (binding 0); size in bytes, a multiple of 16. */
  params: { size: number; fields: { name: string; type: string; offset: number }[] };
  entries: Record<string, WgslBinding[]>;
}

/** New right-hand sides for `const` and `alias` lines, by name. */
export type Specialization = Readonly<Record<string, string | number | boolean>>;

/** `3` for a `u32` constant must read `3u`, for an `f32` one `3.0`: the literal follows the declared default. */
function literal(value: string | number | boolean, like: string): string {
  if (typeof value !== "number") return String(value);
  if (/^\d+u$/.test(like)) return `${value}u`;
  if (/^-?\d+\.\d*/.test(like)) return Number.isInteger(value) ? value.toFixed(1) : String(value);
  return String(value);
}

/** Whether a shader has f16 types where it is told so. */
export function usesHalves(values: Specialization): boolean {
  return Object.values(values).some((value) => /\bf16\b/.test(String(value)));
}

/** Finds top-level declarations: what stands before the value, the name, and the value. */
const declaration = (name: string, flags = "") =>
  new RegExp(`^((?:const|alias) (${name})(?:: \\w+)? = )(.+?);`, `m${flags}`);

/**
 * The WGSL text with some top-level `const`/`alias` values replaced.
 * This is the only way in which a shader varies: the file on disk is valid WGSL with sensible defaults.
 * @throws LoraError for a name that the shader does not declare.
 */
export function specialize(module: WgslModule, values: Specialization): string {
  const halves = usesHalves(values) && !/^enable f16;/m.test(module.code);
  let code = halves ? `enable f16;\n${module.code}` : module.code;
  for (const [name, value] of Object.entries(values)) {
    if (!declaration(name).test(code)) {
      const known = Array.from(code.matchAll(declaration("\\w+", "g")), ([, , known]) => known);
      fail(`${module.name}.wgsl`, `no constant or alias "${name}"`, `it declares ${known.join(", ")}`);
    }
    code = code.replace(
      declaration(name),
      (_, head: string, __, declared: string) => `${head}${literal(value, declared)};`,
    );
  }
  return code;
}
