// A result as text for the terminal.
import { type BenchReport, type BenchResult, nameOf } from "./result.ts";

type Align = "left" | "right";

interface Column {
  title: string;
  align: Align;
  cell(result: BenchResult): string;
}

/** `2454, 82 a layer` of a model's pass, else nothing. */
export function dispatchesOf({ dispatches, layers }: BenchResult): string {
  return dispatches === undefined || layers === undefined
    ? ""
    : `${dispatches}, ${Math.round(dispatches / layers)} a layer`;
}

const COLUMNS: readonly Column[] = [
  { title: "kernel and size", align: "left", cell: nameOf },
  { title: "median ms", align: "right", cell: ({ median }) => digits(median) },
  { title: "quartiles", align: "right", cell: ({ lower, upper }) => `${digits(lower)} … ${digits(upper)}` },
  { title: "GFLOP/s", align: "right", cell: ({ gflops }) => (gflops === undefined ? "" : digits(gflops)) },
  { title: "GB/s", align: "right", cell: ({ gbps }) => (gbps === undefined ? "" : digits(gbps)) },
  { title: "of peak", align: "right", cell: ({ share }) => (share === undefined ? "" : percent(share)) },
  { title: "dispatches", align: "right", cell: dispatchesOf },
  {
    title: "compile ms",
    align: "right",
    cell: ({ compile }) => (compile === undefined ? "" : digits(compile.milliseconds)),
  },
];

/** Three significant digits, without an exponent. */
export function digits(value: number): string {
  if (value >= 100) return value.toFixed(0);
  if (value >= 10) return value.toFixed(1);
  if (value >= 1) return value.toFixed(2);
  return value.toPrecision(3).includes("e") ? value.toFixed(6) : String(Number(value.toPrecision(3)));
}

/** `0.425` → `43 %`. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** The device, its peaks, a table of all results, and what was left out. */
export function formatReport(report: BenchReport): string[] {
  const { results, notes, failed } = report;
  const columns = COLUMNS.filter(
    ({ title, cell }) => title !== "dispatches" || results.some((result) => cell(result) !== ""),
  );
  return [
    ...describeRun(report),
    ...notes.map((note) => `note: ${note}`),
    "",
    ...formatTable(
      [
        columns.map(({ title }) => title),
        ...results.map((result) => columns.map(({ cell }) => cell(result))),
      ],
      columns.map(({ align }) => align),
    ),
    ...(report.skipped.length > 0 ? ["", ...describeSkipped(report)] : []),
    ...failed.map(({ name, reason }) => `WRONG: ${name}: ${reason}`),
  ];
}

/** The lines above a report's table. */
export function describeRun({ device, runtime, clock, peak, dispatch, seconds }: BenchReport): string[] {
  const kind = device.software ? "software, no GPU" : "GPU";
  const time = clock === "timestamps" ? "device timestamps" : "wall clock";
  return [
    `${device.name} (${kind}), ${runtime}; times by ${time}; ${seconds.toFixed(0)} s in all`,
    `measured peaks: ${digits(peak.gflops)} GFLOP/s (f32 multiply-add), ${digits(peak.gbps)} GB/s (copy)`,
    `a dispatch: ${digits(dispatch.encodeMicroseconds)} µs to record in JavaScript, ` +
      `${digits(dispatch.dispatchMicroseconds)} µs from recording to completion`,
  ];
}

/** Cases that were left out, by reason: names of the first few. */
function describeSkipped({ skipped, budgetSeconds }: BenchReport): string[] {
  const budget = skipped.filter(({ reason }) => reason.includes("time budget"));
  const other = skipped.filter((omission) => !budget.includes(omission));
  const raise = `left out for the time budget of ${budgetSeconds} s: ${budget.length} of the larger sizes (--budget raises it)`;
  return [
    ...(budget.length > 0 ? [raise] : []),
    ...[...new Set(other.map(({ reason }) => reason))].map((reason) => {
      return `left out, ${reason}: ${someNames(other.filter((omission) => omission.reason === reason))}`;
    }),
  ];
}

function someNames(cases: readonly { name: string }[]): string {
  const names = cases.slice(0, 3).map(({ name }) => name);
  return cases.length > 3 ? `${names.join(", ")} and ${cases.length - 3} more` : names.join(", ");
}

/** Rows of cells as lines; columns are as wide as their widest cell. */
export function formatTable(rows: readonly (readonly string[])[], aligns: readonly Align[]): string[] {
  const widths = aligns.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const pad = (cell: string, column: number) => {
    const width = widths[column] as number;
    return aligns[column] === "left" ? cell.padEnd(width) : cell.padStart(width);
  };
  return rows.map((row) => row.map(pad).join("  ").trimEnd());
}
