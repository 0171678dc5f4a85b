// The roofline plot: what each kernel reaches, against what its bytes and operations allow on this device.
// Williams, Waterman, Patterson 2009, doi 10.1145/1498765.1498785.
import { escapeHtml } from "../src/util/html.ts";
import { familyOf } from "./html.ts";
import { type BenchReport, type BenchResult, nameOf } from "./result.ts";
import { digits, percent } from "./table.ts";

const WIDTH = 440;
const HEIGHT = 320;
const MARGIN = { left: 46, right: 12, top: 14, bottom: 40 };

interface Scale {
  (value: number): number;
  ticks: number[];
}

/** A logarithmic scale whose ends are powers of ten. */
function logScale([low, high]: readonly [number, number], [from, to]: readonly [number, number]): Scale {
  const first = Math.floor(Math.log10(low));
  const last = Math.max(first + 1, Math.ceil(Math.log10(high)));
  const scale = (value: number) => from + ((Math.log10(value) - first) / (last - first)) * (to - from);
  return Object.assign(scale, {
    ticks: Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i)),
  });
}

interface Point {
  result: BenchResult;
  /** Operations a byte. */
  intensity: number;
  gflops: number;
}

/** Whether a result has a point in the plot: it has operations and bytes. */
export const hasPlace = (result: BenchResult) => pointsOf([result]).length > 0;

function pointsOf(results: readonly BenchResult[]): Point[] {
  return results.flatMap((result) => {
    const { flops, bytes, gflops } = result;
    return flops && bytes && gflops ? [{ result, intensity: flops / bytes, gflops }] : [];
  });
}

/** How far the roof is seen to both sides of its ridge where no point says it. */
const AROUND = 10;

/** An SVG with axes, the roof of the measured peaks, and a point for each result that has operations and bytes. */
export function rooflinePlot({ results, peak }: BenchReport): string {
  const points = pointsOf(results);
  const ridge = peak.gflops / peak.gbps;
  const isBare = points.length === 0;
  const intensities = [
    ...points.map(({ intensity }) => intensity),
    ...(isBare ? [ridge / AROUND, ridge * AROUND] : [ridge]),
  ];
  const rates = [
    ...points.map(({ gflops }) => gflops),
    ...(isBare ? [peak.gflops / AROUND] : []),
    peak.gflops * 1.01,
  ];
  const x = logScale(extent(intensities), [MARGIN.left, WIDTH - MARGIN.right]);
  const y = logScale(extent(rates), [HEIGHT - MARGIN.bottom, MARGIN.top]);
  const parts = [axes(x, y), roof(x, y, peak), ...points.map((point) => dot(point, x, y))];
  const label = "Roofline plot: operations a byte against 10⁹ operations a second";
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${label}">${parts.join("")}</svg>`;
}

const extent = (values: readonly number[]) => [Math.min(...values), Math.max(...values)] as const;

function axes(x: Scale, y: Scale): string {
  const bottom = HEIGHT - MARGIN.bottom;
  const columns = x.ticks.map((tick) => {
    const at = x(tick).toFixed(1);
    return `<line class="axis" x1="${at}" x2="${at}" y1="${MARGIN.top}" y2="${bottom}"/><text x="${at}" y="${bottom + 14}" text-anchor="middle">${tickLabel(tick)}</text>`;
  });
  const rows = y.ticks.map((tick) => {
    const at = y(tick).toFixed(1);
    return `<line class="axis" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at}" y2="${at}"/><text x="${MARGIN.left - 5}" y="${Number(at) + 3.5}" text-anchor="end">${tickLabel(tick)}</text>`;
  });
  const middle = (MARGIN.top + bottom) / 2;
  return [
    ...columns,
    ...rows,
    `<text x="${(MARGIN.left + WIDTH - MARGIN.right) / 2}" y="${HEIGHT - 8}" text-anchor="middle">operations a byte</text>`,
    `<text transform="translate(11 ${middle}) rotate(-90)" text-anchor="middle">GFLOP/s</text>`,
  ].join("");
}

const tickLabel = (tick: number) => (tick >= 1000 ? `${tick / 1000}k` : String(Number(tick.toPrecision(1))));

function roof(x: Scale, y: Scale, peak: BenchReport["peak"]): string {
  const [left, right] = [x.ticks[0] as number, x.ticks.at(-1) as number];
  const bottom = y.ticks[0] as number;
  // The slope starts where it leaves the plot's lower or left edge.
  const start = Math.max(left, bottom / peak.gbps);
  const corners = [start, peak.gflops / peak.gbps, right].map((intensity) => {
    return `${x(intensity).toFixed(1)},${y(Math.min(peak.gflops, peak.gbps * intensity)).toFixed(1)}`;
  });
  return `<polyline class="roof" points="${corners.join(" ")}"/>`;
}

function dot({ result, intensity, gflops }: Point, x: Scale, y: Scale): string {
  const text = `${nameOf(result)}: ${digits(gflops)} GFLOP/s, ${percent(result.share ?? 0)} of the roof`;
  return `<circle class="f${familyOf(result.kernel)}" fill-opacity=".75" cx="${x(intensity).toFixed(1)}" cy="${y(gflops).toFixed(1)}" r="4"><title>${escapeHtml(text)}</title></circle>`;
}
