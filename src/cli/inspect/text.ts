import type { LengthBin } from "../../data/inspect/lengths.ts";
import type { AnyReport } from "../../data/inspect/report.ts";
import type { AnswerView, EndView, RowView, TokenRole, TokenView } from "../../data/inspect/row-view.ts";
import { largest } from "../../util/arrays.ts";
import { firstOf } from "../../util/group-lines.ts";
import { printable } from "../../util/printable.ts";
import { describeFinding } from "../findings.ts";
import { count, describeData, describeItems } from "../format.ts";
import type { PaintedText } from "../terminal.ts";

/** A line of parts, each with its colour. */
export type PaintedLine = readonly PaintedText[];

const plain = (text: string): PaintedLine => [{ text }];

/** What rows are as a model reads them, in lines. */
export function describeReport(label: string, report: AnyReport): PaintedLine[] {
  const { lengths, findings, tokens, labelTokens, longestRow, labels = [] } = report;
  const { median, p90, p99, histogram } = lengths;
  const longest = longestRow === undefined ? "" : `; the longest is ${longestRow}`;
  const inRow = `Tokens in a row: median ${count(median)}, 90 % up to ${count(p90)}, 99 % up to ${count(p99)}${longest}`;
  return [
    ...describeCounts(label, report).map(plain),
    ...(labelTokens === undefined
      ? []
      : [plain(`${percent(labelTokens, tokens)} of the tokens are trained`)]),
    ...describeAnswers(report).map(plain),
    ...(histogram.length === 0 ? [] : [plain(inRow)]),
    ...barLines(histogram.map((bin) => [binName(bin), bin.rows])).map(plain),
    ...(labels.length === 0 ? [] : [plain("Classes:")]),
    ...barLines(labels.map(({ name, count }) => [printable(name), count])).map(plain),
    ...findings.flatMap((finding): PaintedLine[] => [
      [
        { text: `${finding.level}:`, colour: finding.level === "error" ? "red" : "yellow" },
        { text: ` ${describeFinding(finding)}` },
      ],
      [{ text: `  → ${finding.help}`, colour: "dim" }],
    ]),
  ];
}

/** How many rows stay, and what became of the others. */
export function describeCounts(label: string, report: AnyReport): string[] {
  const { labelTokens, maxLength } = report;
  if (labelTokens !== undefined) return describeData(label, { ...report, labelTokens }, maxLength);
  return describeItems(label, report, maxLength);
}

/** How long the answers are: a model that prefers learns of lengths, too. */
export function describeAnswers({ answers = [], longerChosen = 0 }: AnyReport): string[] {
  if (answers.length === 0) return [];
  const each = answers.map(
    ({ name, count: n, mean }) => `${count(n)} ${name} of ${mean.toFixed(1)} tokens on average`,
  );
  const pairs = answers.find(({ name }) => name === "chosen")?.count ?? 0;
  const longer =
    pairs === 0 ? "" : `; the chosen one is the longer in ${percent(longerChosen, pairs)} of the pairs`;
  return [`Answers: ${each.join(", ")}${longer}`];
}

/** A share in per cent, with one decimal. */
export function percent(part: number, whole: number): string {
  return `${((100 * part) / Math.max(whole, 1)).toFixed(1)} %`;
}

/** Characters of the longest bar. */
const BAR = 40;

function barLines(bars: readonly (readonly [name: string, rows: number])[]): string[] {
  const highest = largest(bars.map(([, rows]) => rows));
  const width = largest(bars.map(([name]) => name.length));
  return bars.map(([name, rows]) => {
    const bar = "█".repeat(rows === 0 ? 0 : Math.max(1, Math.round((BAR * rows) / highest)));
    return `  ${name.padStart(width)}  ${bar === "" ? "" : `${bar} `}${count(rows)}`;
  });
}

/** The lengths of a bar. */
export function binName({ from, to }: LengthBin): string {
  if (to === undefined) return `${count(from)} or more`;
  return to === from + 1 ? count(from) : `${count(from)}–${count(to - 1)}`;
}

const COLOURS: Readonly<Record<TokenRole, PaintedText["colour"]>> = {
  masked: "dim",
  trained: "green",
  cut: "red",
  read: undefined,
};

