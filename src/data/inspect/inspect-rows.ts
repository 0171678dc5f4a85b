import { isRowStream } from "../files/is-row-stream.ts";
import { eachRow, type RowStream } from "../files/row-stream.ts";
import type { Look } from "./looks.ts";
import type { AnyReport, FindingKind } from "./report.ts";
import type { RowView } from "./row-view.ts";

/** Which rows are shown: these, by their numbers from 1, or the first ones and some with each kind of finding. */
export type Shown = readonly number[] | { readonly first: number; readonly perKind: number };

/** Rows that are in memory. */
export interface RowList<Row> {
  /** In order. */
  readonly rows: readonly Row[];
  /** Whether they are parts of a plain text, which are cut into windows. */
  readonly isPlainText?: boolean;
  /** What messages call a row, by its place from 0. */
  nameOf(place: number): string;
}

/** Rows that are in memory, or read when they are needed. */
export type LookedAt<Row> = RowList<Row> | RowStream<Row>;

/** What rows are as a model reads them. */
export interface InspectedRows {
  /** Counts, lengths and findings. */
  readonly report: AnyReport;
  /** Some of them, with their tokens. */
  readonly rows: readonly RowView[];
}

/**
 * Looks at all rows, of which no more than some are in memory where they are read when they are needed.
 * @param judged rows that a model is judged by, which should not be among them
 */
export async function inspectRows<Row, Encoded extends { readonly place: number }>(
  rows: LookedAt<Row>,
  judged: LookedAt<Row> | undefined,
  { encode, inspector: inspectorOf, view }: Look<Row, Encoded>,
  shown: Shown,
): Promise<InspectedRows> {
  const ofJudged = inspectorOf();
  if (judged) for await (const { row, place } of placedRows(judged)) ofJudged.add(await encode(row, place));
  const inspector = inspectorOf(ofJudged.keys);
  const isShown = chooser(shown);
  const nameOf = (place: number) => rows.nameOf(place);
  const views: RowView[] = [];
  for await (const { row, place } of placedRows(rows)) {
    const encoded = await encode(row, place);
    const kinds = inspector.add(encoded);
    if (isShown(place, kinds)) views.push(view(encoded, nameOf(place), kinds));
  }
  return { report: inspector.report(nameOf), rows: views };
}

/** All rows in their order, with their places. */
export async function* placedRows<Row>(rows: LookedAt<Row>): AsyncGenerator<{ row: Row; place: number }> {
  if (isRowStream<Row>(rows)) yield* eachRow(rows);
  else for (const [place, row] of rows.rows.entries()) yield { row, place };
}

function chooser(shown: Shown): (place: number, kinds: readonly FindingKind[]) => boolean {
  if ("includes" in shown) return (place) => shown.includes(place + 1);
  const seen = new Map<FindingKind, number>();
  return (place, kinds) => {
    const wanted = kinds.filter((kind) => (seen.get(kind) ?? 0) < shown.perKind);
    const isShown = place < shown.first || wanted.length > 0;
    if (isShown) for (const kind of kinds) seen.set(kind, (seen.get(kind) ?? 0) + 1);
    return isShown;
  };
}
