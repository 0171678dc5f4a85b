import { highestBar } from "../../data/inspect/lengths.ts";
import type { AnyReport, Finding } from "../../data/inspect/report.ts";
import type { RowView, TokenRole, TokenView } from "../../data/inspect/row-view.ts";
import { largest } from "../../util/arrays.ts";
import { escapeHtml } from "../../util/html.ts";
import { printable } from "../../util/printable.ts";
import { count } from "../format.ts";
import { htmlPage } from "../html-page.ts";
import { PAGE_STYLE } from "./page-style.ts";
import { binName, describeAnswers, describeFate, percent } from "./text.ts";

/** What a page is about. */
export interface PageSubject {
  readonly model: string;
  readonly data: string;
}

/** A report as one page ({@link htmlPage}). */
export function inspectPage(subject: PageSubject, report: AnyReport, rows: readonly RowView[]): string {
  return htmlPage({
    title: `${subject.data}, as ${subject.model} reads it`,
    style: PAGE_STYLE,
    header: `<h1>${escapeHtml(subject.data)}</h1>
<p>as <b>${escapeHtml(subject.model)}</b> reads it</p>`,
    main: `${figures(report)}
${findings(report.findings)}
${histogram(report)}
${classes(report)}
${answers(report)}
<section>
<h2>Rows</h2>
<p class="legend">${legendOf(rows).map(legend).join(" ")}</p>
${rows.map(row).join("\n")}
</section>`,
  });
}

function figures({ rows, tokens, labelTokens, lengths, ...report }: AnyReport): string {
  const gone = [
    ["empty", report.droppedEmpty],
    ["too long", report.dropped],
    ["nothing to learn", report.droppedNoLabels],
    ["refused", report.refused],
  ] as const;
  const out = gone.filter(([, n]) => n > 0);
  const kept = rows - gone.reduce((sum, [, n]) => sum + n, 0);
  const least = report.longestIsLeast ? "at least " : "";
  const tiles = [
    ["rows trained", count(kept), `of ${count(rows)}`],
    ["left out", count(rows - kept), out.map(([why, n]) => `${count(n)} ${why}`).join(", ") || "none"],
    ["cut", count(report.truncated), `to max_length ${count(report.maxLength)}`],
    labelTokens === undefined
      ? ["tokens", count(tokens), "kept"]
      : ["tokens trained", percent(labelTokens, tokens), `${count(labelTokens)} of ${count(tokens)}`],
    ["median length", count(lengths.median), `99 % up to ${count(lengths.p99)}`],
    ["longest row", `${least}${count(report.longest)}`, report.longestRow ?? ""],
  ];
  const items = tiles.map(
    ([name = "", value = "", more = ""]) =>
      `<div><dt>${escapeHtml(name)}</dt><dd><b>${escapeHtml(value)}</b><span>${escapeHtml(more)}</span></dd></div>`,
  );
  return `<dl class="figures">${items.join("\n")}</dl>`;
}

function findings(list: readonly Finding[]): string {
  if (list.length === 0) return `<section><h2>Findings</h2><p class="fine">Nothing is odd.</p></section>`;
  const items = list.map(({ level, message, help, examples, rows }) => {
    const more = rows > examples.length && examples.length > 0 ? " …" : "";
    const where = examples.map((name) => `<code>${escapeHtml(name)}</code>`).join(" ") + more;
    return `<li class="${level}"><p><b>${level}</b> ${escapeHtml(message)}</p><p class="help">${escapeHtml(help)}</p>${where && `<p class="where">${where}</p>`}</li>`;
  });
  return `<section><h2>Findings</h2><ul class="findings">${items.join("\n")}</ul></section>`;
}

const [WIDTH, HEIGHT, GAP] = [640, 160, 2];

