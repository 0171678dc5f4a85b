const known = new Map<string, CharacterSet>();

/** Sets that are kept: expressions have the same ones over and over. */
const MOST_KEPT = 1000;

/** The set that a source stands for. */
export function characterSet(source: string): CharacterSet {
  const found = known.get(source);
  if (found) return found;
  if (known.size >= MOST_KEPT) known.clear();
  const set = new CharacterSet(source);
  known.set(source, set);
  return set;
}

/** Characters that an expression of one character matches, each looked up once. */
export class CharacterSet {
  readonly #expression: RegExp;
  /** By the upper bits of a code point: for each of 256 a 1 where it is in the set, a 2 where it is not. */
  readonly #pages = new Map<number, Uint8Array>();

  /** @param source as JavaScript writes it under the flag `v` */
  constructor(source: string) {
    this.#expression = new RegExp(`^(?:${source})$`, "v");
  }

  has(point: number): boolean {
    const page = this.#pages.get(point >>> 8) ?? this.#newPage(point >>> 8);
    const known = page[point & 255]!;
    if (known !== 0) return known === 1;
    const found = this.#expression.test(String.fromCodePoint(point));
    page[point & 255] = found ? 1 : 2;
    return found;
  }

  #newPage(index: number): Uint8Array {
    const page = new Uint8Array(256);
    this.#pages.set(index, page);
    return page;
  }
}
