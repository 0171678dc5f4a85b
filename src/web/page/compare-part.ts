// Part 4: the model as it was and as it is now answer one prompt, side by side.
import type { EngineModel } from "../../engine/engine.ts";
import type { RowLosses } from "../../train/loss-map.ts";
import type { HeldOut } from "./bundled.ts";
import { attempt, byId, enable, say } from "./dom.ts";
import { showLosses } from "./loss-map.ts";
import type { Learnt, Session } from "./session.ts";

const MAX_NEW_TOKENS = 48;

/** Asks the model with and without what it learnt. */
export class ComparePart {
  readonly #session: Session;
  readonly #heldOut: readonly HeldOut[];
  readonly #prompt = byId("prompt", HTMLTextAreaElement);
  #at = 0;
  #learnt: Learnt | undefined;

  constructor(session: Session, heldOut: readonly HeldOut[]) {
    this.#session = session;
    this.#heldOut = heldOut;
    this.#show(0);
    this.#prompt.addEventListener("input", () => this.#showWanted());
    byId("another", HTMLButtonElement).addEventListener("click", () =>
      this.#show((this.#at + 1) % heldOut.length),
    );
    byId("compare", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void attempt("compare-error", () => this.#ask());
    });
    byId("map", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void attempt("map-error", () => this.#map());
    });
    enable("another", true);
  }

  /** What is in the field to ask. */
  get prompt(): string {
    return this.#prompt.value;
  }

  /** The adapter that is asked from now on; none before anything was learnt. */
  use(learnt: Learnt | undefined): void {
    this.#learnt = learnt;
    for (const id of ["ask", "measure"]) enable(id, learnt !== undefined);
  }

  #show(at: number): void {
    this.#at = at;
    const { prompt, completion } = this.#heldOut[at] ?? { prompt: "", completion: "" };
    this.#prompt.value = prompt;
    byId("map-text", HTMLTextAreaElement).value = prompt + completion;
    this.#showWanted();
    say("answer-before", "–");
    say("answer-after", "–");
  }

  /** The right answer, where the prompt is one of those that come with the page. */
  #showWanted(): void {
    const found = this.#heldOut.find(({ prompt }) => prompt === this.#prompt.value);
    say("wanted", found ? `Not among the bundled examples. The right answer: ${found.completion}` : "");
  }

  async #ask(): Promise<void> {
    const learnt = this.#learnt;
    if (!learnt) return;
    const { model } = this.#session;
    enable("ask", false);
    say("compare-status", "The model answers.");
    try {
      await Promise.all([
        this.#answer(model.withAdapters([]), "answer-before"),
        this.#answer(model.withAdapters([learnt.adapter]), "answer-after"),
      ]);
      say("compare-status", "Both answers are there.");
    } finally {
      enable("ask", this.#learnt !== undefined);
    }
  }

  async #answer(model: EngineModel, id: string): Promise<void> {
    let text = "";
    say(id, "…");
    const pieces = this.#session.engine.generate(model, this.#prompt.value, { maxNewTokens: MAX_NEW_TOKENS });
    for await (const piece of pieces) {
      text += piece;
      say(id, text);
    }
    say(id, text === "" ? "(it says nothing)" : text);
  }

  /** What each token of a text costs the model, as it was and as it is. */
  async #map(): Promise<void> {
    const learnt = this.#learnt;
    if (!learnt) return;
    const { engine, model } = this.#session;
    const text = byId("map-text", HTMLTextAreaElement).value;
    enable("measure", false);
    say("map-status", "The model reads it.");
    try {
      const [before, after] = await Promise.all(
        [[], [learnt.adapter]].map((adapters) => engine.lossMap(model.withAdapters(adapters), [{ text }])),
      );
      const means = [
        showLosses("map-before", before?.[0] as RowLosses),
        showLosses("map-after", after?.[0] as RowLosses),
      ].map((mean) => mean.toFixed(2));
      byId("maps", HTMLElement).hidden = false;
      say("map-status", `The mean loss of a piece was ${means[0]} before, and is ${means[1]} now.`);
    } finally {
      enable("measure", this.#learnt !== undefined);
    }
  }
}
