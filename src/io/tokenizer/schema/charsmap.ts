import type { Shape } from "../../json/shape.ts";

/** A `Precompiled` normaliser's map as SentencePiece writes it, in base64. */
export const charsmap: Shape<string> = (value, at) => {
  if (typeof value !== "string") return at.expected("a string in base64", value);
  const bytes = fromBase64(value);
  if (bytes === undefined) return at.expected("a string in base64", value);
  return isMap(bytes) ? value : at.invalid("is cut short, or no character map of SentencePiece");
};

/** Base64 as Rust's `base64::STANDARD` with optional padding reads it: no blanks, no bits left over. */
function fromBase64(text: string): Uint8Array | undefined {
  const plain = text.replace(/={0,2}$/, "");
  if (!/^[A-Za-z0-9+/]*$/.test(plain) || plain.length % 4 === 1) return undefined;
  return Uint8Array.from(atob(plain), (char) => char.charCodeAt(0));
}

/** The size of the trie in bytes, its units of 32 bits, and behind them UTF-8 text. */
function isMap(bytes: Uint8Array): boolean {
  if (bytes.length < 4) return false;
  const size = new DataView(bytes.buffer).getUint32(0, true);
  const text = 4 + Math.floor(size / 4) * 4;
  if (text > bytes.length) return false;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(text));
    return true;
  } catch {
    return false;
  }
}
