import type { Chart, ChartSeries } from "../../../web/draw-charts.ts";
import { COLOURS } from "./charts-page.ts";
import { type Figures, type FigureTable, smoothed, speeds, thinned } from "./figures.ts";

/** Figures that are no curve. */
const NOT_SHOWN = ["epoch", "num_tokens", "step_time", "eval_runtime"];

/** Charts that every run has, first. */
const FIRST: readonly {
  readonly title: string;
  readonly names: readonly string[];
  readonly isLog?: boolean;
}[] = [
  { title: "Loss", names: ["loss", "eval_loss"] },
  { title: "Gradient norm", names: ["grad_norm"], isLog: true },
  { title: "Learning rate", names: ["learning_rate"] },
  { title: "Tokens a second", names: ["tokens_per_second"] },
  { title: "Peak GPU memory, GB", names: ["peak_memory"] },
];

/** A run among others. */
export interface NamedFigures {
  readonly name: string;
  readonly figures: FigureTable;
}

/** The charts of one run: the usual ones, and one for each other family of figures, such as all of `rewards/…`. */
export function runCharts(figures: FigureTable): Chart[] {
  return groupsOf([figures]).flatMap(({ title, names, isLog }) => {
    const series = names.flatMap((name, colour) =>
      curve(valuesOf(figures, name), name, name, colour % COLOURS),
    );
    return series.length === 0 ? [] : [{ title, series, ...(isLog && { isLog }) }];
  });
}

/** Charts that compare runs: one for each figure, with a line for each run. */
export function comparisonCharts(runs: readonly NamedFigures[]): Chart[] {
  const names = groupsOf(runs.map(({ figures }) => figures)).flatMap(({ names, isLog }) =>
    names.map((name) => ({ name, isLog })),
  );
  return names.flatMap(({ name, isLog }) => {
    const series = runs.flatMap((run, i) => {
      const lines = curve(valuesOf(run.figures, name), name, run.name, i % COLOURS);
      return runs.length > 1 ? lines.filter(({ look }) => look !== "faint") : lines;
    });
    return series.length === 0 ? [] : [{ title: name, series, ...(isLog && { isLog }) }];
  });
}

function groupsOf(tables: readonly FigureTable[]) {
  const known = [...NOT_SHOWN, ...FIRST.flatMap(({ names }) => names)];
  const others = [...new Set(tables.flatMap(({ all }) => [...all.keys()]))].filter(
    (name) => !known.includes(name),
  );
  const families = new Map<string, string[]>();
  for (const name of others) {
    const family = name.replace(/^eval_/, "").replace(/\/.*$/, "");
    families.set(family, [...(families.get(family) ?? []), name]);
  }
  const rest = [...families].map(([title, names]) => ({ title, names, isLog: undefined }));
  return [...FIRST, ...rest];
}

function valuesOf(figures: FigureTable, name: string): Figures {
  return name === "tokens_per_second"
    ? speeds(figures.get(name), figures.get("step_time"))
    : figures.get(name);
}

/** A figure's line; behind a smooth one where it has many values. Evaluations are few, so that each is a dot. */
function curve(all: Figures, name: string, label: string, colour: number): ChartSeries[] {
  if (all.steps.length === 0) return [];
  const lineOf = (figures: Figures) => {
    const { steps, values } = thinned(figures);
    return { x: steps, y: values, colour };
  };
  if (name.startsWith("eval_")) return [{ label, ...lineOf(all), look: "dots" }];
  const smooth = ["loss", "grad_norm"].includes(name) || name.includes("/") ? smoothed(all) : undefined;
  if (!smooth) return [{ label, ...lineOf(all) }];
  return [
    { label, ...lineOf(all), look: "faint" },
    { label: `${label}, smoothed`, ...lineOf(smooth) },
  ];
}
