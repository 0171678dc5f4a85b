import { highestBar, type LengthBin } from "../../data/inspect/lengths.ts";
import type { DataReport } from "../../data/inspect/report.ts";
import type { RowView, TokenRole, TokenView } from "../../data/inspect/row-view.ts";
import { largest } from "../../util/arrays.ts";
import { describeFinding } from "../findings.ts";
import { count, describeData } from "../format.ts";
import type { PaintedText } from "../terminal.ts";

/** A line of parts, each with its colour. */
export type PaintedLine = readonly PaintedText[];

const plain = (text: string): PaintedLine => [{ text }];

/** What rows are as a model reads them, in lines. */
export function describeReport(label: string, report: DataReport): PaintedLine[] {
  const { maxLength, lengths, findings, tokens, labelTokens, longestRow } = report;
  const { median, p90, p99 } = lengths;
  const longest = longestRow === undefined ? "" : `; the longest is ${longestRow}`;
  return [
    ...describeData(label, report, maxLength).map(plain),
    plain(`${percent(labelTokens, tokens)} of the tokens are trained`),
    plain(
      `Tokens in a row: median ${count(median)}, 90 % up to ${count(p90)}, 99 % up to ${count(p99)}${longest}`,
    ),
    ...histogramLines(lengths.histogram).map(plain),
    ...findings.flatMap((finding): PaintedLine[] => [
      [
        { text: `${finding.level}:`, colour: finding.level === "error" ? "red" : "yellow" },
        { text: ` ${describeFinding(finding)}` },
      ],
      [{ text: `  → ${finding.help}`, colour: "dim" }],
    ]),
  ];
}

/** A share in per cent, with one decimal. */
export function percent(part: number, whole: number): string {
  return `${((100 * part) / Math.max(whole, 1)).toFixed(1)} %`;
}

/** Characters of the longest bar. */
const BAR = 40;

function histogramLines(histogram: readonly LengthBin[]): string[] {
  const highest = highestBar(histogram);
  const names = histogram.map(binName);
  const width = largest(names.map((name) => name.length));
  return histogram.map(({ rows }, i) => {
    const bar = "█".repeat(rows === 0 ? 0 : Math.max(1, Math.round((BAR * rows) / highest)));
    return `  ${(names[i] ?? "").padStart(width)}  ${bar === "" ? "" : `${bar} `}${count(rows)}`;
  });
}

/** The lengths of a bar. */
export function binName({ from, to }: LengthBin): string {
  if (to === undefined) return `${count(from)} or more`;
  return to === from + 1 ? count(from) : `${count(from)}–${count(to - 1)}`;
}

const LABELS: Readonly<Record<TokenRole, string>> = { masked: "masked ", trained: "trained", cut: "cut    " };
const COLOURS = { masked: "dim", trained: "green", cut: "red" } as const;

/** Tokens of a run that are shown where not all are asked for: so many at its beginning and as many at its end. */
const SHOWN = 60;

/** A row: its name, and its tokens in runs of those that are trained, masked or cut off. */
export function describeRow(row: RowView, isWhole: boolean): PaintedLine[] {
  return [
    plain(`${row.name}: ${describeFate(row)}`),
    ...runsOf(row.tokens).flatMap((run) => describeRun(isWhole ? run : shorten(run))),
  ];
}

/** What became of a row, in words. */
export function describeFate({ fate, tokens, trained, end, straddler, problem }: RowView): string {
  if (problem !== undefined) return problem;
  if (fate === "empty") return "left out: the text is empty";
  const size = `${count(tokens.length)} ${tokens.length === 1 ? "token" : "tokens"}`;
  if (fate === "too long") return `${size}, left out: longer than max_length`;
  const cut = tokens.filter(({ role }) => role === "cut").length;
  const parts = [size, ...(cut > 0 ? [`${count(cut)} of them cut off`] : [])];
  if (fate === "no labels" || end === undefined) return [...parts, "left out: nothing to learn"].join(", ");
  parts.push(`${count(trained)} trained`);
  if (straddler !== undefined) parts.push(`${straddler} goes over the end of the prompt`);
  parts.push(end.endsTurn ? `ends with ${end.text}` : `the last trained token ${end.text} ends nothing`);
  return parts.join(", ");
}

/** Tokens of one role that stand together. */
interface Run {
  readonly role: TokenRole;
  /** In place of some that are left out, how many they are. */
  readonly tokens: readonly (TokenView | number)[];
}

function runsOf(tokens: readonly TokenView[]): Run[] {
  const runs: { role: TokenRole; tokens: TokenView[] }[] = [];
  for (const token of tokens) {
    const run = runs.at(-1);
    if (run?.role === token.role) run.tokens.push(token);
    else runs.push({ role: token.role, tokens: [token] });
  }
  return runs;
}

/** The beginning and the end of a long run, and how many tokens are between them. */
function shorten({ role, tokens }: Run): Run {
  const left = tokens.length - 2 * SHOWN;
  if (left <= 1) return { role, tokens };
  return { role, tokens: [...tokens.slice(0, SHOWN), left, ...tokens.slice(-SHOWN)] };
}

/** A new line begins behind each token that ends one. */
function describeRun({ role, tokens }: Run): PaintedLine[] {
  const lines: string[][] = [[]];
  for (const token of tokens) {
    const text = typeof token === "number" ? ` … ${count(token)} more … ` : token.text;
    lines.at(-1)?.push(text);
    if (text.endsWith("↵")) lines.push([]);
  }
  return lines
    .filter((line) => line.length > 0)
    .map((line, i) => [
      { text: `  ${i === 0 ? LABELS[role] : " ".repeat(LABELS[role].length)}  ` },
      ...line.flatMap((text, at): PaintedText[] => [
        ...(at === 0 ? [] : [{ text: "│", colour: "dim" as const }]),
        { text, colour: COLOURS[role] },
      ]),
    ]);
}
