import { pieceReader, type TokenPiece } from "../../io/tokenizer/token-pieces.ts";
import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { IGNORE_INDEX } from "../sequence.ts";
import type { EncodedRow } from "../tokenize/encode-rows.ts";
import { countRow, emptyReport, type TokenizeReport } from "../tokenize/tokenize-report.ts";
import { alienToken } from "../tokenize/vocabulary.ts";
import { aboutRows, errorsFirst, findingsOf, inWords } from "./findings.ts";
import { emptyTally, note, RowLedger, type RowTally } from "./ledger.ts";
import type { DataReport, Finding, FindingKind, Inspector } from "./report.ts";
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

/** What a role's messages became: those that the template wrote, and those that it left out. */
interface RoleTally {
  shown: number;
  readonly lost: RowTally;
}

/** Looks at rows of language modelling as a model will read them. */
export class DataInspector implements Inspector<EncodedRow, DataReport> {
  readonly #options: InspectorOptions;
  readonly #pieceOf: (id: number) => TokenPiece;
  readonly #counts = emptyReport();
  readonly #ledger = new RowLedger();
  readonly #roles = new Map<string, RoleTally>();
  readonly #keys = new Set<number>();
  /** Rows that teach an end: one of which nothing else is learnt teaches the end of nothing. */
  #ended = 0;

  constructor(options: InspectorOptions) {
    this.#options = options;
    this.#pieceOf = pieceReader(options.tokenizer);
  }

  get keys(): ReadonlySet<number> {
    return this.#keys;
  }

  add(row: EncodedRow): readonly FindingKind[] {
    const { fate, inputIds, cut, place } = row;
    if (fate !== "empty" && fate !== "refused") this.#ledger.addLength(inputIds.length + cut.length, place);
    countRow(this.#counts, row);
    const kinds = [...this.#kindsOf(row)];
    this.#ledger.note(kinds, place);
    for (const { name, isShown } of row.parts) {
      const role = this.#roles.get(name) ?? { shown: 0, lost: emptyTally() };
      this.#roles.set(name, role);
      if (isShown) role.shown++;
      else note(role.lost, place);
    }
    return kinds;
  }

  report(nameOf: (place: number) => string): DataReport {
    const { maxLength } = this.#options;
    const counts = { ...this.#counts };
    const lengths = this.#ledger.lengths(nameOf);
    const kinds = new Map(
      Array.from(this.#ledger.kinds, ([kind, tally]): [FindingKind, RowTally] => [
        kind === "open-end" && this.#ended === 0 ? "no-end" : kind,
        tally,
      ]),
    );
    const findings = [
      ...(keptRows(counts) === 0 ? [nothingTrained(counts)] : []),
      ...findingsOf({ kinds, counts, maxLength, nameOf, ...lengths }),
      ...Array.from(this.#roles, ([name, role]) => lostRole(name, role, nameOf)),
    ];
    return {
      ...counts,
      maxLength,
      ...lengths,
      findings: errorsFirst(findings.filter((finding) => finding !== undefined)),
    };
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

/** Rows that are trained on. */
function keptRows({ rows, dropped, droppedNoLabels, droppedEmpty, refused }: TokenizeReport): number {
  return rows - dropped - droppedNoLabels - droppedEmpty - refused;
}

function nothingTrained({ rows }: TokenizeReport): Finding {
  return {
    ...{ kind: "nothing-trained", level: "error", rows, examples: [] },
    message: `none of the ${inWords(rows)} rows has a token that is learnt`,
    help: "what became of the rows is said beside; inspect shows their tokens",
  };
}

/** A role of which nothing is ever written is one that the template does not know. */
function lostRole(
  name: string,
  { shown, lost }: RoleTally,
  nameOf: (place: number) => string,
): Finding | undefined {
  if (lost.rows === 0) return undefined;
  const isUnknown = shown === 0;
  const what = isUnknown ? `leaves out everything of ${name}` : `leaves out something of ${name}`;
  return {
    ...aboutRows("lost-role", isUnknown ? "error" : "warning", lost, { nameOf }),
    message: `the chat template ${what}, in ${inWords(lost.rows)} messages`,
    help: "take a template that knows these messages, or rename or leave out what it does not know",
  };
}
