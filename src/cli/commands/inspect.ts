import { basename } from "node:path";
import { failAll } from "../../util/fail.ts";
import { count as inWords } from "../format.ts";
import { inspectPage } from "../inspect/page.ts";
import { openRows } from "../inspect/rows.ts";
import { describeReport, describeRow } from "../inspect/text.ts";
import { openSource } from "../open.ts";
import type { Settled } from "../settings.ts";
import type { INSPECT_OPTIONS } from "../tables/inspect.ts";
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
  const { path, count, inspect, notes } = await openRows(settings);
  checkRows(settings.row, path, count);
  const onWarning = (warning: string) => note(`warning: ${warning}`);
  const { revision, token, verify } = settings;
  const files = await openSource(settings.model, { revision, token, verify, onWarning });
  const isPage = settings.html !== undefined;
  const some = isPage ? { first: 20, perKind: 3 } : { first: 3, perKind: 1 };
  const shown = settings.row.length > 0 ? settings.row : some;
  const { report, rows } = await inspect(files, note, shown);
  notes().forEach(note);
  const subject = { model: files.label, data: path };
  if (settings.html !== undefined) {
    await writePage(settings.html, inspectPage(subject, report, rows));
    note(`Wrote ${settings.html}`);
  }
  if (settings.json) {
    printLines(terminal.print, JSON.stringify({ ...subject, ...report, shown: rows }, null, 2));
  } else {
    for (const line of describeReport(basename(path), report)) terminal.paint(line);
    for (const row of isPage ? [] : rows) {
      terminal.print("");
      for (const line of describeRow(row, settings.row.length > 0)) terminal.paint(line);
    }
  }
  return report.findings.some(({ level }) => level === "error") ? 1 : 0;
}

function checkRows(numbers: readonly number[], path: string, rows: number): void {
  const beyond = numbers.filter((number) => number > rows);
  const has = `${path} has ${inWords(rows)} rows`;
  failAll(
    "row",
    beyond.map((number) => `there is no row ${number}: ${has}`),
    "rows are counted from 1",
  );
}
