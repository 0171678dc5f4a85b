import { byteLevelBytes, tokenByte } from "./pipeline/bytes.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What one token writes: a text, or bytes that are no whole characters by themselves. */
export type TokenPiece =
  | { readonly text: string; readonly isSpecial: boolean }
  | { readonly bytes: readonly number[] };

/** What a token is split into needs of a tokenizer. */
type Pieces = Pick<Tokenizer, "decode" | "specialToken" | "tokenOf">;

const strictUtf8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/**
 * Makes a function that says what a token writes in the middle of a text, where no decoder strips a first space; each is
 * looked up once.
 */
export function pieceReader(tokenizer: Pieces): (id: number) => TokenPiece {
  const known = new Map<number, TokenPiece>();
  return (id) => {
    const piece = known.get(id) ?? readPiece(id, tokenizer);
    known.set(id, piece);
    return piece;
  };
}

function readPiece(id: number, tokenizer: Pieces): TokenPiece {
  const special = tokenizer.specialToken(id);
  if (special !== undefined) return { text: special, isSpecial: true };
  const token = tokenizer.tokenOf(id);
  if (token === undefined) return { text: `<no token ${id}>`, isSpecial: true };
  const decode = (ids: readonly number[]) => tokenizer.decode(ids, { skipSpecialTokens: false });
  const [once, twice] = [decode([id]), decode([id, id])];
  const text = twice.startsWith(once) ? twice.slice(once.length) : once;
  if (!text.includes("\uFFFD") && text !== "") return { text, isSpecial: false };
  const byte = tokenByte(token);
  const bytes = byte === undefined ? [...byteLevelBytes(token)] : [byte];
  try {
    return { text: strictUtf8.decode(Uint8Array.from(bytes)), isSpecial: false };
  } catch {
    return { bytes };
  }
}
