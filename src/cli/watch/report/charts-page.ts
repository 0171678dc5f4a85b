import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { escapeHtml } from "../../../util/html.ts";
import { type Chart, drawCharts } from "../../../web/draw-charts.ts";
import { htmlPage } from "../../html-page.ts";
import { PAGE_STYLE } from "../../inspect/page-style.ts";

/** A page with charts; all but titles is HTML already. */
export interface ChartsPage {
  readonly title: string;
  readonly header: string;
  /** What stands above the charts … */
  readonly above: string;
  readonly charts: readonly Chart[];
  /** … and below them. */
  readonly below: string;
  /** Seconds after which a reader loads it again; absent where it stays as it is. */
  readonly refresh?: number;
}

/** Colours that series may have; more begin again. */
export const COLOURS = 8;

/**
 * One HTML file that loads nothing: data, plotter and style are in it.
 * @throws what the system says where the plotter is not installed
 */
export function chartsPage({ title, header, above, charts, below, refresh }: ChartsPage): string {
  const { script, style } = plotter();
  const places = charts.map(
    (chart) => `<figure><h3>${escapeHtml(chart.title)}</h3><div class="chart"></div></figure>`,
  );
  return htmlPage({
    title,
    header,
    style: `${PAGE_STYLE}${CHART_STYLE}${style}${OVER_STYLE}`,
    main: `${above}
<section class="charts">
<noscript><p>The charts are drawn by a script that is in this file, which this reader does not run.</p></noscript>
${places.join("\n")}
</section>
${below}
<script type="application/json" id="charts">${dataText(charts)}</script>`,
    script: `${script};(${drawCharts})(uPlot);`,
    ...(refresh !== undefined && { refresh }),
  });
}

/** JSON as it may stand in a script. */
function dataText(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

let loaded: { readonly script: string; readonly style: string } | undefined;

/** uPlot's program and style, as they come with its package. */
function plotter(): { readonly script: string; readonly style: string } {
  const { resolve } = createRequire(import.meta.url);
  const read = (name: string) => readFileSync(resolve(`uplot/dist/${name}`), "utf8");
  loaded ??= { script: read("uPlot.iife.min.js"), style: read("uPlot.min.css") };
  return loaded;
}

const CHART_STYLE = `
:root {
  --axis: light-dark(#62656a, #a0a4aa);
  --grid: light-dark(#e6e6e2, #2c2f34);
  --series-0: light-dark(#2f6db0, #7fb2e5);
  --series-1: light-dark(#c2571a, #f0a06a);
  --series-2: light-dark(#2e7d4f, #7fce9b);
  --series-3: light-dark(#7a4fa3, #c3a3e8);
  --series-4: light-dark(#b3261e, #ff8a80);
  --series-5: light-dark(#0f7c83, #6fd0d6);
  --series-6: light-dark(#8a5a00, #f2c260);
  --series-7: light-dark(#5c6066, #b9bdc4);
}
.charts { display: grid; grid-template-columns: minmax(0, 1fr); gap: .8rem; margin-top: 1.2rem; }
@media (min-width: 56rem) { .charts { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
.figures + .help { margin-top: .6rem; }
.charts figure { min-width: 0; }
.charts h3 { margin-bottom: .3rem; }
.table { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
tr:first-child > * { border-top: 0; }
th { font-weight: 400; color: var(--quiet); }
details { margin-top: .8rem; }
summary { cursor: pointer; color: var(--quiet); }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: .875rem/1.5 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
`;

/** What uPlot's own style has otherwise. */
const OVER_STYLE = `
.uplot { width: 100%; font: inherit; }
.uplot .u-legend { font-size: .85rem; text-align: left; margin-top: .2rem; }
.uplot .u-legend th, .uplot .u-legend td { padding: 0 .3rem 0 0; border: 0; }
.uplot .u-legend .u-series > * { padding: 0 .25rem; }
.uplot .u-legend .u-value { min-width: 4rem; color: var(--text); }
.uplot .u-cursor-x, .uplot .u-cursor-y { border-color: var(--quiet); }
`;
