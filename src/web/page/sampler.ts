import type { EngineModel } from "../../engine/engine.ts";
import { messageOf } from "../../util/fail.ts";
import { byId, say } from "./dom.ts";
import type { RunRecord, Sample } from "./kept-run.ts";
import type { Session } from "./session.ts";

/** Answers that a run is asked for. */
const SAMPLES = 5;
const MAX_NEW_TOKENS = 48;
/** How long a piece of an answer is waited for. */
const SILENCE_MILLISECONDS = 20_000;

/** What is asked, and how it is made to keep still meanwhile. */
export interface Sampled {
  /** With the adapter that learns, alone. */
  readonly model: EngineModel;
  /** Holds the run, or lets it go on: an answer is that of one step. */
  hold(on: boolean): void;
}

/** Asks the model the same thing again and again while it learns, and shows what it says. */
export class Sampler {
  readonly #session: Session;
  readonly #record: RunRecord;
  readonly #sampled: Sampled;
  readonly #every: number;
  #asking: Promise<void> | undefined;

  constructor(session: Session, record: RunRecord, sampled: Sampled) {
    this.#session = session;
    this.#record = record;
    this.#sampled = sampled;
    this.#every = Math.ceil(record.settings.maxSteps / SAMPLES);
  }

  /** Told that a step is over: asks, where it is time and the answer before is there. */
  onStep(step: number): void {
    const { samples } = this.#record;
    const isKnown = (samples.at(-1)?.step ?? 0) >= step; // of a run that goes on
    if (step % this.#every !== 0 || this.#asking || isKnown) return;
    this.#asking = this.#ask().finally(() => {
      this.#asking = undefined;
    });
  }

  /** Waits for the answer that is under way. */
  async end(): Promise<void> {
    await this.#asking;
  }

  async #ask(): Promise<void> {
    const { hold, model } = this.#sampled;
    const { prompt, samples, curve } = this.#record;
    let text = "";
    hold(true);
    try {
      const pieces = this.#session.engine.generate(model, prompt, { maxNewTokens: MAX_NEW_TOKENS });
      for await (const piece of untilSilent(pieces)) text += piece;
    } catch (error) {
      text = `(no answer: ${messageOf(error)})`; // such as where the device was lost; the run goes on
    } finally {
      hold(false);
    }
    samples.push({ step: curve.at(-1)?.[0] ?? 0, text });
    showSamples(this.#record);
  }
}

/** The pieces of an answer, as long as they come: a run must not wait for a device that is gone. */
async function* untilSilent(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  const reading = pieces[Symbol.asyncIterator]();
  for (;;) {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const silence = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("it took too long")), SILENCE_MILLISECONDS);
    });
    try {
      const { done, value } = await Promise.race([reading.next(), silence]);
      if (done) return;
      yield value;
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Shows what the model said, the newest first. */
export function showSamples({ prompt, samples }: Pick<RunRecord, "prompt" | "samples">): void {
  say("sample-prompt", prompt);
  const items = samples.toReversed().map(itemOf);
  byId("samples", HTMLOListElement).replaceChildren(...items);
}

function itemOf({ step, text }: Sample): HTMLLIElement {
  const when = Object.assign(document.createElement("span"), {
    textContent: `Step ${step}`,
  });
  const said = Object.assign(document.createElement("span"), {
    className: "said",
    textContent: text.trim() === "" ? "(it says nothing)" : text.trim(),
  });
  const item = document.createElement("li");
  item.append(when, said);
  return item;
}
