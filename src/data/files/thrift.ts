/** Numbers, structs and lists of structs of a struct by their field; of the rest nothing is kept. */
export type Struct = ReadonlyMap<number, Value>;

type Value = number | Struct | readonly Struct[];

/** Structs in each other: the footer has seven. */
const DEEPEST = 32;

/** Numbers and structs of thrift's compact protocol; of the rest only its length. */
export class ThriftReader {
  at: number;
  readonly #view: DataView;

  constructor(view: DataView, at: number) {
    this.#view = view;
    this.at = at;
  }

  /** @throws Error where it is cut off, or a list claims more entries than there are bytes */
  struct(depth = 0): Struct {
    if (depth > DEEPEST) throw new Error("structs in each other without end");
    const fields = new Map<number, Value>();
    let field = 0;
    for (let head = this.#byte(); (head & 15) !== 0; head = this.#byte()) {
      field = head >> 4 ? field + (head >> 4) : this.#zigzag();
      const value = this.#value(head & 15, depth);
      if (value !== undefined) fields.set(field, value);
    }
    return fields;
  }

  /** A whole number of 7 bits a byte, the lowest first. */
  varint(): number {
    let result = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#byte();
      result += (byte & 127) * factor;
      if (byte < 128) return result;
      if (factor > 2 ** 63) throw new Error("a number without an end");
    }
  }

  #value(type: number, depth: number): Value | undefined {
    if (type === 1 || type === 2) return type === 1 ? 1 : 0; // true, false
    if (type === 3) return this.#byte();
    if (type <= 6) return this.#zigzag();
    if (type === 7) return void this.#skip(8);
    if (type === 8) return void this.#skip(this.varint());
    if (type === 9) return this.#list(depth);
    if (type === 12) return this.struct(depth + 1);
    throw new Error(`a field of the kind ${type}`);
  }

  #list(depth: number): readonly Struct[] | undefined {
    if (depth > DEEPEST) throw new Error("lists in each other without end");
    const head = this.#byte();
    const count = head >> 4 === 15 ? this.varint() : head >> 4;
    if (count > this.#view.byteLength - this.at) throw new Error(`a list of ${count} entries`);
    const type = head & 15;
    const structs: Struct[] = [];
    for (let i = 0; i < count; i++) {
      if (type === 1 || type === 2) this.#skip(1);
      else if (type === 12) structs.push(this.struct(depth + 1));
      else this.#value(type, depth + 1);
    }
    return type === 12 ? structs : undefined;
  }

  #zigzag(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #skip(bytes: number): void {
    this.at += bytes;
    if (this.at > this.#view.byteLength) throw new Error("what it names lies behind its end");
  }

  #byte(): number {
    return this.#view.getUint8(this.at++);
  }
}
