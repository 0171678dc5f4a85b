/** Kinds of values in a GGUF file's metadata; their numbers are their places in this list. */
export const VALUE_KINDS = [
  ...(["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool"] as const),
  ...(["string", "array", "u64", "i64", "f64"] as const),
] as const;

/** A kind of value. */
export type ValueKind = (typeof VALUE_KINDS)[number];

/** A value of a kind that is no list. */
export type ScalarKind = Exclude<ValueKind, "array">;

/** A scalar; those of 64 bits are bigints. */
export type Scalar = number | bigint | boolean | string;

/** A value of the metadata with its kind. */
export type GgufValue =
  | { readonly kind: ScalarKind; readonly value: Scalar }
  | { readonly kind: "array"; readonly of: ScalarKind; readonly value: readonly Scalar[] };

/** The metadata of a file by key, in order. */
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

/** Makes values of the kinds in use. */
export const gguf = {
  u32: (value: number): GgufValue => ({ kind: "u32", value }),
  f32: (value: number): GgufValue => ({ kind: "f32", value }),
  bool: (value: boolean): GgufValue => ({ kind: "bool", value }),
  string: (value: string): GgufValue => ({ kind: "string", value }),
  strings: (value: readonly string[]): GgufValue => ({ kind: "array", of: "string", value }),
  i32s: (value: readonly number[]): GgufValue => ({ kind: "array", of: "i32", value }),
  f32s: (value: readonly number[]): GgufValue => ({ kind: "array", of: "f32", value }),
};

/** Bytes of a scalar; undefined where they are counted in the file. */
export const SCALAR_BYTES: Readonly<Record<ScalarKind, number | undefined>> = {
  ...{ u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, bool: 1 },
  ...{ string: undefined, u64: 8, i64: 8, f64: 8 },
};

/** A file without `general.alignment` has this one. */
export const DEFAULT_ALIGNMENT = 32;

/** The key that states another. */
export const ALIGNMENT_KEY = "general.alignment";

/** `GGUF`, read as a little-endian number. */
export const MAGIC = 0x46554747;

/** The first multiple of the alignment from a position on. */
export function aligned(position: number, alignment: number): number {
  return Math.ceil(position / alignment) * alignment;
}
