import { encodeUtf8 } from "./bytes.ts";
import { checkGrowth } from "./growth.ts";

/**
 * The character map of a SentencePiece model (`precompiled_charsmap`), read as Rust's `spm_precompiled` 0.1 reads it:
 * a Darts double array whose keys are UTF-8 and whose values are places in a pool of texts that end in a zero byte.
 */
class CharacterMap {
  private readonly units: Uint32Array;
  private readonly pool: Uint8Array;
  private readonly known = new Map<string, string | undefined>();

  constructor(bytes: Uint8Array) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const size = Math.floor(view.getUint32(0, true) / 4);
    this.units = Uint32Array.from({ length: size }, (_, i) => view.getUint32(4 + 4 * i, true));
    this.pool = bytes.subarray(4 + 4 * size);
  }

  /** What a piece of text becomes; undefined where the map has no key that it begins with. */
  transform(piece: string): string | undefined {
    if (!this.known.has(piece)) {
      if (this.known.size >= 10_000) this.known.clear();
      this.known.set(piece, this.lookUp(piece));
    }
    return this.known.get(piece);
  }

  /** The shortest key counts, and what follows it in the piece is lost: so does the Rust library. */
  private lookUp(piece: string): string | undefined {
    let node = offsetOf(this.unit(0));
    for (const byte of encodeUtf8(piece)) {
      if (byte === 0) return undefined;
      node ^= byte;
      const unit = this.unit(node);
      if ((unit & 0x800000ff) !== byte) return undefined;
      node ^= offsetOf(unit);
      if ((unit >>> 8) & 1) return this.textAt(this.unit(node) & 0x7fffffff);
    }
    return undefined;
  }

  private unit(node: number): number {
    return this.units[node] ?? 0;
  }

  private textAt(start: number): string {
    const end = this.pool.indexOf(0, start);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(
      this.pool.subarray(start, end < 0 ? undefined : end),
    );
  }
}

const offsetOf = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6);

/** A grapheme of more bytes is looked up character by character. */
const MOST_BYTES = 5;

/**
 * Rewrites by the map that a SentencePiece model ships: XLM-R's, T5's, mBART's and Gemma's kinds.
 * @param path where it stands, for messages
 */
export function precompiled(charsmap: string, path: string): (text: string) => string {
  const padless = charsmap.replace(/={0,2}$/, ""); // of two, Rust lets one be missing, atob() does not
  const map = new CharacterMap(Uint8Array.from(atob(padless), (character) => character.charCodeAt(0)));
  const isShort = (grapheme: string) =>
    grapheme.length === 1 || (grapheme.length <= MOST_BYTES && encodeUtf8(grapheme).length <= MOST_BYTES);
  return (text) => {
    let normal = "";
    for (const grapheme of graphemes(text)) {
      const whole = isShort(grapheme) ? map.transform(grapheme) : undefined;
      if (whole !== undefined) normal += whole;
      else for (const character of grapheme) normal += map.transform(character) ?? character;
      checkGrowth(text.length, normal.length, path);
    }
    return normal;
  };
}

const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });

/** A segmenter's time grows with the square of the length: V8's copies the text for every segment. */
const WINDOW = 256;

/** The graphemes (extended clusters) of a text, which is read window by window. */
function* graphemes(text: string): Generator<string> {
  let size = WINDOW;
  for (let start = 0; start < text.length; ) {
    const end = wholeCharacters(text, start + size);
    const found = Array.from(segmenter.segment(text.slice(start, end)), ({ segment }) => segment);
    // The last one may go on behind the window.
    const complete = end < text.length ? found.slice(0, -1) : found;
    yield* complete;
    start += complete.reduce((sum, { length }) => sum + length, 0);
    size = complete.length > 0 ? WINDOW : 2 * size;
  }
}

/** The index, or the one before it where a surrogate pair would be cut. */
function wholeCharacters(text: string, index: number): number {
  if (index >= text.length) return text.length;
  return /[\ud800-\udbff]/.test(text.charAt(index - 1)) ? index - 1 : index;
}
