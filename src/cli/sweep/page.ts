import { largest, smallest } from "../../util/arrays.ts";
import { escapeHtml } from "../../util/html.ts";
import type { Chart } from "../../web/draw-charts.ts";
import { chartsPage } from "../watch/report/charts-page.ts";
import { bestTrial, type TrialResult, tableOf } from "./results.ts";

/**
 * A page with the table of all trials, and for each option that varies in numbers a plot of the metric over it.
 * @throws as {@link chartsPage} does
 */
export function sweepPage(results: readonly TrialResult[], metric: string, title: string): string {
  const names = [...new Set(results.flatMap(({ values }) => Object.keys(values)))];
  const best = bestTrial(results, metric);
  const summary = best
    ? `The best is trial ${best.index}, with ${metric} ${best.value?.toPrecision(5)} after step ${best.at}.`
    : "Nothing was measured yet.";
  return chartsPage({
    title,
    header: `<h1>${escapeHtml(title)}</h1>\n<p>${escapeHtml(summary)}</p>`,
    above: "",
    charts: names.flatMap((name) => chartOf(results, name, metric)),
    below: `<section><h2>Trials</h2><div class="table">${tableHtml(results, metric)}</div></section>`,
  });
}

function tableHtml(results: readonly TrialResult[], metric: string): string {
  const best = bestTrial(results, metric);
  const [head = [], ...rows] = tableOf(results, metric);
  const cells = (row: readonly string[], tag: string, style = "") =>
    row.map((cell) => `<${tag}${style}>${escapeHtml(cell)}</${tag}>`).join("");
  const lines = rows.map((row, i) => {
    return `<tr>${cells(row, "td", results[i] === best ? ' style="font-weight: 700"' : "")}</tr>`;
  });
  return `<table><tr>${cells(head, "th")}</tr>${lines.join("\n")}</table>`;
}

/** From so many times the least value on a range is shown by its logarithm. */
const WIDE = 8;
/** The colours of the trials, and of the best. */
const [COLOUR, BEST_COLOUR] = [0, 1];

/** None where the option has no two numbers. */
function chartOf(results: readonly TrialResult[], name: string, metric: string): Chart[] {
  const best = bestTrial(results, metric);
  const points = results
    .map((trial) => ({ x: Number(trial.values[name]), trial }))
    .filter(({ x, trial }) => trial.value !== undefined && Number.isFinite(x))
    .sort((a, b) => a.x - b.x);
  const x = points.map(({ x }) => x);
  if (new Set(x).size < 2) return [];
  const [low, high] = [smallest(x), largest(x)];
  const values = (of: (trial: TrialResult) => boolean) =>
    points.map(({ trial }) => (of(trial) ? (trial.value ?? null) : null));
  return [
    {
      title: `${metric} over ${name}`,
      along: { label: name, isLog: low > 0 && high / low >= WIDE },
      series: [
        { label: metric, x, y: values((trial) => trial !== best), colour: COLOUR, look: "points" },
        { label: "the best", x, y: values((trial) => trial === best), colour: BEST_COLOUR, look: "points" },
        { label: "trial", x, y: points.map(({ trial }) => trial.index), colour: COLOUR, look: "told" },
      ],
    },
  ];
}
