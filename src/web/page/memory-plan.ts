// What memory a step takes, beside the settings: whether it fits, by how much it does not, and what would help.
import type { Advice } from "../../train/plan/advice.ts";
import type { TrainingPlan } from "../../train/plan/plan-training.ts";
import { byId, make, show, showList } from "./dom.ts";
import type { RunSettings } from "./kept-run.ts";
import { engineMethod } from "./methods.ts";
import type { WeightBits } from "./model-choice.ts";
import { choose, chosen } from "./page-state.ts";
import { plainWords } from "./plain-words.ts";
import type { Session } from "./session.ts";
import { sizeInWords } from "./sizes.ts";

/** What the plan needs of the others. */
export interface PlanNeeds {
  settings(): RunSettings;
  /** Whether they are within their bounds. */
  isValid(): boolean;
  /** Tokens of the longest example, where that is known. */
  longest(): number | undefined;
  /** Takes a remedy over. */
  apply(settings: Partial<RunSettings>): void;
  quantise(bits: WeightBits): void;
  /** Told how large the model is. */
  onPlan(plan: TrainingPlan): void;
}

/** Milliseconds after the last change before a plan is made. */
const PAUSE = 300;
const GIGABYTE = 1e9;

/** What takes memory, in the order of the bar. */
const SHARES: readonly (readonly [name: string, label: string, what: readonly string[]])[] = [
  ["model", "The model", ["base"]],
  ["learnt", "What it learns", ["adapter", "gradients", "optimiser"]],
  ["work", "The examples at work", ["activations", "loss", "backward"]],
];

/** Shows what the settings come to. */
export class MemoryPlan {
  readonly #session: Session;
  readonly #needs: PlanNeeds;
  readonly #memory = byId("memory", HTMLInputElement);
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Counts plans, so that an older one is not shown any more. */
  #plans = 0;

  constructor(session: Session, needs: PlanNeeds) {
    this.#session = session;
    this.#needs = needs;
    const { memory } = chosen();
    this.#memory.value = memory === undefined ? "" : String(memory / GIGABYTE);
    this.#memory.addEventListener("change", () => {
      choose({ memory: this.#bytes });
      this.refresh();
    });
  }

  /** Plans again, when nothing has changed for a moment. */
  refresh(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#plan(), PAUSE);
  }

