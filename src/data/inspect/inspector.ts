import { count } from "../../util/count.ts";
import type { EncodedRow } from "../tokenize/encode-rows.ts";
import { countRow, emptyReport, type TokenizeReport } from "../tokenize/tokenize-report.ts";
import { errorsFirst, findingsOf } from "./findings.ts";
import { RowLedger, type RowTally } from "./ledger.ts";
import type { DataReport, Finding, FindingKind, Inspector } from "./report.ts";
import { RoleLedger } from "./role-findings.ts";
import { rowKey } from "./row-key.ts";
import { type LookOptions, RowLook } from "./row-look.ts";

/** What rows are looked at for. */
export interface InspectorOptions extends LookOptions {
  /** Tokens that a row has at most. */
  readonly maxLength: number;
  /** Keys of rows that the model is judged by, which it should not have learnt. */
  readonly judged?: ReadonlySet<number>;
}

/** Looks at rows of language modelling as a model will read them. */
export class DataInspector implements Inspector<EncodedRow, DataReport> {
  readonly #options: InspectorOptions;
  readonly #look: RowLook;
  readonly #counts = emptyReport();
  readonly #ledger = new RowLedger();
  readonly #roles = new RoleLedger();
  readonly #keys = new Set<number>();
  /** Rows that teach an end: one of which nothing else is learnt teaches the end of nothing. */
  #ended = 0;

  constructor(options: InspectorOptions) {
    this.#options = options;
    this.#look = new RowLook(options);
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
    this.#roles.add(row.parts, place);
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
      ...this.#roles.findings(nameOf),
    ];
    return {
      ...counts,
      maxLength,
      ...lengths,
      findings: errorsFirst(findings),
    };
  }

  *#kindsOf(row: EncodedRow): Generator<FindingKind> {
    const kinds = [...this.#look.kindsOf(row)];
    yield* kinds;
    if (row.fate !== "kept") return;
    if (row.endsTurn && !kinds.includes("near-empty")) this.#ended++;
    const key = rowKey(row);
    if (this.#keys.has(key)) yield "duplicate";
    if (this.#options.judged?.has(key)) yield "overlap";
    this.#keys.add(key);
  }
}

/** Rows that are trained on. */
function keptRows({ rows, dropped, droppedNoLabels, droppedEmpty, refused }: TokenizeReport): number {
  return rows - dropped - droppedNoLabels - droppedEmpty - refused;
}

function nothingTrained({ rows }: TokenizeReport): Finding {
  return {
    ...{ kind: "nothing-trained", level: "error", rows, examples: [] },
    message: `none of the ${count(rows)} rows has a token that is learnt`,
    help: "what became of the rows is said beside; inspect shows their tokens",
  };
}
