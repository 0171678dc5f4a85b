import type { Distribution } from "../../util/distribution.ts";
import type { StepMetrics } from "../trainer.ts";
import type { RunWarning } from "./spikes.ts";

/** What an evaluation in a run came to. */
export interface EvaluationMetrics {
  /** The step behind which it was; 0 before the first. */
  readonly step: number;
  /** Passes over the data so far, with the part of the last one. */
  readonly passes: number;
  /** Mean loss, nats. */
  readonly loss: number;
  /** Wall-clock time of the evaluation. */
  readonly seconds: number;
  /** What else the task measures, such as `accuracy`. */
  readonly metrics?: Readonly<Record<string, number>>;
  /** The same in words, for a line of a table. */
  readonly summary?: string;
}

/** What the model makes of fixed prompts at some moment. */
export interface RunSamples {
  /** The step behind which it was. */
  readonly step: number;
  /** Each prompt, and what came of it. */
  readonly samples: readonly { readonly prompt: string; readonly text: string }[];
}

/** How far each layer has moved. */
export interface UpdateNorms {
  /** The step behind which the parameters were looked at … */
  readonly step: number;
  /** … and that of the look before, which they are compared with. */
  readonly since: number;
  /** ‖change of the layer's trained parameters‖₂, by the layer's path. */
  readonly norms: Readonly<Record<string, number>>;
  /** How the changes of the layer's trained values are distributed. */
  readonly changes: Readonly<Record<string, Distribution>>;
}

/** Watches a run; it is told in order, and waited for. */
export interface RunObserver {
  /** After every step, with what is strange about it. */
  onStep?(metrics: StepMetrics, warnings: readonly RunWarning[]): void | Promise<void>;
  /** After every evaluation. */
  onEvaluation?(evaluation: EvaluationMetrics): void | Promise<void>;
  /** Where samples were generated. */
  onSamples?(samples: RunSamples): void | Promise<void>;
  /** Where the parameters were looked at. */
  onUpdateNorms?(norms: UpdateNorms): void | Promise<void>;
}

/** Several observers as one. One that throws is told no more, and the run goes on. */
export function observeAll(
  observers: readonly RunObserver[],
  onError: (error: unknown) => void,
): Required<RunObserver> {
  let live = observers;
  const tell = async (one: (observer: RunObserver) => void | Promise<void>) => {
    for (const observer of live) {
      try {
        await one(observer);
      } catch (error) {
        live = live.filter((other) => other !== observer);
        onError(error);
      }
    }
  };
  return {
    onStep: (metrics, warnings) => tell((observer) => observer.onStep?.(metrics, warnings)),
    onEvaluation: (evaluation) => tell((observer) => observer.onEvaluation?.(evaluation)),
    onSamples: (samples) => tell((observer) => observer.onSamples?.(samples)),
    onUpdateNorms: (norms) => tell((observer) => observer.onUpdateNorms?.(norms)),
  };
}
