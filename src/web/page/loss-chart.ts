import type uPlot from "uplot";
import type { CurvePoint } from "./kept-run.ts";

const HEIGHT = 200;

/** A curve of losses that grows while the model learns. */
export class LossChart {
  readonly #place: HTMLElement;
  #plot: uPlot | undefined;
  #curve: readonly CurvePoint[] = [];
  #steps = 1;
  #waiting = false;

  constructor(place: HTMLElement) {
    this.#place = place;
    const redraw = () => {
      this.#plot?.destroy();
      this.#plot = undefined; // colours are read when it is made
      void this.#draw();
    };
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new ResizeObserver(() => {
      if (place.clientWidth > 0) this.#plot?.setSize({ width: place.clientWidth, height: HEIGHT });
    }).observe(place);
  }

  /**
   * Shows a curve with the next frame.
   * @param steps those of the whole run
   */
  show(curve: readonly CurvePoint[], steps: number): void {
    this.#curve = curve;
    this.#steps = steps;
    if (this.#waiting) return;
    this.#waiting = true;
    requestAnimationFrame(() => {
      this.#waiting = false;
      void this.#draw();
    });
  }

  /** Draws it, where the plotter can be had; the figures say the same. */
  async #draw(): Promise<void> {
    const loaded = await import("uplot").catch(() => undefined);
    if (!loaded || this.#place.clientWidth === 0) return;
    const data: uPlot.AlignedData = [this.#curve.map(([step]) => step), this.#curve.map(([, loss]) => loss)];
    if (this.#plot) this.#plot.setData(data);
    else this.#plot = new loaded.default(this.#options(), data, this.#place);
  }

  #options(): uPlot.Options {
    const style = getComputedStyle(this.#place);
    const colour = (name: string) => style.getPropertyValue(name);
    const axis: uPlot.Axis = {
      stroke: colour("--faint"),
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
      font: "12px system-ui, sans-serif",
    };
    return {
      width: this.#place.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: () => [0, this.#steps] },
        y: { range: (_, __, high) => [0, high * 1.05 || 1] },
      },
      axes: [
        { ...axis, size: 26, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 10_000, 20_000] },
        { ...axis, size: 40 },
      ],
      series: [{}, { stroke: colour("--accent"), width: 2, points: { show: false } }],
    };
  }
}
