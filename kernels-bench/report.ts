// A result as a page: one file, no script, nothing loaded from elsewhere.

import { escapeHtml } from "../src/util/html.ts";
import { type Change, compareReports, formatComparison } from "./compare.ts";
import { FAMILIES, familyOf, rateBar, STYLE } from "./html.ts";
import { type BenchReport, type BenchResult, nameOf } from "./result.ts";
import { hasPlace, rooflinePlot } from "./roofline.ts";
import { digits, dispatchesOf, percent } from "./table.ts";

/** The whole page of a result, compared with an earlier one where that is given. */
export function reportPage(report: BenchReport, before?: BenchReport): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>WebGPU kernels on ${escapeHtml(report.device.name)}</title>
<style>${STYLE}</style>
</head>
<body>
${reportBody(report, before)}
</body>
</html>
`;
}

/** The page's content, in sections, for pages that bring a head and a style of their own. */
export function reportBody(report: BenchReport, before?: BenchReport): string {
  return [
    section(`${header(report)}\n${tiles(report)}`),
    before ? section(comparison(before, report)) : "",
    section(roofline(report)),
    bars(report),
    section(details(report)),
  ].join("\n");
}

const section = (content: string) => (content === "" ? "" : `<section>${content}</section>`);

function header({
  device,
  runtime,
  clock,
  date,
  budgetSeconds,
  notes,
  package: version,
}: BenchReport): string {
  const time = clock === "timestamps" ? "device timestamps" : "wall clock";
  const kind = device.software ? "software device, no GPU" : device.vendor || "GPU";
  const line = `${kind} · ${runtime} · webgpu-lora ${version} · ${date.slice(0, 16).replace("T", " ")} UTC · times by ${time} · budget ${budgetSeconds} s`;
  return `<h1 class="device">${escapeHtml(device.name)}</h1>
<p class="faint note">${escapeHtml(line)}</p>
${notes.map((note) => `<p class="note">⚠ ${escapeHtml(note)}</p>`).join("\n")}`;
}

function tiles({ peak, dispatch, results }: BenchReport): string {
  const entries: [value: string, label: string][] = [
    [`${digits(peak.gflops)} GFLOP/s`, "measured f32 multiply-add peak"],
    [`${digits(peak.gbps)} GB/s`, "measured copy bandwidth"],
    [`${digits(dispatch.encodeMicroseconds)} µs`, "JavaScript to record a dispatch"],
    [`${digits(dispatch.dispatchMicroseconds)} µs`, "a small dispatch, to completion"],
    [String(results.length), "kernels and sizes, validated and timed"],
  ];
  const html = entries.map(([value, label]) => `<div class="tile"><b>${value}</b>${label}</div>`);
  return `<div class="tiles">${html.join("")}</div>`;
}

function roofline(report: BenchReport): string {
  const plot = rooflinePlot(report);
  const present = new Set(report.results.map(({ kernel }) => familyOf(kernel)));
  const legend = FAMILIES.map(({ label }, i) =>
    present.has(i) ? `<li><i class="f${i}"></i>${label}</li>` : "",
  );
  return `<h2>Roofline</h2>
<ul class="families">${legend.join("")}</ul>
${plot}
<p class="faint">The line is the most that the measured peaks allow. Points above it worked in a cache.</p>
${withoutPlace(report)}`;
}

/** What is missing where the plot has no point. */
function withoutPlace({ results, skipped, failed, budgetSeconds }: BenchReport): string {
  if (results.some(hasPlace)) return "";
  const [left] = [...failed, ...skipped];
  const help = left?.reason.includes("time budget") ? ` Give more than ${budgetSeconds} seconds.` : "";
  const said =
    results.length > 0
      ? "What was timed has no point here: it moves bytes, and its formula counts no operations. Its share of the copy bandwidth is below."
      : `There is no point, since nothing was timed${left ? `: ${left.reason}` : ""}.${help}`;
  return `<p class="note">${escapeHtml(said)}</p>`;
}

function bars({ results }: BenchReport): string {
  if (results.length === 0) return "";
  const sections = unique(results.map(({ kernel }) => kernel)).map((kernel) => {
    const own = results.filter((result) => result.kernel === kernel);
    const groups = unique(own.map(({ op }) => op)).map((op) => {
      const sizes = own.filter((result) => result.op === op);
      return `<h3>${escapeHtml(op)}</h3>\n${sizes.map(bar).join("\n")}`;
    });
    return section(`<h2>${escapeHtml(kernel)}</h2>\n${groups.join("\n")}`);
  });
  return `<p class="faint">Bars: share of the roofline. Beside them: median time, and rate.</p>
