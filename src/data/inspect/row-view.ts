import { pieceReader, type TokenPiece } from "../../io/tokenizer/token-pieces.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { printable } from "../../util/printable.ts";
import { IGNORE_INDEX } from "../sequence.ts";
import type { EncodedRow, RowFate } from "../tokenize/encode-rows.ts";
import type { FindingKind } from "./report.ts";

/** What becomes of a token: it gives a loss, it is only read, or it is cut off. */
export type TokenRole = "trained" | "masked" | "cut";

/** A token as people see it. */
export interface TokenView {
  readonly id: number;
  /** What it writes; what cannot be seen is shown by signs: `·` a space, `↵` a line end, `\xE2` a byte of a character. */
  readonly text: string;
  readonly role: TokenRole;
  readonly isSpecial: boolean;
}

/** A row as people see it; plain JSON. */
export interface RowView {
  /** As messages call it. */
  readonly name: string;
  readonly fate: RowFate;
  readonly tokens: readonly TokenView[];
  /** Tokens that give a loss. */
  readonly trained: number;
  /** The last token that gives a loss, but for white space behind it, and whether it ends the text or the turn. */
  readonly end?: { readonly text: string; readonly endsTurn: boolean };
  /** The token that goes over the end of the prompt; absent where there is none. */
  readonly straddler?: string;
  /** Why it is refused. */
  readonly problem?: string;
  readonly findings: readonly FindingKind[];
}

/** Makes a function that shows rows. */
export function rowViewer(
  tokenizer: Tokenizer,
): (row: EncodedRow, name: string, findings: readonly FindingKind[]) => RowView {
  const pieceOf = pieceReader(tokenizer);
  return (row, name, findings) => {
    const { inputIds, labels, cut, fate, straddler, endsTurn, problem } = row;
    const view = (id: number, role: TokenRole): TokenView => {
      const piece = pieceOf(id);
      return { id, text: visible(piece), role, isSpecial: "text" in piece && piece.isSpecial };
    };
    const isLeftOut = fate === "too long";
    const kept = inputIds.map((id, i) =>
      view(id, isLeftOut ? "cut" : labels[i] === IGNORE_INDEX ? "masked" : "trained"),
    );
    const lost = cut.map((id) => view(id, "cut"));
    const tokens = row.isCutAtStart ? [...lost, ...kept] : [...kept, ...lost];
    const learnt = tokens.filter(({ role }) => role === "trained");
    const last = learnt.findLast(({ text, isSpecial }) => isSpecial || /[^·↵⇥]/.test(text)) ?? learnt.at(-1);
    return {
      ...{ name, fate, tokens, trained: learnt.length, findings },
      ...(last && { end: { text: last.text, endsTurn } }),
      ...(straddler !== undefined && { straddler: kept[straddler]?.text ?? "" }),
      ...(problem && { problem: problem.message }),
    };
  };
}

const SIGNS: ReadonlyMap<string, string> = new Map([
  [" ", "·"],
  ["\n", "↵"],
  ["\t", "⇥"],
]);

/** What a token writes, with signs for what cannot be seen. */
function visible(piece: TokenPiece): string {
  if ("bytes" in piece) return piece.bytes.map(visibleByte).join("");
  if (piece.text === "") return "∅";
  return printable(piece.text.replace(/[ \n\t]/g, (character) => SIGNS.get(character) ?? character));
}

function visibleByte(byte: number): string {
  if (byte >= 0x80 || byte < 0x20) return `\\x${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  return visible({ text: String.fromCharCode(byte), isSpecial: false });
}
