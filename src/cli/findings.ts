import type { Finding, FindingKind, RowsReport } from "../data/inspect/report.ts";
import { failAll } from "../util/fail.ts";

/** What the line on the rows that are left out or cut says already. */
const TOLD: readonly FindingKind[] = ["cut", "too-long", "empty", "no-labels"];

/** A finding in one line, with the first rows that it is about. */
export function describeFinding({ message, examples, rows }: Finding): string {
  const more = rows > examples.length ? ", …" : "";
  return examples.length === 0 ? message : `${message} (${examples.join(", ")}${more})`;
}

/** What training prints of the findings: a line each, once. */
export function shortFindings({ findings }: Pick<RowsReport, "findings">): string[] {
  return findings
    .filter(({ kind, level }) => level === "error" || !TOLD.includes(kind))
    .map((finding) => `warning: ${describeFinding(finding)}`);
}

/** @throws LoraError listing the findings that make training useless, with what can be done */
export function refuseErrors(path: string, { findings }: Pick<RowsReport, "findings">): void {
  const errors = findings.filter(({ level }) => level === "error");
  const help = [...new Set(errors.map((finding) => finding.help))];
  const look = "inspect shows the tokens of each row; --no-check-data trains all the same";
  failAll(path, errors.map(describeFinding), [...help, look]);
}
