import { largest, smallest } from "../../util/arrays.ts";
import { escapeHtml } from "../../util/html.ts";
import { htmlPage } from "../html-page.ts";
import { ADAPTER_STYLE } from "../inspect-adapter/page-style.ts";
import { bestTrial, type TrialResult, tableOf } from "./results.ts";

const [WIDTH, HEIGHT, MARGIN] = [640, 220, 34];

/** A page with the table of all trials, and for each option that varies in numbers a plot of the metric over it. */
export function sweepPage(results: readonly TrialResult[], metric: string, title: string): string {
  const names = [...new Set(results.flatMap(({ values }) => Object.keys(values)))];
  const plots = names.flatMap((name) => plotOf(results, name, metric));
  const best = bestTrial(results, metric);
  const summary = best
    ? `The best is trial ${best.index}, with ${metric} ${best.value?.toPrecision(5)} after step ${best.at}.`
    : "Nothing was measured yet.";
  return htmlPage({
    title,
    style: `${ADAPTER_STYLE}
svg.plot { margin-bottom: 1.2rem; width: 100%; max-width: 44rem; height: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
svg.plot circle { fill: currentColor; } svg.plot text { fill: var(--quiet); font-size: 11px; } svg.plot .best { fill: #d33; }
tr.best td { font-weight: 700; }`,
    header: `<h1>${escapeHtml(title)}</h1>\n<p>${escapeHtml(summary)}</p>`,
    main: `${plots.join("\n")}\n<div class="table">${tableHtml(results, metric)}</div>`,
  });
}

function tableHtml(results: readonly TrialResult[], metric: string): string {
  const best = bestTrial(results, metric);
  const [head = [], ...rows] = tableOf(results, metric);
  const cells = (row: readonly string[], tag: string) =>
    row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join("");
  const lines = rows.map(
    (row, i) => `<tr${results[i] === best ? ' class="best"' : ""}>${cells(row, "td")}</tr>`,
  );
  return `<table><tr>${cells(head, "th")}</tr>${lines.join("\n")}</table>`;
}

interface Point {
  readonly x: number;
  readonly y: number;
  readonly trial: TrialResult;
}

/** Undefined where the option has no two numbers. A range of several powers of ten is shown by its logarithm. */
function plotOf(results: readonly TrialResult[], name: string, metric: string): string[] {
  const points = results.flatMap((trial): Point[] => {
    const x = Number(trial.values[name]);
    return trial.value !== undefined && Number.isFinite(x) ? [{ x, y: trial.value, trial }] : [];
  });
  const xs = points.map(({ x }) => x);
  const [low, high] = [smallest(xs), largest(xs)];
  if (new Set(xs).size < 2) return [];
  const isLog = low > 0 && high / low >= 8;
  const along = scaleOf(
    xs.map((x) => (isLog ? Math.log(x) : x)),
    MARGIN,
    WIDTH - MARGIN,
  );
  const up = scaleOf(
    points.map(({ y }) => y),
    HEIGHT - MARGIN,
    MARGIN,
  );
  const best = bestTrial(results, metric);
  const marks = points.map(({ x, y, trial }) => {
    const label = `trial ${trial.index}: ${name} ${x}, ${metric} ${y.toPrecision(5)}`;
    const kind = trial === best ? ' class="best"' : "";
    const [cx, cy] = [along(isLog ? Math.log(x) : x), up(y)].map((place) => place.toFixed(1));
    return `<circle${kind} cx="${cx}" cy="${cy}" r="4"><title>${escapeHtml(label)}</title></circle>`;
  });
  const ys = points.map(({ y }) => y);
  const text = (x: number, y: number, anchor: string, words: string) =>
    `<text x="${x}" y="${y}" text-anchor="${anchor}">${escapeHtml(words)}</text>`;
  return [
    `<h2>${escapeHtml(metric)} over ${escapeHtml(name)}</h2>`,
    `<svg class="plot" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(`${metric} over ${name}`)}">`,
    ...marks,
    text(MARGIN, HEIGHT - 10, "start", `${low}`),
    text(WIDTH - MARGIN, HEIGHT - 10, "end", `${high}`),
    text(WIDTH / 2, HEIGHT - 10, "middle", isLog ? `${name} (logarithmic)` : name),
    text(4, MARGIN - 12, "start", `${metric} ${largest(ys).toPrecision(4)}`),
    text(4, HEIGHT - MARGIN + 12, "start", smallest(ys).toPrecision(4)),
    "</svg>",
  ];
}

function scaleOf(values: readonly number[], from: number, to: number): (value: number) => number {
  const [low, high] = [smallest(values), largest(values)];
  const span = high - low || 1;
  return (value) => from + ((value - low) / span) * (to - from);
}
