import { basename } from "node:path";
import { type RowStream, rowsOf } from "../data/files/row-stream.ts";
import type { FindingKind, Inspector, RowsReport } from "../data/inspect/report.ts";
import { describeFinding, refuseErrors, shortFindings } from "./findings.ts";
import { count } from "./format.ts";
import type { DataSettings } from "./sequences.ts";

/** Rows that are looked at before the first step. */
const SAMPLE = 500;
/** Rows that are looked at at all: what is remembered of them grows with them. */
const MOST_LOOKED_AT = 2 ** 17;
/** What only all rows show: of some the rare ones may be missing. */
const OF_ALL_ROWS: readonly FindingKind[] = ["missing-label", "rare-label"];
const OF_CLASSES: readonly FindingKind[] = [...OF_ALL_ROWS, "one-label"];

/** How rows of a stream are looked at and told of. */
export interface StreamLook<Row, Report> {
  inspector(): Inspector<Row, Report & RowsReport>;
  describe(label: string, report: Report): readonly string[];
}

/** Looks at rows that are read when they are needed, and tells what there is to be told of them. */
export class StreamFindings<Row extends { readonly place: number }, Report extends RowsReport> {
  readonly #stream: RowStream<object>;
  readonly #checks: boolean;
  /** Of rows that a model is judged by none teaches a class. */
  readonly #isLearnt: boolean;
  readonly #look: StreamLook<Row, Report>;
  readonly #note: (line: string) => void;
  readonly #inspector: Inspector<Row, Report>;
  readonly #rows: number;
  /** Kinds that are told already, or not at all. */
  readonly #told: Set<FindingKind>;
  /** Rows after which findings are looked at again. */
  #due = SAMPLE;
  #seen = 0;

  constructor(
    stream: RowStream<object>,
    { check_data }: Pick<DataSettings, "check_data">,
    look: StreamLook<Row, Report>,
    note: (line: string) => void,
  ) {
    this.#stream = stream;
    this.#checks = check_data === true;
    this.#isLearnt = check_data !== undefined;
    this.#told = new Set(this.#isLearnt ? OF_ALL_ROWS : OF_CLASSES);
    this.#look = look;
    this.#note = note;
    this.#inspector = look.inspector();
    this.#rows = rowsOf(stream);
    const what = stream.isPlainText ? "parts of a plain text" : "rows";
    note(`${basename(stream.path)}: ${count(this.#rows)} ${what}, read as they are needed`);
  }

  /** Places of some rows, from all over the files. */
  samplePlaces(): number[] {
    const some = Math.min(this.#rows, SAMPLE);
    return Array.from({ length: some }, (_, i) => Math.floor((i * this.#rows) / some));
  }

  /** @throws LoraError where a sample shows that training would be useless */
  lookAtSample(sample: Iterable<Row>): void {
    const inspector = this.#look.inspector();
    for (const row of sample) inspector.add(row);
    const report = inspector.report((place) => this.#stream.nameOf(place));
    if (report.rows === this.#rows && this.#isLearnt) for (const kind of OF_ALL_ROWS) this.#told.delete(kind);
    const label = `a sample of ${count(report.rows)} rows`;
    for (const line of this.#look.describe(`  ${label}`, report)) this.#note(line);
    if (this.#checks) refuseErrors(`${this.#stream.path}, ${label}`, report);
    const findings = report.findings.filter(({ kind }) => !this.#told.has(kind));
    shortFindings({ findings }).forEach(this.#note);
    for (const { kind } of findings) this.#told.add(kind);
  }

  /** Looks at a row of the first pass; whether it can be used. */
  look(row: Row): boolean {
    const isNew = this.#seen < Math.min(this.#rows, MOST_LOOKED_AT);
    const kinds = isNew ? this.#inspector.add(row) : [];
    if (kinds.includes("unknown-token")) {
      this.#stream.refuse(row.place, "holds a token for which the model has no row in its embedding");
      return false;
    }
    if (isNew && ++this.#seen === this.#due) this.#tell();
    return true;
  }

  /** What is found of the rows that were looked at. */
  report(): Report {
    return this.#inspector.report((place) => this.#stream.nameOf(place));
  }

  /** Tells what became of the rows that were looked at. */
  end(): void {
    for (const line of this.#stream.notes()) this.#note(line);
    if (this.#seen <= SAMPLE) return;
    const report = this.report();
    const label = `${basename(this.#stream.path)}, of ${count(report.rows)} rows that were read`;
    for (const line of this.#look.describe(label, report)) this.#note(line);
    if (!this.#isLearnt || this.#seen < this.#rows) return;
    const ofAll = report.findings.filter(({ kind }) => OF_ALL_ROWS.includes(kind));
    for (const finding of ofAll) this.#note(`warning: ${describeFinding(finding)}`);
  }

  /** Tells of what has not been told yet. @throws LoraError where it makes training useless */
  #tell(): void {
    this.#due *= 2;
    const report = this.report();
    if (this.#checks) refuseErrors(`${this.#stream.path}, ${count(report.rows)} rows`, report);
    for (const finding of report.findings.filter(({ kind }) => !this.#told.has(kind))) {
      this.#told.add(finding.kind);
      this.#note(`warning: ${describeFinding(finding)}`);
    }
  }
}
