import { MultiBar, Presets, type SingleBar } from "cli-progress";
import type { StepMetrics } from "../train/trainer.ts";
import { printable } from "../util/printable.ts";
import { formatTrainLine } from "./format.ts";
import type { Terminal } from "./terminal.ts";

/** Shows how a training run goes. */
export interface Reporter {
  /** After every optimiser step. */
  step(metrics: StepMetrics): void;
  /** A line that stays. */
  note(line: string): void;
  /** Nothing more comes. */
  close(): void;
}

/** A live bar on a screen, mlx-lm's lines elsewhere. */
export function createReporter(terminal: Terminal, loggingSteps: number): Reporter {
  return terminal.isScreen ? barReporter() : lineReporter((line) => terminal.print(line), loggingSteps);
}

/** A line every `loggingSteps` steps and after the last one. */
export function lineReporter(print: (line: string) => void, loggingSteps: number): Reporter {
  let window: StepMetrics[] = [];
  return {
    step(metrics) {
      window.push(metrics);
      noteSkipped(metrics, print);
      if (metrics.step % loggingSteps !== 0 && metrics.step !== metrics.totalSteps) return;
      print(formatTrainLine(window));
      window = [];
    },
    note: print,
    close() {},
  };
}

const BAR = "{bar} {value}/{total} | loss {loss} | {speed} tokens/s | ETA {eta_formatted}";

function barReporter(): Reporter {
  // Ctrl-C saves the adapter first: the bar must not take it for the end.
  const options = {
    format: BAR,
    gracefulExit: false,
    hideCursor: true,
    stream: process.stdout,
  };
  const bars = new MultiBar(options, Presets.shades_classic);
  let bar: SingleBar | undefined;
  const note = (line: string) => {
    if (!bar) process.stdout.write(`${printable(line)}\n`);
    else bars.log(`${printable(line)}\n`);
  };
  return {
    step(metrics) {
      const shown = {
        loss: metrics.loss.toFixed(3),
        speed: (metrics.terms / metrics.seconds).toFixed(0),
      };
      bar ??= bars.create(metrics.totalSteps, 0, shown);
      bar.update(metrics.step, shown);
      noteSkipped(metrics, note);
    },
    note,
    close() {
      bars.update(); // prints the lines that still wait
      bars.stop();
      bar = undefined;
    },
  };
}

function noteSkipped({ fault, step }: StepMetrics, note: (line: string) => void): void {
  if (fault !== undefined) note(`Iter ${step} changed nothing, since its gradient is not finite: ${fault}`);
}
