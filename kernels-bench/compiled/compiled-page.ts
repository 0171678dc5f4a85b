// A result of bench:compiled for the terminal, and as a page: one file, no script, nothing loaded from elsewhere.
import { escapeHtml } from "../../src/util/html.ts";
import { familyOf, rateBar, STYLE } from "../html.ts";
import { formatTable, percent } from "../table.ts";
import type { CompiledKernel, CompiledReport } from "./compiled-result.ts";
import { shareOf } from "./compiler-output.ts";

const TITLES = [
  "kernel",
  "registers",
  "spills",
  "scratch",
  "workgroup bytes",
  "waves",
  "instructions",
  "hot block",
  "multiply-adds",
  "dual",
  "matrix",
  "workgroup",
  "buffer",
  "rest",
  "share",
  "cases",
];

/** A row for each kernel, in the order of the cases that launch them. */
function rowsOf(report: CompiledReport): string[][] {
  const users = report.kernels.map<string[]>(() => []);
  for (const [name, own] of Object.entries(report.cases)) for (const i of own) users[i]?.push(name);
  return report.kernels.map((kernel, i) => [...cellsOf(kernel), describeUsers(users[i] ?? [])]);
}

function cellsOf({ name, constants, hot, ...own }: CompiledKernel): string[] {
  const { registers, spills, scratch, workgroupMemory, waves, instructions } = own;
  const figures = [registers, spills, scratch, workgroupMemory, waves, instructions];
  const mix = [hot.instructions, hot.multiplyAdds, hot.dual, hot.matrix, hot.workgroup, hot.buffer, hot.rest];
  return [`${name} ${constants}`.trim(), ...[...figures, ...mix].map(String), percent(shareOf(hot))];
}

const describeUsers = ([first = "", ...others]: readonly string[]) =>
  others.length > 0 ? `${first} + ${others.length}` : first;

const describeReport = ({ device, kernels, cases }: CompiledReport) =>
  `${device}, compiled without the card: ${kernels.length} kernels of ${Object.keys(cases).length} cases`;

const EXPLANATION =
  "Hot block: the one with the most multiply-adds, with its instructions by kind; loads and stores of workgroup memory and of " +
  "buffers. Share: multiply-adds and matrix instructions for each instruction. Waves: those in flight of a SIMD.";

/** The lines of the table. */
export function formatCompiled(report: CompiledReport): string[] {
  const aligns = TITLES.map((_, i) => (i === 0 || i === TITLES.length - 1 ? "left" : "right"));
  return [describeReport(report), EXPLANATION, "", ...formatTable([TITLES, ...rowsOf(report)], aligns)];
}

/** The page, with what a comparison says above the table. */
export function compiledPage(report: CompiledReport, comparison: readonly string[]): string {
  const row = (cells: readonly string[], tag: "td" | "th") =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kernels compiled for ${escapeHtml(report.card)}</title>
<style>${STYLE}body { max-width: none; }</style>
</head>
<body>
<h1>Kernels compiled for ${escapeHtml(report.card)}</h1>
<p class="faint note">${escapeHtml(describeReport(report))} · webgpu-lora ${escapeHtml(report.package)}</p>
${comparison.map((line) => `<p class="note">${escapeHtml(line)}</p>`).join("\n")}
<p>${escapeHtml(EXPLANATION)}</p>
${bars(report.kernels)}
<div class="scroll"><table>${row(TITLES, "th")}
${rowsOf(report)
  .map((cells) => row(cells, "td"))
  .join("\n")}
</table></div>
</body>
</html>
`;
}

/** Multiply-adds fewer than these are no hot loop worth a bar. */
const LEAST = 16;

function bars(kernels: readonly CompiledKernel[]): string {
  const hot = kernels.filter(({ hot }) => hot.multiplyAdds >= LEAST || hot.matrix > 0);
  return hot.map(bar).join("\n");
}

function bar({ name, constants, hot, registers, waves }: CompiledKernel): string {
  const share = shareOf(hot);
  const text = `${percent(share)} · ${registers} registers · ${waves} waves`;
  return rateBar(`${name} ${constants}`, text, { share, family: familyOf(name.replace(/[-.].*/, "")) });
}
