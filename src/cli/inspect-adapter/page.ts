import type { AdapterFinding, AdapterReport, LayerReport } from "../../load/inspect/report.ts";
import { largest } from "../../util/arrays.ts";
import { escapeHtml } from "../../util/html.ts";
import { htmlPage } from "../html-page.ts";
import { digits, kindsOf, perCent, rangeOf, showRange } from "./kinds.ts";
import { ADAPTER_STYLE } from "./page-style.ts";
import { columnsFor, factsOf } from "./text.ts";

/** An adapter as one page ({@link htmlPage}). */
export function adapterPage(report: AdapterReport): string {
  const { label, layers, base } = report;
  const facts = factsOf(report).map(
    ([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`,
  );
  return htmlPage({
    title: label,
    style: ADAPTER_STYLE,
    header: `<h1>${escapeHtml(label)}</h1>
<p>${escapeHtml(verdict(report))}</p>`,
    main: `<dl class="facts">${facts.join("\n")}</dl>
${findings(report.findings)}
${layers.length === 0 ? "" : picture(layers, base)}
${layers.length === 0 ? "" : tables(layers, base !== undefined)}`,
  });
}

function verdict({ changes, layers, others, findings }: AdapterReport): string {
  if (changes === undefined && findings.some(({ level }) => level === "error"))
    return "What it does can't be told: the engine does not read it";
  if (changes === undefined) return "How much it changes can't be told from its files";
  if (!changes) return "It changes nothing";
  const whole = others.length > 0 ? ` and has ${others.length} other tensors` : "";
  return `It changes ${layers.length} layers${whole}`;
}

function findings(list: readonly AdapterFinding[]): string {
  const items = list.map(
    ({ level, message, help }) =>
      `<li class="${level}"><p class="message"><b>${level}</b> ${escapeHtml(message)}</p><p class="help">${escapeHtml(help)}</p></li>`,
  );
  const body =
    list.length === 0
      ? `<p class="fine">Nothing is odd.</p>`
      : `<ul class="findings">${items.join("\n")}</ul>`;
  return `<section><h2>Findings</h2>${body}</section>`;
}

/** A strip for each kind of layer, the first layer on the left; the darker, the more it changes. */
function picture(layers: readonly LayerReport[], base: string | undefined): string {
  const [figure, show] = base === undefined ? [normOf, digits] : [ratioOf, perCent];
  const most = largest(layers.map((layer) => figure(layer) ?? 0)) || 1;
  const strips = kindsOf(layers).map(({ name, pattern, layers }) => {
    const cells = layers.map((layer, i) => {
      const value = figure(layer);
      const opacity = value === undefined ? 0 : 0.04 + (0.96 * value) / most;
      const title = `${layer.path}: ${value === undefined ? "not known" : show(value)}`;
      return `<rect x="${i}" y="0" width="1" height="1" fill-opacity="${opacity.toFixed(3)}"><title>${escapeHtml(title)}</title></rect>`;
    });
    const range = showRange(rangeOf(layers, figure), show);
    const label = `${pattern}, from the first layer to the last: ${range}`;
    return `<div class="strip"><code>${escapeHtml(name)}</code><span>${range}</span>
<svg viewBox="0 0 ${layers.length} 1" preserveAspectRatio="none" role="img" aria-label="${escapeHtml(label)}">${cells.join("")}</svg></div>`;
  });
  const what =
    base === undefined
      ? "‖ΔW‖ of each layer, the first on the left"
      : `‖ΔW‖ / ‖W‖ of each layer, the first on the left, beside ${base}`;
  return `<section><h2>How much each layer is changed</h2>
<figure><p class="axis">${escapeHtml(what)}; full colour is ${show(most)}</p>
<div class="strips">${strips.join("\n")}</div></figure></section>`;
}

const normOf = ({ norm }: LayerReport) => norm;
const ratioOf = ({ ratio }: LayerReport) => ratio;

function tables(layers: readonly LayerReport[], hasBase: boolean): string {
  const columns = columnsFor(hasBase);
  const kinds = kindsOf(layers).map(({ name, layers }) => [
    name,
    ...columns.map(([, figure, show]) => showRange(rangeOf(layers, figure), show)),
  ]);
  const each = layers.map((layer) => [
    layer.path,
    ...columns.map(([, figure, show]) => showRange(rangeOf([layer], figure), show)),
  ]);
  const headings = columns.map(([heading]) => heading);
  return `<section><h2>Figures</h2>
${table(["layers", ...headings], kinds)}
<p class="help">‖ΔW‖ is Frobenius' norm of scale · B A, ‖ΔW‖₂ its largest singular value σ. Effective rank: exp(−Σ p ln p) with p = σ / Σ σ; stable rank: ‖ΔW‖² / ‖ΔW‖₂².</p>
<details><summary>Every layer</summary>${table(["layer", ...headings], each)}</details></section>`;
}

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[], tag: string) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("")}</tr>`;
  const body = rows.map((cells) => row(cells, "td")).join("\n");
  return `<div class="table"><table>${row(headings, "th")}\n${body}</table></div>`;
}
