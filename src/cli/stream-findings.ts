import { basename } from "node:path";
import type { FindingKind, Inspector, RowsReport } from "../data/inspect/report.ts";
import { describeFinding, refuseErrors, shortFindings } from "./findings.ts";
import { count } from "./format.ts";
import type { RowStream } from "./row-stream.ts";
import type { DataSettings } from "./sequences.ts";

/** Rows that are looked at before the first step. */
const SAMPLE = 500;
/** Rows that are looked at at all: what is remembered of them grows with them. */
const MOST_LOOKED_AT = 2 ** 17;
/** What only all rows show: of some the rare ones may be missing. */
const OF_ALL_ROWS: readonly FindingKind[] = ["missing-label", "rare-label"];

/** How rows of a stream are looked at and told of. */
export interface StreamLook<Row, Report> {
  inspector(): Inspector<Row, Report & RowsReport>;
  describe(label: string, report: Report): readonly string[];
}

/** Looks at rows that are read when they are needed, and tells what there is to be told of them. */
export class StreamFindings<Row extends { readonly place: number }, Report extends RowsReport> {
  readonly #stream: RowStream<object>;
  readonly #checks: boolean;
  readonly #look: StreamLook<Row, Report>;
  readonly #note: (line: string) => void;
  readonly #inspector: Inspector<Row, Report>;
  readonly #rows: number;
  readonly #told = new Set<FindingKind>(OF_ALL_ROWS);
  /** Rows after which findings are looked at again. */
  #due = SAMPLE;
  #seen = 0;

  constructor(
    stream: RowStream<object>,
    { check_data = false }: Pick<DataSettings, "check_data">,
    look: StreamLook<Row, Report>,
    note: (line: string) => void,
  ) {
    this.#stream = stream;
    this.#checks = check_data;
    this.#look = look;
    this.#note = note;
    this.#inspector = look.inspector();
    this.#rows = stream.sets.lengths.reduce((sum, length) => sum + length, 0);
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

  /** Tells what became of the rows that were looked at. */
  end(): void {
    for (const line of this.#stream.notes()) this.#note(line);
    if (this.#seen <= SAMPLE) return;
    const report = this.#inspector.report((place) => this.#stream.nameOf(place));
    const label = `${basename(this.#stream.path)}, of ${count(report.rows)} rows that were read`;
    for (const line of this.#look.describe(label, report)) this.#note(line);
  }

  /** Tells of what has not been told yet. @throws LoraError where it makes training useless */
  #tell(): void {
    this.#due *= 2;
    const report = this.#inspector.report((place) => this.#stream.nameOf(place));
    if (this.#checks) refuseErrors(`${this.#stream.path}, ${count(report.rows)} rows`, report);
    for (const finding of report.findings.filter(({ kind }) => !this.#told.has(kind))) {
      this.#told.add(finding.kind);
      this.#note(`warning: ${describeFinding(finding)}`);
    }
  }
}
