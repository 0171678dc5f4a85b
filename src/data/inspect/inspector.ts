import { pieceReader, type TokenPiece } from "../../io/tokenizer/token-pieces.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { IGNORE_INDEX } from "../sequence.ts";
import type { EncodedRow } from "../tokenize/encode-rows.ts";
import { countRow, emptyReport } from "../tokenize/tokenize-report.ts";
import { alienToken } from "../tokenize/vocabulary.ts";
import { findingsOf, type RoleTally, type RowTally } from "./findings.ts";
import { summariseLengths } from "./lengths.ts";
import type { DataReport, FindingKind } from "./report.ts";
import { rowKey } from "./row-key.ts";

/** What rows are looked at for. */
export interface InspectorOptions {
  readonly tokenizer: Tokenizer;
  /** Tokens that a row has at most. */
  readonly maxLength: number;
  /** Rows of the model's embedding; any id is fine unless given. */
  readonly embeddingRows?: number;
  /** Keys of rows that the model is judged by, which it should not have learnt. */
  readonly judged?: ReadonlySet<number>;
}

/** Rows of a kind that are named. */
const NAMED = 5;

/**
 * Looks at rows one after the other as a model will read them, and says what deserves attention. It keeps numbers only,
 * so that any number of rows can pass.
 */
export class DataInspector {
  readonly #options: InspectorOptions;
  readonly #pieceOf: (id: number) => TokenPiece;
  readonly #counts = emptyReport();
  readonly #kinds = new Map<FindingKind, RowTally>();
  readonly #roles = new Map<string, RoleTally>();
  readonly #keys = new Set<number>();
  readonly #lengths: number[] = [];
  #longestPlace: number | undefined;
  #ended = 0;

  constructor(options: InspectorOptions) {
    this.#options = options;
    this.#pieceOf = pieceReader(options.tokenizer);
  }

  /** A key for each row so far; equal rows have equal keys. */
  get keys(): ReadonlySet<number> {
    return this.#keys;
  }

  /** Takes the next row; gives what it is noted for. */
  add(row: EncodedRow): readonly FindingKind[] {
    this.#addLength(row);
    countRow(this.#counts, row);
    const kinds = [...this.#kindsOf(row)];
    for (const kind of kinds) note(this.#tally(kind), row.place);
    for (const { name, isShown } of row.parts) {
      const role = this.#roles.get(name) ?? { shown: 0, lost: { rows: 0, places: [] } };
      this.#roles.set(name, role);
      if (isShown) role.shown++;
      else note(role.lost, row.place);
    }
    return kinds;
  }

  /** @param nameOf what messages call a row, by its place */
  report(nameOf: (place: number) => string): DataReport {
    const { maxLength } = this.#options;
    const lengths = summariseLengths(this.#lengths);
    const counts = { ...this.#counts };
    return {
      ...counts,
      maxLength,
      lengths,
      ...(this.#longestPlace !== undefined && { longestRow: nameOf(this.#longestPlace) }),
      findings: findingsOf({
        counts,
        lengths,
        maxLength,
        ended: this.#ended,
        kinds: this.#kinds,
        roles: this.#roles,
        nameOf,
      }),
    };
  }

  #tally(kind: FindingKind): RowTally {
    const tally = this.#kinds.get(kind) ?? { rows: 0, places: [] };
    this.#kinds.set(kind, tally);
    return tally;
  }

  #addLength({ fate, inputIds, cut, place }: EncodedRow): void {
    if (fate === "empty" || fate === "refused") return;
    const length = inputIds.length + cut.length;
    if (length > this.#counts.longest) this.#longestPlace = place;
    this.#lengths.push(length);
  }

  *#kindsOf(row: EncodedRow): Generator<FindingKind> {
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
    if (fate === "no labels") yield row.isCutBefore ? "cut-before" : "no-labels";
    else yield* this.#kindsOfKept(row);
  }

  *#kindsOfKept(row: EncodedRow): Generator<FindingKind> {
    if (row.cut.length > 0) yield "cut";
    if (!row.endsTurn) yield "open-end";
    const isNearEmpty = this.#isNearEmpty(row);
    if (isNearEmpty) yield "near-empty";
    if (row.endsTurn && !isNearEmpty) this.#ended++;
    if (row.straddler !== undefined) yield "seam";
    const key = rowKey(row);
    if (this.#keys.has(key)) yield "duplicate";
    if (this.#options.judged?.has(key)) yield "overlap";
    this.#keys.add(key);
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

function note(tally: RowTally, place: number): void {
  if (tally.places.length < NAMED && tally.places.at(-1) !== place) tally.places.push(place);
  tally.rows++;
}
