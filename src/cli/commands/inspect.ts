import { basename } from "node:path";
import type { DataReport, FindingKind } from "../../data/inspect/report.ts";
import { type RowView, rowViewer } from "../../data/inspect/row-view.ts";
import type { Example } from "../../data/rows/examples.ts";
import { encodeRows } from "../../data/tokenize/encode-rows.ts";
import { openModelText } from "../../load/model-text.ts";
import { resolveModelFiles } from "../../platform/node-sources.ts";
import { failAll } from "../../util/fail.ts";
import type { RowFile } from "../data-files.ts";
import { count } from "../format.ts";
import { inspectPage } from "../inspect/page.ts";
import { describeReport, describeRow } from "../inspect/text.ts";
import { type RowEncoding, rowEncoding, rowInspector } from "../sequences.ts";
import type { Settled } from "../settings.ts";
import type { INSPECT_OPTIONS } from "../tables/inspect.ts";
import { EXAMPLE_TABLES } from "../tasks.ts";
import { printLines, type Terminal } from "../terminal.ts";
import { writePage } from "../write-page.ts";

/**
 * `webgpu-lora inspect`: rows as the model reads them. No device and no weights are needed.
 * @returns the exit code: 1 where something would make training useless
 */
export async function runInspect(
  { settings }: Settled<typeof INSPECT_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const note = (line: string) => terminal.note(line);
  const { train, valid } = await EXAMPLE_TABLES.readTables(settings);
  checkRows(settings.row, train);
  train.notes?.forEach(note);
  const onWarning = (warning: string) => note(`warning: ${warning}`);
  const { revision, token, verify } = settings;
  const files = await resolveModelFiles(settings.model, { revision, token, verify, onWarning });
  const encoding = await rowEncoding(await openModelText(files), settings, note);
  const isPage = settings.html !== undefined;
  const some = isPage ? { first: 20, perKind: 3 } : { first: 3, perKind: 1 };
  const shown = settings.row.length > 0 ? settings.row : some;
  const { report, rows } = inspect(train, valid, encoding, shown);
  const subject = { model: files.label, data: train.path };
  if (settings.html !== undefined) {
    await writePage(settings.html, inspectPage(subject, report, rows));
    note(`Wrote ${settings.html}`);
  }
  if (settings.json) {
    printLines(terminal.print, JSON.stringify({ ...subject, ...report, shown: rows }, null, 2));
  } else {
    for (const line of describeReport(basename(train.path), report)) terminal.paint(line);
    for (const row of isPage ? [] : rows) {
      terminal.print("");
      for (const line of describeRow(row, settings.row.length > 0)) terminal.paint(line);
    }
  }
  return report.findings.some(({ level }) => level === "error") ? 1 : 0;
}

function checkRows(numbers: readonly number[], { rows, path }: RowFile<Example>): void {
  const beyond = numbers.filter((number) => number > rows.length);
  const has = `${path} has ${count(rows.length)} rows`;
  failAll(
    "row",
    beyond.map((number) => `there is no row ${number}: ${has}`),
    "rows are counted from 1",
  );
}

/** Which rows are shown: these, by their numbers from 1, or the first ones and some with each kind of finding. */
type Shown = readonly number[] | { readonly first: number; readonly perKind: number };

function inspect(
  train: RowFile<Example>,
  valid: RowFile<Example> | undefined,
  encoding: RowEncoding,
  shown: Shown,
): { report: DataReport; rows: RowView[] } {
  const { tokenizer, options, model } = encoding;
  const encode = ({ rows, path }: RowFile<Example>) => encodeRows(path, rows, tokenizer, options, model);
  const judged = rowInspector(encoding);
  for (const row of valid ? encode(valid) : []) judged.add(row);
  const inspector = rowInspector(encoding, judged.keys);
  const isShown = chooser(shown);
  const view = rowViewer(tokenizer);
  const rows: RowView[] = [];
  for (const row of encode(train)) {
    const kinds = inspector.add(row);
    if (isShown(row.place, kinds)) rows.push(view(row, train.nameOf(row.place), kinds));
  }
  return { report: inspector.report(train.nameOf), rows };
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