  get #bytes(): number | undefined {
    const gigabytes = this.#memory.valueAsNumber;
    return gigabytes > 0 ? Math.round(gigabytes * GIGABYTE) : undefined;
  }

  async #plan(): Promise<void> {
    const { opened, engine } = this.#session;
    const own = ++this.#plans;
    if (!opened) return;
    if (!this.#needs.isValid()) return this.#showNone("A setting is outside of what it can be.");
    const settings = this.#needs.settings();
    const memory = this.#bytes;
    const { batchSize, gradientAccumulationSteps, gradientCheckpointing, activationBits } = settings;
    try {
      const plan = await engine.planTraining(opened.model, {
        method: engineMethod(settings, opened.model.facts.defaultTargets),
        ...{ batchSize, gradientAccumulationSteps, gradientCheckpointing, activationBits },
        maxLength: Math.min(settings.maxLength, this.#needs.longest() ?? settings.maxLength),
        ...(memory !== undefined && { memory }),
        search: memory !== undefined,
      });
      if (own === this.#plans) this.#show(plan, memory);
    } catch (error) {
      if (own === this.#plans) this.#showNone(plainWords(error));
    }
  }

  /** Says why there is no plan. */
  #showNone(why: string): void {
    this.#verdict(why, false);
    show("memory-bar", false);
    byId("memory-parts", HTMLElement).replaceChildren();
    this.#showAdvice([]);
  }

  #show(plan: TrainingPlan, memory: number | undefined): void {
    const { use, problems, trainable, limits } = plan;
    this.#needs.onPlan(plan);
    const sizes = SHARES.map(([name, label, what]) => {
      const rows = use.rows.filter((row) => what.includes(row.what));
      return { name, label, bytes: rows.reduce((sum, { bytes }) => sum + bytes, 0) };
    });
    const rest = use.total - sizes.reduce((sum, { bytes }) => sum + bytes, 0);
    const all = [...sizes, { name: "rest", label: "Room to work", bytes: rest }].filter(
      ({ bytes }) => bytes > 0,
    );
    showBar(all, Math.max(use.total, memory ?? 0));
    const parts = all.map(({ name, label, bytes }) =>
      make("li", { className: `key ${name}`, textContent: `${label} ${sizeInWords(bytes)}` }),
    );
    const learns = make("li", { textContent: `It learns ${trainable.toLocaleString("en")} numbers.` });
    byId("memory-parts", HTMLElement).replaceChildren(...parts, learns);
    const needs = `A step takes ${sizeInWords(use.total)} of graphics memory`;
    if (memory !== undefined && use.total > memory)
      this.#verdict(
        `It does not fit: a step takes ${sizeInWords(use.total)}, ${sizeInWords(use.total - memory)} more than there is.`,
        false,
      );
    else if (use.largestBuffer > limits.buffer)
      this.#verdict(
        `It does not fit: one piece of ${sizeInWords(use.largestBuffer)} is needed, and this device allows ${sizeInWords(limits.buffer)}.`,
        false,
      );
    else if (problems.length > 0) this.#verdict(`It does not fit: ${problems.join("; ")}.`, false);
    else
      this.#verdict(
        memory === undefined
          ? `${needs}.`
          : `It fits: a step takes ${sizeInWords(use.total)} of ${sizeInWords(memory)}.`,
        true,
      );
    this.#showAdvice(problems.length > 0 ? plan.advice : []);
  }

  #verdict(text: string, fits: boolean): void {
    const place = byId("memory-verdict", HTMLElement);
    place.textContent = text;
    place.className = fits ? "" : "error";
  }

  #showAdvice(advice: readonly Advice[]): void {
    const inWords = advice.flatMap((one) => {
      const words = adviceInWords(one);
      return words === undefined ? [] : [{ ...one, words }];
    });
    showList("memory-advice", inWords, ({ words, fits, total, settings }) => {
      const then = fits ? `then it fits, with ${sizeInWords(total)}` : `then ${sizeInWords(total)}`;
      const press = make("button", { type: "button", className: "small", textContent: "Do it" });
      press.setAttribute("aria-label", `Do it: ${words}`);
      press.addEventListener("click", () => this.#apply(settings));
      return make("li", { className: "row" }, [`${words}: ${then}`, press]);
    });
    show("memory-help", inWords.length > 0);
  }

  #apply({ quantization, r, ...settings }: Advice["settings"]): void {
    this.#needs.apply({ ...settings, ...(typeof r === "number" && { rank: r }) } as Partial<RunSettings>);
    if (quantization !== undefined) this.#needs.quantise(quantization === "int8" ? "8" : "4");
  }
}

/** Each on top of those before it; undefined where the page cannot do it. */
function adviceInWords({ change, settings }: Advice): string | undefined {
  switch (change) {
    case "accumulate":
      return "Take the examples of a step one after the other";
    case "checkpoint":
      return "Also compute again instead of keeping, which is slower";
    case "round activations":
      return "Also keep what is kept in 8 bits";
    case "shorten":
      return `Also cut examples to ${settings.maxLength} tokens`;
    case "lower the rank":
      return `Also lower the rank to ${settings.r}`;
    case "quantise":
      return `Also hold the model in ${settings.quantization === "int8" ? 8 : 4} bits`;
    case "offload":
      return undefined;
  }
}

function showBar(
  shares: readonly { readonly name: string; readonly label: string; readonly bytes: number }[],
  of: number,
): void {
  const pieces = shares.map(({ name, label, bytes }) => {
    const piece = make("span", { className: name, title: `${label}: ${sizeInWords(bytes)}` });
    piece.style.width = `${(100 * bytes) / of}%`;
    return piece;
  });
  byId("memory-bar", HTMLElement).replaceChildren(...pieces);
  show("memory-bar", true);
}
