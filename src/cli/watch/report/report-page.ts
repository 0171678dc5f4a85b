import { basename } from "node:path";
import type { LogEntry } from "../../../train/watch/log-entry.ts";
import type { RunSamples } from "../../../train/watch/observer.ts";
import { largest } from "../../../util/arrays.ts";
import { escapeHtml } from "../../../util/html.ts";
import { count } from "../../format.ts";
import type { RunAbout } from "../run-file.ts";
import { chartsPage } from "./charts-page.ts";
import type { FigureTable } from "./figures.ts";
import type { Norms } from "./looks.ts";
import { runCharts } from "./run-charts.ts";

/** What a report tells. */
export interface ReportedRun {
  /** The run's folder. */
  readonly folder: string;
  readonly about: RunAbout;
  readonly figures: FigureTable;
  /** Steps with warnings or faults, in order. */
  readonly strange: readonly LogEntry[];
  readonly norms: readonly Norms[];
  /** The newest last. */
  readonly samples: readonly RunSamples[];
}

/** Seconds after which a reader loads the report of a run again that goes on. */
const REFRESH = 30;

/** The report of a run as one page. @throws what the system says where the plotter is not installed */
export function reportPage(run: ReportedRun): string {
  const { about, folder } = run;
  return chartsPage({
    title: `${basename(folder)}: ${about.model}`,
    header: `<h1>${escapeHtml(basename(folder))}</h1>
<p>${escapeHtml(about.model)}, ${escapeHtml(about.task)}</p>`,
    above: `${figures(run)}
${about.error === undefined ? "" : `<section><h2>Why it ended</h2><pre>${escapeHtml(about.error)}</pre></section>`}
${strange(run.strange)}`,
    charts: runCharts(run.figures),
    below: [norms(run.norms), samples(run.samples), data(about), settings(about)].join("\n"),
    ...(about.status === "running" && { refresh: REFRESH }),
  });
}

function figures({ about, figures }: ReportedRun): string {
  const { all } = figures;
  const step = largest([0, ...(all.get("loss")?.steps ?? [])]);
  const best = figures.lowest("eval_loss");
  const parts: [name: string, value: string, more: string][] = [
    [
      about.status,
      `${count(step)}`,
      about.totalSteps === undefined ? "steps" : `of ${count(about.totalSteps)} steps`,
    ],
    ["loss", shown(figures.last("loss")), "of the last step"],
    ["lowest eval loss", shown(best?.value), best ? `at step ${count(best.step)}` : "not evaluated"],
    [
      "tokens a second",
      shown(figures.last("tokens_per_second")),
      `${count(figures.last("num_tokens") ?? 0)} so far`,
    ],
    ["peak memory", shown(figures.last("peak_memory")), "GB"],
    ["trained", count(about.trainable), `of ${count(about.parameters)} parameters`],
  ];
  const cells = parts.map(
    ([name, value, more]) =>
      `<div><dt>${escapeHtml(name)}</dt><dd><b>${escapeHtml(value)}</b><span>${escapeHtml(more)}</span></dd></div>`,
  );
  return `<dl class="figures">${cells.join("")}</dl>
<p class="help">${times(about)}</p>`;
}

const shown = (x: number | undefined) =>
  x === undefined ? "–" : x >= 1000 ? count(Math.round(x)) : x.toPrecision(4);

function times({ started, ended, resumed, status, versions }: RunAbout): string {
  const day = (text: string) => text.replace("T", " ").replace(/\.\d+Z$/, " UTC");
  const parts = [
    `On ${versions.device ?? "an unknown device"}; begun ${day(started)}`,
    ...(resumed.length > 0 ? [`resumed behind step ${resumed.join(", ")}`] : []),
    ended !== undefined && status !== "running"
      ? `ended ${day(ended)}`
      : `as of ${day(new Date().toISOString())}`,
  ];
  return escapeHtml(parts.join(", "));
}

function strange(entries: readonly LogEntry[]): string {
  if (entries.length === 0) return "";
  const items = entries.map(({ step, warnings, fault }) => {
    const lines = Array.isArray(warnings) ? warnings : [`step ${step} changed nothing: ${fault}`];
    return lines.map((line) => `<li><p><b>warning</b>${escapeHtml(String(line))}</p></li>`).join("\n");
  });
  return `<section><h2>Warnings</h2><ul class="findings">${items.join("\n")}</ul></section>`;
}

/** Columns of the map of layers at most. */
const LOOKS_SHOWN = 60;

/** How far each layer has moved from look to look: a row for each layer, darker the further. */
function norms(all: readonly Norms[]): string {
  if (all.length === 0) return "";
  const every = Math.ceil(all.length / LOOKS_SHOWN);
  const looks = all.filter((_, i) => i % every === 0);
  const layers = Object.keys(looks[0]?.norms ?? {});
  const most = largest(looks.flatMap(({ norms }) => Object.values(norms)));
  const cells = looks.flatMap(({ norms, step, since }, column) =>
    layers.map((layer, row) => {
      const norm = norms[layer] ?? 0;
      const share = (most > 0 ? norm / most : 0).toFixed(3);
      const title = `${layer}, steps ${since + 1} to ${step}: ${norm.toPrecision(3)}`;
      return `<rect x="${column}" y="${row}" width="1.02" height="1" fill-opacity="${share}"><title>${escapeHtml(title)}</title></rect>`;
    }),
  );
  const [first, last] = [layers[0] ?? "", layers.at(-1) ?? ""];
  return `<section><h2>How far each layer moved</h2>
<figure><svg viewBox="0 0 ${looks.length} ${layers.length}" preserveAspectRatio="none">${cells.join("")}</svg>
<figcaption><span>step ${looks[0]?.step}</span><span>step ${looks.at(-1)?.step}</span></figcaption>
<p class="help">A row is a layer, ${escapeHtml(first)} above and ${escapeHtml(last)} below; the darkest has moved by ${most.toPrecision(3)} from one look to the next.</p></figure></section>`;
}

function samples(all: readonly RunSamples[]): string {
  const newest = all.at(-1);
  if (!newest) return "";
  const table = ({ samples }: RunSamples) =>
    `<div class="table"><table>${samples
      .map(
        ({ prompt, text }) =>
          `<tr><th><pre>${escapeHtml(prompt)}</pre></th><td><pre>${escapeHtml(text)}</pre></td></tr>`,
      )
      .join("")}</table></div>`;
  const older = all.slice(0, -1).reverse();
  const before = older.map(
    (samples) => `<details><summary>after step ${samples.step}</summary>${table(samples)}</details>`,
  );
  return `<section><h2>Samples after step ${newest.step}</h2>${table(newest)}${before.join("\n")}</section>`;
}

function data({ data }: RunAbout): string {
  if (data.length === 0) return "";
  return `<section><h2>Data</h2><article><pre>${escapeHtml(data.join("\n"))}</pre></article></section>`;
}

function settings({ settings, given, versions }: RunAbout): string {
  const row = (name: string, value: unknown) =>
    `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(typeof value === "string" ? value : JSON.stringify(value))}</td></tr>`;
  const rows = (names: readonly string[]) => names.map((name) => row(name, settings[name])).join("");
  const all = Object.keys(settings);
  const chosen = all.filter((name) => given.includes(name));
  const others = all.filter((name) => !given.includes(name));
  const versionRows = Object.entries(versions).map(([name, version]) => row(name, version));
  return `<section><h2>Settings</h2>
<div class="table"><table>${rows(chosen)}${versionRows.join("")}</table></div>
<details><summary>${others.length} that were not given</summary><div class="table"><table>${rows(others)}</table></div></details></section>`;
}