/** How many rows, or words, each class has. */
function classes({ labels = [] }: AnyReport): string {
  if (labels.length === 0) return "";
  const most = Math.max(1, largest(labels.map(({ count: n }) => n)));
  const items = labels.map(
    ({ name, count: n }) =>
      `<li><span>${escapeHtml(printable(name))}</span><span class="bar" style="--share:${((100 * n) / most).toFixed(1)}%"></span><span>${count(n)}</span></li>`,
  );
  return `<section><h2>Classes</h2><ul class="classes">${items.join("\n")}</ul></section>`;
}

/** How long the answers are, and how often the preferred one is the longer one. */
function answers(report: AnyReport): string {
  const lines = describeAnswers(report).map((line) => `<p>${escapeHtml(line.replace(/^Answers: /, ""))}</p>`);
  return lines.length === 0 ? "" : `<section><h2>Answers</h2>${lines.join("")}</section>`;
}

function histogram({ lengths }: AnyReport): string {
  const bins = lengths.histogram;
  const [first, last] = [bins[0], bins.at(-1)];
  if (!first || !last) return "";
  const highest = highestBar(bins);
  const step = WIDTH / bins.length;
  const bars = bins.map((bin, i) => {
    const height = bin.rows === 0 ? 0 : Math.max(2, (HEIGHT * bin.rows) / highest);
    const place = `x="${(i * step).toFixed(1)}" y="${(HEIGHT - height).toFixed(1)}"`;
    const size = `width="${Math.max(1, step - GAP).toFixed(1)}" height="${height.toFixed(1)}"`;
    const title = `${binName(bin)} tokens: ${count(bin.rows)} ${bin.rows === 1 ? "row" : "rows"}`;
    return `<rect ${place} ${size}><title>${title}</title></rect>`;
  });
  const middle = bins[Math.floor(bins.length / 2)] ?? last;
  const ends = [first, middle, last].slice(0, bins.length).map((bin) => `<span>${binName(bin)}</span>`);
  return `<section><h2>Lengths</h2>
<figure>
<p class="axis"><span>${count(highest)} ${highest === 1 ? "row" : "rows"}</span></p>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="How many rows have how many tokens">${bars.join("")}</svg>
<figcaption>${ends.join("")}</figcaption>
<p class="axis"><span>tokens in a row, before any cut</span></p>
</figure></section>`;
}

const LEGENDS: Readonly<Record<TokenRole, string>> = {
  trained: "trained: it gives a loss",
  masked: "masked: only read",
  cut: "cut off or left out",
  read: "read",
};

/** What becomes of the tokens that are shown. */
function legendOf(rows: readonly RowView[]): TokenRole[] {
  const isRead = rows.some(({ tokens }) => tokens.some(({ role }) => role === "read"));
  return isRead ? ["read", "cut"] : ["trained", "masked", "cut"];
}

const legend = (role: TokenRole) => `<span class="${role}">${LEGENDS[role]}</span>`;

function row(view: RowView): string {
  const marks = view.findings.map((kind) => `<i>${escapeHtml(kind.replaceAll("-", " "))}</i>`).join(" ");
  const tokens = view.tokens.map((one, i) => `${partBefore(one, view.tokens[i - 1])}${token(one)}`).join("");
  return `<article>
<h3><code>${escapeHtml(view.name)}</code> ${marks}</h3>
<p class="fate">${escapeHtml(describeFate(view))}</p>
${tokens && `<p class="tokens">${tokens}</p>`}
</article>`;
}

/** The name of a part where it begins. */
function partBefore({ part }: TokenView, before: TokenView | undefined): string {
  if (part === undefined || part === before?.part) return "";
  return `${before ? "<br>" : ""}<b class="part">${escapeHtml(part)}</b>`;
}

/** A new line begins behind each token that ends one; between tokens a line may break. */
function token({ id, text, role, isSpecial, tag }: TokenView): string {
  const end = text.endsWith("↵") ? "<br>" : "<wbr>";
  return `<span class="${role}${isSpecial ? " special" : ""}" title="id ${id}, ${role}">${escapeHtml(text)}${tag === undefined ? "" : `<sub>${escapeHtml(printable(tag))}</sub>`}</span>${end}`;
}
