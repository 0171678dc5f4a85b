const utf8 = new TextEncoder();
const lossyUtf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const strictUtf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** GPT-2's characters for the 256 bytes: printable ones stand for themselves, the others move to U+0100 and up. */
const CHARACTERS: readonly string[] = byteCharacters();
const BYTES: ReadonlyMap<string, number> = new Map(CHARACTERS.map((character, byte) => [character, byte]));

function byteCharacters(): string[] {
  const printable = (byte: number) => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

export const encodeUtf8 = (text: string): Uint8Array => utf8.encode(text);

/** A text as one character for each of its UTF-8 bytes. */
export function toByteLevel(text: string): string {
  if (/^[!-~]*$/.test(text)) return text;
  let characters = "";
  for (const byte of encodeUtf8(text)) characters += CHARACTERS[byte];
  return characters;
}

/** The text of byte-level tokens. */
export function fromByteLevel(tokens: readonly string[]): string {
  return lossyUtf8.decode(Uint8Array.from(tokens.flatMap((token) => [...byteLevelBytes(token)])));
}

/** The bytes of a byte-level token; one with a character that stands for no byte gives its own UTF-8. */
export function byteLevelBytes(token: string): Uint8Array {
  const own = [...token].map((character) => BYTES.get(character));
  return own.every((byte) => byte !== undefined) ? Uint8Array.from(own) : encodeUtf8(token);
}

/** The name of a byte among the tokens of a vocabulary with byte fallback. */
export const byteToken = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

/** The byte that a token names. A sign is allowed because Rust's `from_str_radix` allows it. */
export function tokenByte(token: string): number | undefined {
  const digits = /^<0x([0-9A-Fa-f]{2}|\+[0-9A-Fa-f])>$/.exec(token)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 16);
}

/** Bytes as text; where they aren't UTF-8 as a whole, one U+FFFD for each. */
export function decodeBytes(bytes: readonly number[]): string {
  try {
    return strictUtf8.decode(Uint8Array.from(bytes));
  } catch {
    return "\uFFFD".repeat(bytes.length);
  }
}
