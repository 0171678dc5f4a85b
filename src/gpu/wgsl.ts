import { fail } from "../util/fail.ts";

/** One binding of an entry point, as reflected from the WGSL source at build time. */
export interface WgslBinding {
  name: string;
  binding: number;
  kind: "uniform" | "read" | "read_write";
}

/** A shader file after the build: source plus everything the host must know about it. */
export interface WgslModule {
  name: string;
  code: string;
  /** Top-level `const` declarations, rewritable through {@link specialize}. */
  constants: Record<string, string>;
  /** Top-level `alias` declarations, rewritable through {@link specialize}. */
  aliases: Record<string, string>;
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

/**
 * The WGSL text with some top-level `const`/`alias` values replaced.
 * This is the only way in which a shader varies: the file on disk is valid WGSL with sensible defaults.
 * @throws LoraError for a name that the shader does not declare.
 */
export function specialize(module: WgslModule, values: Specialization): string {
  let code = module.code;
  for (const [name, value] of Object.entries(values)) {
    const declared = module.constants[name] ?? module.aliases[name];
    if (declared === undefined) {
      const known = [...Object.keys(module.constants), ...Object.keys(module.aliases)].join(", ");
      fail(`${module.name}.wgsl`, `no constant or alias "${name}"`, `it declares ${known}`);
    }
    const line = new RegExp(`^((?:const|alias) ${name}(?:: \\w+)? = ).+?;`, "m");
    code = code.replace(line, (_, head: string) => `${head}${literal(value, declared)};`);
  }
  return code;
}
