// Runs in a page. The function is put into it as text, so that it may use nothing from outside itself.

/** A line of a chart, or points. */
export interface ChartSeries {
  readonly label: string;
  readonly x: readonly number[];
  /** null: no number. */
  readonly y: readonly (number | null)[];
  /** Which of the page's colours, from 0. */
  readonly colour: number;
  /** `faint` stands behind another one; `dots` shows each point. */
  readonly look?: "faint" | "dots";
}

/** One chart; all charts of a page share the cursor. */
export interface Chart {
  readonly title: string;
  readonly series: readonly ChartSeries[];
  /** Whether its axis is logarithmic. */
  readonly isLog?: boolean;
}

/** What of uPlot is used. */
interface Plotter {
  new (options: object, data: unknown, target: HTMLElement): Plot;
  join(tables: unknown[]): unknown;
}

interface Plot {
  destroy(): void;
}

/** Draws a page's charts into its elements `.chart`, in their order, and again where its width or its colours change. */
export function drawCharts(uPlot: Plotter): void {
  const charts: Chart[] = JSON.parse(document.getElementById("charts")?.textContent ?? "[]");
  const places = [...document.querySelectorAll<HTMLElement>(".chart")];
  let drawn: Plot[] = [];

  const shown = (value: number | null) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
    return size >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(4)));
  };

  const probe = document.createElement("span");
  document.body.append(probe);
  /** What a colour of the style is now, light or dark. */
  const colourOf = (name: string, alpha = 1) => {
    probe.style.color = `var(${name})`;
    const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g) ?? [];
    return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
  };

  const optionsOf = ({ series, isLog }: Chart, width: number) => {
    const axis = {
      stroke: colourOf("--axis"),
      grid: { stroke: colourOf("--grid"), width: 1 },
      ticks: { stroke: colourOf("--grid"), width: 1 },
      font: "12px system-ui, sans-serif",
    };
    const lines = series.map(({ label, colour, look }) => {
      const stroke = colourOf(`--series-${colour}`);
      return {
        label,
        stroke: look === "faint" ? colourOf(`--series-${colour}`, 0.4) : stroke,
        width: look === "faint" ? 1 : 2,
        spanGaps: true,
        points: { show: look === "dots", size: 6, fill: stroke },
        value: (_: unknown, value: number | null) => shown(value),
      };
    });
    return {
      width,
      height: Math.max(180, Math.min(260, width * 0.5)),
      cursor: { sync: { key: "run" }, points: { size: 7 } },
      scales: { x: { time: false }, y: isLog ? { distr: 3, log: 10 } : {} },
      axes: [
        axis,
        {
          ...axis,
          size: 62,
          values: (_: unknown, ticks: (number | null)[]) =>
            ticks.map((tick) => (tick === null ? "" : shown(tick))),
        },
      ],
      series: [{ label: "step", value: (_: unknown, value: number | null) => shown(value) }, ...lines],
    };
  };

  const draw = () => {
    for (const plot of drawn) plot.destroy();
    drawn = charts.flatMap((chart, i) => {
      const place = places[i];
      if (!place) return [];
      const data = uPlot.join(chart.series.map(({ x, y }) => [x, y]));
      return [new uPlot(optionsOf(chart, place.clientWidth), data, place)];
    });
  };

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let width = document.documentElement.clientWidth;
  new ResizeObserver(() => {
    if (document.documentElement.clientWidth === width) return;
    width = document.documentElement.clientWidth;
    draw();
  }).observe(document.documentElement);
}