${sections.join("\n")}`;
}

const unique = (words: readonly string[]) => [...new Set(words)];

function bar(result: BenchResult): string {
  const { size, op, share = 0, median, kernel, dispatches } = result;
  const rate = dispatches === undefined ? `${rateOf(result)} · ${percent(share)}` : dispatchesOf(result);
  const text = `${digits(median)} ms · ${rate}`;
  return rateBar(size || op, text, { share, family: familyOf(kernel) });
}

/** The rate that limits the kernel: a kernel with few operations a byte is judged by its bytes. */
function rateOf({ gflops, gbps, flops = 0, bytes = 1 }: BenchResult): string {
  const MANY = 8; // operations a byte, near the ridge of most devices
  return gflops !== undefined && (gbps === undefined || flops / bytes > MANY)
    ? `${digits(gflops)} GFLOP/s`
    : `${digits(gbps ?? 0)} GB/s`;
}

const HEADINGS = [
  "kernel and size",
  "median ms",
  "quartiles",
  "fastest",
  "slowest",
  "samples",
  "GFLOP/s",
  "GB/s",
  "of peak",
  "dispatches",
  "compile ms",
];

function details({ results, skipped, failed }: BenchReport): string {
  const rows = results.map((result) => {
    const { median, lower, upper, fastest, slowest, samples, gflops, gbps, share, compile } = result;
    return row([
      nameOf(result),
      digits(median),
      `${digits(lower)} … ${digits(upper)}`,
      digits(fastest),
      digits(slowest),
      String(samples),
      gflops === undefined ? "" : digits(gflops),
      gbps === undefined ? "" : digits(gbps),
      share === undefined ? "" : percent(share),
      dispatchesOf(result),
      compile === undefined ? "" : digits(compile.milliseconds),
    ]);
  });
  const omissions = [...failed.map((one) => ({ ...one, name: `WRONG: ${one.name}` })), ...skipped];
  const list = omissions.map(({ name, reason }) => `<li>${escapeHtml(name)} — ${escapeHtml(reason)}</li>`);
  const figures =
    rows.length > 0
      ? `<details><summary>All figures</summary>${table("All figures", HEADINGS, rows)}</details>`
      : "";
  const others =
    list.length > 0
      ? `<details><summary>${list.length} not timed</summary><ul>${list.join("")}</ul></details>`
      : "";
  return figures + others;
}

/** A table that scrolls, by keys, too, where it is wider than its place. */
const table = (label: string, headings: readonly string[], rows: readonly string[]) =>
  `<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table><tr>${headings.map((heading) => `<th>${heading}</th>`).join("")}</tr>${rows.join("")}</table></div>`;

const row = (cells: readonly string[], classes = "") =>
  `<tr class="${classes}">${cells.map((cell) => `<td>${escapeHtml(cell)}</td>`).join("")}</tr>`;

function comparison(before: BenchReport, after: BenchReport): string {
  const changes = compareReports(before, after).filter(({ verdict }) => verdict !== "noise");
  const [summary = "", ...rest] = formatComparison(before, after);
  const caveats = rest.filter((line) => line.startsWith("note: "));
  const rows = changes.sort((a, b) => b.ratio - a.ratio).map(changeRow);
  const changed = table("What has changed", ["kernel and size", "before ms", "now ms", "ratio"], rows);
  return `<h2>Compared</h2>
<p>${escapeHtml(summary)}</p>
${caveats.map((caveat) => `<p class="note">⚠ ${escapeHtml(caveat.slice("note: ".length))}</p>`).join("\n")}
${rows.length > 0 ? changed : ""}`;
}

function changeRow({ name, before, after, ratio, verdict }: Change): string {
  return row([name, digits(before.median), digits(after.median), `× ${ratio.toFixed(2)}`], verdict);
}
