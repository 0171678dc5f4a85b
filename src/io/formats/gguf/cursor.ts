import { type GgufValue, SCALAR_BYTES, type Scalar, type ScalarKind, VALUE_KINDS } from "./values.ts";

/** The bytes at hand end before the header does: who has more gives them. */
export class EndOfBytes extends Error {}

/** Reads the parts of a GGUF file's header one after another, little-endian. */
export class Cursor {
  /** Bytes read so far. */
  at = 0;
  /** Bytes of the text that was read last. */
  lastBytes = 0;
  readonly #view: DataView;
  /** Throws: the file is not what it should be. */
  readonly refuse: (message: string) => never;

  constructor(bytes: Uint8Array, refuse: (message: string) => never) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.refuse = refuse;
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** A u64 that counts something. */
  size(what: string): number {
    const count = this.#view.getBigUint64(this.#take(8), true);
    if (count <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(count);
    return this.refuse(`${count} ${what} are beyond counting`);
  }

  /** A name or key, which must be UTF-8. */
  name(): string {
    const start = this.at;
    const bytes = this.#text();
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return this.refuse(`the name at byte ${start} is not UTF-8`);
    }
  }

  /** A value with its kind before it. */
  value(key: string): GgufValue {
    const kind = VALUE_KINDS[this.u32()] ?? this.refuse(`${key} is of an unknown kind`);
    if (kind !== "array") return { kind, value: this.#scalar(kind, key) };
    const of = VALUE_KINDS[this.u32()] ?? this.refuse(`the items of ${key} are of an unknown kind`);
    if (of === "array") return this.refuse(`${key} is a list of lists`);
    const count = this.size(`items of ${key}`);
    this.#reserve(count * (SCALAR_BYTES[of] ?? 8)); // before a list of that length is made
    return { kind, of, value: Array.from({ length: count }, () => this.#scalar(of, key)) };
  }

  #scalar(kind: ScalarKind, key: string): Scalar {
    if (kind === "string") return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.#text());
    const at = this.#take(SCALAR_BYTES[kind] as number);
    const view = this.#view;
    switch (kind) {
      case "u8":
        return view.getUint8(at);
      case "i8":
        return view.getInt8(at);
      case "u16":
        return view.getUint16(at, true);
      case "i16":
        return view.getInt16(at, true);
      case "u32":
        return view.getUint32(at, true);
      case "i32":
        return view.getInt32(at, true);
      case "f32":
        return view.getFloat32(at, true);
      case "f64":
        return view.getFloat64(at, true);
      case "u64":
        return view.getBigUint64(at, true);
      case "i64":
        return view.getBigInt64(at, true);
      case "bool": {
        const byte = view.getUint8(at);
        return byte <= 1 ? byte === 1 : this.refuse(`${key} is ${byte}, expected 0 or 1 for a truth value`);
      }
    }
  }

  #text(): Uint8Array {
    this.lastBytes = this.size("bytes of a text");
    const at = this.#take(this.lastBytes);
    return new Uint8Array(this.#view.buffer, this.#view.byteOffset + at, this.lastBytes);
  }

  #take(count: number): number {
    this.#reserve(count);
    this.at += count;
    return this.at - count;
  }

  #reserve(count: number): void {
    if (this.at + count > this.#view.byteLength) throw new EndOfBytes();
  }
}
