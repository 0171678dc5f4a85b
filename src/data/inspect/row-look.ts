import { pieceReader, type TokenPiece } from "../../io/tokenizer/token-pieces.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { IGNORE_INDEX } from "../sequence.ts";
import type { EncodedRow } from "../tokenize/encode-rows.ts";
import { alienToken } from "../tokenize/vocabulary.ts";
import type { FindingKind } from "./report.ts";

/** What a sequence is looked at for. */
export interface LookOptions {
  readonly tokenizer: Tokenizer;
  /** Rows of the model's embedding; any id is fine unless given. */
  readonly embeddingRows?: number;
}

/** What one sequence of language modelling is noted for, whatever the others are. */
export class RowLook {
  readonly #options: LookOptions;
  readonly #pieceOf: (id: number) => TokenPiece;

  constructor(options: LookOptions) {
    this.#options = options;
    this.#pieceOf = pieceReader(options.tokenizer);
  }

  *kindsOf(row: EncodedRow): Generator<FindingKind> {
    const { fate, inputIds } = row;
    if (fate === "empty" || fate === "refused") {
      yield fate;
      return;
    }
    const { bosTokenId } = this.#options.tokenizer;
    if (bosTokenId !== undefined && inputIds[0] === bosTokenId && inputIds[1] === bosTokenId) {
      yield "double-bos";
    }
    if (fate === "too long") {
      yield "too-long";
      return;
    }
    if (this.#isAlien(inputIds)) yield "unknown-token";
    if (fate === "no labels") {
      yield row.isCutBefore ? "cut-before" : "no-labels";
      return;
    }
    if (row.cut.length > 0) yield "cut";
    if (!row.endsTurn) yield "open-end";
    if (this.#isNearEmpty(row)) yield "near-empty";
    if (row.straddler !== undefined) yield "seam";
  }

  #isAlien(ids: readonly number[]): boolean {
    const { tokenizer, embeddingRows = Number.POSITIVE_INFINITY } = this.#options;
    return alienToken(ids, { tokenizer, rows: embeddingRows }) !== undefined;
  }

  /** Whether nothing is learnt but white space, and the token that ends it. */
  #isNearEmpty({ inputIds, labels, endsTurn }: EncodedRow): boolean {
    const isBlank = (id: number) => {
      const piece = this.#pieceOf(id);
      return "text" in piece && piece.text.trim() === "";
    };
    const said = inputIds.filter((id, i) => labels[i] !== IGNORE_INDEX && !isBlank(id));
    return said.length <= (endsTurn ? 1 : 0);
  }
}
