import { LoraError } from "../../../util/fail.ts";

/** Makers of a part's components: one for each type that the schema of `tokenizer.json` knows. */
export type Makers<Json extends { readonly type: string }, T> = {
  readonly [Name in Json["type"]]: (json: Extract<Json, { readonly type: Name }>, path: string) => T;
};

/**
 * The component that the JSON describes.
 * @param path where it stands, such as `normalizer.normalizers[1]`
 */
export function make<Json extends { readonly type: string }, T>(
  makers: Makers<Json, T>,
  json: Json,
  path: string,
): T {
  const maker = makers[json.type as Json["type"]] as (json: Json, path: string) => T;
  return maker(json, path);
}

const OTHER = "take a model whose tokenizer does without it";

/** Throws: this is good for Rust's library, but isn't built here, or isn't known to be what Rust gives. */
export function unsupported(path: string, what: string, help = OTHER): never {
  throw new LoraError("unsupported", "tokenizer.json", `${path}: ${what} is not supported`, help);
}