/** Tokens of a run that are shown where not all are asked for: so many at its beginning and as many at its end. */
const SHOWN = 60;

/** A row: its name, and its tokens in runs of those that are trained, masked or cut off. */
export function describeRow(row: RowView, isWhole: boolean): PaintedLine[] {
  const runs = runsOf(row.tokens);
  const width = Math.max(7, largest(runs.map(({ label }) => label.length)));
  return [
    plain(`${row.name}: ${describeFate(row)}`),
    ...runs.flatMap((run) => describeRun(isWhole ? run : shorten(run), width)),
  ];
}

/** What became of a row, in words. */
export function describeFate(row: RowView): string {
  const { fate, tokens, trained, end, straddler, problem, labels, answers } = row;
  if (problem !== undefined) return problem;
  if (fate === "empty") return "left out: the text is empty";
  const size = row.size ?? `${count(tokens.length)} ${tokens.length === 1 ? "token" : "tokens"}`;
  if (fate === "too long") return `${size}, left out: longer than max_length`;
  const cut = tokens.filter(({ role }) => role === "cut").length;
  const parts = [size, ...(cut > 0 ? [`${count(cut)} of them cut off`] : [])];
  if (labels !== undefined) {
    const classes = [...new Set(labels)].map(printable);
    return [...parts, ...(classes.length > 0 ? [`class ${firstOf(classes)}`] : [])].join(", ");
  }
  if (answers !== undefined && fate === "kept") return [...parts, ...answers.map(describeAnswer)].join("; ");
  if (fate === "no labels" || end === undefined) return [...parts, "left out: nothing to learn"].join(", ");
  parts.push(`${count(trained)} trained`);
  if (straddler !== undefined) parts.push(`${straddler} goes over the end of the prompt`);
  parts.push(describeEnd(end));
  return parts.join(", ");
}

function describeAnswer({ name, trained, end, straddler }: AnswerView): string {
  const over = straddler === undefined ? "" : `, ${straddler} goes over the end of the prompt`;
  return `${name} ${count(trained)}${over}, ${end === undefined ? "nothing to learn" : describeEnd(end)}`;
}

const describeEnd = ({ text, endsTurn }: EndView) =>
  endsTurn ? `ends with ${text}` : `the last trained token ${text} ends nothing`;

/** Tokens of one role that stand together. */
interface Run {
  readonly role: TokenRole;
  readonly label: string;
  /** In place of some that are left out, how many they are. */
  readonly tokens: readonly (TokenView | number)[];
}

function runsOf(tokens: readonly TokenView[]): Run[] {
  const runs: { role: TokenRole; label: string; tokens: TokenView[] }[] = [];
  for (const token of tokens) {
    const run = runs.at(-1);
    const label = labelOf(token);
    if (run?.label === label) run.tokens.push(token);
    else runs.push({ role: token.role, label, tokens: [token] });
  }
  return runs;
}

/** What stands before a run: its part or class, else what becomes of it. */
function labelOf({ role, part, tag }: TokenView): string {
  if (tag !== undefined) return printable(tag);
  if (part === undefined) return role;
  return role === "cut" ? `${part}, cut` : part;
}

/** The beginning and the end of a long run, and how many tokens are between them. */
function shorten({ role, label, tokens }: Run): Run {
  const left = tokens.length - 2 * SHOWN;
  if (left <= 1) return { role, label, tokens };
  return { role, label, tokens: [...tokens.slice(0, SHOWN), left, ...tokens.slice(-SHOWN)] };
}

/** A new line begins behind each token that ends one. */
function describeRun({ role, label, tokens }: Run, width: number): PaintedLine[] {
  const colour = COLOURS[role];
  const lines: string[][] = [[]];
  for (const token of tokens) {
    const text = typeof token === "number" ? ` … ${count(token)} more … ` : token.text;
    lines.at(-1)?.push(text);
    if (text.endsWith("↵")) lines.push([]);
  }
  return lines
    .filter((line) => line.length > 0)
    .map((line, i) => [
      { text: `  ${(i === 0 ? label : "").padEnd(width)}  ` },
      ...line.flatMap((text, at): PaintedText[] => [
        ...(at === 0 ? [] : [{ text: "│", colour: "dim" as const }]),
        { text, ...(colour && { colour }) },
      ]),
    ]);
}
