// Runs in a page. The function is put into it as text, so that it may use nothing from outside itself.

/** A line of a chart, or points. */
export interface ChartSeries {
  readonly label: string;
  readonly x: readonly number[];
  /** null: no number. */
  readonly y: readonly (number | null)[];
  /** Which of the page's colours, from 0. */
  readonly colour: number;
  /** `faint` stands behind another one; `dots` shows each point; `points` has no line; `told` is in the legend alone. */
  readonly look?: "faint" | "dots" | "points" | "told";
}

/** One chart. */
export interface Chart {
  readonly title: string;
  readonly series: readonly ChartSeries[];
  /**
   * What is along its lower edge. Unless given these are the run's steps, whose cursor all charts share. Where it is given, all series
   * have the same `x`, which rise and may repeat.
   */
  readonly along?: { readonly label: string; readonly isLog: boolean };
  /** Whether its axis is logarithmic. */
  readonly isLog?: boolean;
}

/** What of uPlot is used. */
interface Plotter {
  new (options: object, data: unknown, target: HTMLElement): Plot;
  join(tables: unknown[]): unknown;
  /** What its axes show of values from `low` to `high`. */
  rangeNum(low: number, high: number, room: number, isRound: boolean): [number, number];
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
    if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2).replace(/\.?0+e/, "e");
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

  /** Some room beside the first and the last point. */
  const withRoom = (isLog: boolean) => (_: unknown, low: number, high: number) => {
    const room = isLog ? (high / low) ** 0.06 : (high - low) * 0.06;
    return isLog ? [low / room, high * room] : [low - room, high + room];
  };

  /** uPlot's own range, but for values that are all 0, which it would show on an axis to 100. null: there are none. */
  const withZeros = (_: unknown, low: number | null, high: number | null) => {
    if (low === null || high === null) return [null, null];
    return low === 0 && high === 0 ? [0, 1] : uPlot.rangeNum(low, high, 0.1, true);
  };

  const optionsOf = ({ series, isLog, along }: Chart, width: number) => {
    const axis = {
      values: (_: unknown, ticks: (number | null)[]) =>
        ticks.map((tick) => (tick === null ? "" : shown(tick))),
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
        points: { show: look === "dots" || look === "points", size: along ? 9 : 6, fill: stroke },
        ...((look === "points" || look === "told") && { paths: () => null }),
        ...(look === "told" && { scale: "told" }),
        value: (_: unknown, value: number | null) => shown(value),
      };
    });
    return {
      width,
      height: Math.max(180, Math.min(260, width * 0.5)),
      cursor: { ...(!along && { sync: { key: "run" } }), points: { size: 7 } },
      scales: {
        x: {
          time: false,
          ...(along && { range: withRoom(along.isLog) }),
          ...(along?.isLog && { distr: 3, log: 10 }),
        },
        y: isLog ? { distr: 3, log: 10 } : { range: withZeros },
      },
      axes: [axis, { ...axis, size: 62 }],
      series: [
        { label: along?.label ?? "step", value: (_: unknown, value: number | null) => shown(value) },
        ...lines,
      ],
    };
  };

  const draw = () => {
    for (const plot of drawn) plot.destroy();
    drawn = charts.flatMap((chart, i) => {
      const place = places[i];
      if (!place) return [];
      const tables = chart.series.map(({ x, y }) => [x, y]);
      const data = chart.along ? [chart.series[0]?.x, ...chart.series.map(({ y }) => y)] : uPlot.join(tables);
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
