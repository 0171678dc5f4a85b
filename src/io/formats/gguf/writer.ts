import { concatBytes } from "../../../util/bytes.ts";
import { failAll } from "../../../util/fail.ts";
import { type BlockType, blockFormat, tensorBytes } from "./block-formats.ts";
import type { GgufTensor } from "./header.ts";
import {
  ALIGNMENT_KEY,
  aligned,
  DEFAULT_ALIGNMENT,
  type GgufMetadata,
  type GgufValue,
  MAGIC,
  type Scalar,
  type ScalarKind,
  VALUE_KINDS,
} from "./values.ts";

/** What the header says of a tensor to be written. */
export interface GgufTensorSpec {
  readonly name: string;
  readonly type: BlockType;
  /** Row-major. */
  readonly shape: readonly number[];
}

/** A file before its data. */
export interface GgufPlan {
  /** Metadata, names and padding. */
  readonly header: Uint8Array;
  /** In the order in which the data must come. */
  readonly tensors: readonly GgufTensor[];
  /** Bytes of the whole file. */
  readonly size: number;
}

/** The version that is written. */
const VERSION = 3;

/**
 * Header and layout of a GGUF file whose data will be streamed.
 * @throws LoraError that lists every name that is there twice and every shape that the type cannot hold
 */
export function planGguf(metadata: GgufMetadata, specs: readonly GgufTensorSpec[]): GgufPlan {
  failAll("planGguf", specProblems(metadata, specs));
  const body = new Encoder();
  body.u32(MAGIC).u32(VERSION).u64(specs.length).u64(metadata.size);
  for (const [key, value] of metadata) body.text(key).value(value);
  let offset = 0;
  const placed = specs.map((spec) => {
    const bytes = tensorBytes(spec.type, spec.shape) ?? 0;
    const begin = offset;
    offset = aligned(begin + bytes, DEFAULT_ALIGNMENT);
    return { ...spec, begin, end: begin + bytes };
  });
  for (const { name, type, shape, begin } of placed) {
    body.text(name).u32(shape.length);
    for (const size of shape.toReversed()) body.u64(size);
    body.u32(blockFormat(type).id).u64(begin);
  }
  const header = body.bytes(DEFAULT_ALIGNMENT);
  const shift = header.length;
  const tensors = placed.map((tensor) => ({
    ...tensor,
    begin: tensor.begin + shift,
    end: tensor.end + shift,
  }));
  return { header, tensors, size: shift + offset };
}

/** The bytes of a planned file: the data of each tensor are asked for when its turn comes, and padded. */
export async function* streamGguf(
  { header, tensors }: GgufPlan,
  dataOf: (tensor: GgufTensor) => AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield header;
  for (const tensor of tensors) {
    yield* dataOf(tensor);
    const size = tensor.end - tensor.begin;
    const padding = aligned(size, DEFAULT_ALIGNMENT) - size;
    if (padding > 0) yield new Uint8Array(padding);
  }
}

/** A whole file in memory, for small ones. */
export function ggufBytes(
  metadata: GgufMetadata,
  tensors: readonly (GgufTensorSpec & { readonly data: Uint8Array })[],
): Uint8Array {
  const plan = planGguf(metadata, tensors);
  const file = new Uint8Array(plan.size);
  file.set(plan.header);
  plan.tensors.forEach(({ begin }, i) => {
    file.set((tensors[i] as { data: Uint8Array }).data, begin);
  });
  return file;
}

function specProblems(metadata: GgufMetadata, specs: readonly GgufTensorSpec[]): string[] {
  const seen = new Set<string>();
  const problems = metadata.has(ALIGNMENT_KEY) ? [`${ALIGNMENT_KEY} is not the caller's to choose`] : [];
  for (const { name, type, shape } of specs) {
    if (seen.has(name)) problems.push(`${name}: two tensors have this name`);
    if (tensorBytes(type, shape) === undefined) problems.push(`${name}: [${shape}] cannot be ${type}`);
    seen.add(name);
  }
  return problems;
}

/** Puts the parts of a header together, little-endian. */
class Encoder {
  readonly #chunks: Uint8Array[] = [];
  #length = 0;

  u32(value: number): this {
    return this.#number(4, (view) => view.setUint32(0, value, true));
  }

  u64(value: number): this {
    return this.#number(8, (view) => view.setBigUint64(0, BigInt(value), true));
  }

  text(text: string): this {
    const bytes = new TextEncoder().encode(text);
    return this.u64(bytes.length).#add(bytes);
  }

  value(given: GgufValue): this {
    this.u32(VALUE_KINDS.indexOf(given.kind));
    if (given.kind !== "array") return this.#scalar(given.kind, given.value);
    this.u32(VALUE_KINDS.indexOf(given.of)).u64(given.value.length);
    for (const item of given.value) this.#scalar(given.of, item);
    return this;
  }

  /** All of it, padded with zeros. */
  bytes(alignment: number): Uint8Array {
    const padding = aligned(this.#length, alignment) - this.#length;
    return concatBytes([...this.#chunks, new Uint8Array(padding)]);
  }

  #scalar(kind: ScalarKind, value: Scalar): this {
    switch (kind) {
      case "u8":
        return this.#number(1, (view) => view.setUint8(0, Number(value)));
      case "bool":
        return this.#number(1, (view) => view.setUint8(0, value === true ? 1 : 0));
      case "i8":
        return this.#number(1, (view) => view.setInt8(0, Number(value)));
      case "u16":
        return this.#number(2, (view) => view.setUint16(0, Number(value), true));
      case "i16":
        return this.#number(2, (view) => view.setInt16(0, Number(value), true));
      case "u32":
        return this.u32(Number(value));
      case "i32":
        return this.#number(4, (view) => view.setInt32(0, Number(value), true));
      case "f32":
        return this.#number(4, (view) => view.setFloat32(0, Number(value), true));
      case "f64":
        return this.#number(8, (view) => view.setFloat64(0, Number(value), true));
      case "u64":
        return this.#number(8, (view) => view.setBigUint64(0, BigInt(value), true));
      case "i64":
        return this.#number(8, (view) => view.setBigInt64(0, BigInt(value), true));
      case "string":
        return this.text(String(value));
    }
  }

  #number(size: number, set: (view: DataView) => void): this {
    const bytes = new Uint8Array(size);
    set(new DataView(bytes.buffer));
    return this.#add(bytes);
  }

  #add(bytes: Uint8Array): this {
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    return this;
  }
}
