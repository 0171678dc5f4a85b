// How it learns: fields with defaults for the model at hand.
import { LORA_LEARNING_RATE } from "../../train/learning-rate.ts";
import { byId, make, say, show } from "./dom.ts";
import type { RunSettings } from "./kept-run.ts";
import { PAGE_METHODS, pageMethod } from "./methods.ts";
import type { ModelChoice } from "./model-choice.ts";
import { choose, chosen } from "./page-state.ts";
import type { OpenedModel } from "./session.ts";

/** What holds for every model where nothing is said: the library's own. */
export const DEFAULTS: RunSettings = {
  ...{ method: "lora", rank: 16, targets: "all-linear", learningRate: LORA_LEARNING_RATE },
  ...{ maxSteps: 100, batchSize: 4, maxLength: 1024 },
  ...{ gradientAccumulationSteps: 1, gradientCheckpointing: false, activationBits: 32 },
};

/** The bundled model learns the bundled examples by these, as in `npm run demo`. */
const OF_BUNDLED = { maxSteps: 80, batchSize: 8, learningRate: 8e-3, rank: 8 };

/** The field of each number. */
const NUMBERS = {
  maxSteps: "steps",
  batchSize: "batch",
  learningRate: "rate",
  rank: "rank",
  maxLength: "length",
  gradientAccumulationSteps: "accumulation",
} as const;

/** What to choose for layers that are named. */
const NAMED = "named";

/** The settings of a run, as fields; the browser checks their bounds before the form is sent. */
export class SettingsForm {
  readonly #onChange: () => void;
  readonly #method = byId("method", HTMLSelectElement);
  readonly #targets = byId("targets", HTMLSelectElement);
  readonly #names = byId("target-names", HTMLInputElement);
  readonly #checkpointing = byId("checkpointing", HTMLInputElement);
  readonly #rounding = byId("rounding", HTMLInputElement);
  #model: ModelChoice | undefined;
  /** Tokens that the model can read. */
  #mostLength = DEFAULTS.maxLength;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
    this.#method.append(
      ...PAGE_METHODS.map(({ name, label }) => make("option", { value: name, textContent: label })),
    );
    this.#method.addEventListener("change", () => {
      const { size } = pageMethod(this.#method.value);
      if (size) byId("rank", HTMLInputElement).valueAsNumber = size.fallback;
      this.#showFitting();
    });
    this.#targets.addEventListener("change", () => this.#showFitting());
    byId("fields", HTMLFieldSetElement).addEventListener("change", () => this.#changed());
    byId("defaults", HTMLButtonElement).addEventListener("click", () => {
      this.#show(this.#fitting(defaultsFor(this.#model)));
      this.#changed();
    });
    // The browser says of a field what is wrong with it where it can be seen, and else nothing.
    byId("settings", HTMLFormElement).addEventListener(
      "invalid",
      ({ target }) => {
        const closed = target instanceof Element ? target.closest("details") : null;
        if (closed) closed.open = true;
      },
      { capture: true },
    );
    this.#show(DEFAULTS);
  }

  /** What the user chose. */
  read(): RunSettings {
    const value = (key: keyof typeof NUMBERS) => byId(NUMBERS[key], HTMLInputElement).valueAsNumber;
    const targets = this.#targets.value === NAMED ? this.#names.value : this.#targets.value;
    return {
      ...{ method: this.#method.value, targets },
      maxSteps: value("maxSteps"),
      batchSize: value("batchSize"),
      learningRate: value("learningRate"),
      rank: value("rank"),
      maxLength: value("maxLength"),
      gradientAccumulationSteps: value("gradientAccumulationSteps"),
      gradientCheckpointing: this.#checkpointing.checked,
      activationBits: this.#rounding.checked ? 8 : 32,
    };
  }

  /** Whether every field has what it can have. */
  get isValid(): boolean {
    return byId("settings", HTMLFormElement).checkValidity();
  }

  /** Shows the settings that were chosen for a model, or the defaults for it. */
  fit({ model, choice }: OpenedModel): void {
    this.#model = choice;
    const { settings } = chosen();
    const isOfModel = settings?.of.from === choice.from && settings.of.name === choice.name;
    const { maxPositions } = model.facts.config;
    this.#mostLength = typeof maxPositions === "number" ? maxPositions : DEFAULTS.maxLength;
    byId("length", HTMLInputElement).max = String(this.#mostLength);
    const given = { ...defaultsFor(choice), ...(isOfModel && settings.values) };
    this.#show(this.#fitting(given));
  }

  /** Within what the model can read. */
  #fitting(settings: RunSettings): RunSettings {
    return { ...settings, maxLength: Math.min(settings.maxLength, this.#mostLength) };
  }

  /** Shows the settings of a run, or changes some. */
  show(settings: Partial<RunSettings>): void {
    this.#show({ ...this.read(), ...settings });
    this.#changed();
  }

  /** Whether they can be changed. */
  enable(on: boolean): void {
    byId("fields", HTMLFieldSetElement).disabled = !on;
  }

  /** What an adapter that goes on learning settles by itself. */
  showsMethod(on: boolean): void {
    for (const id of ["method-field", "rank-field", "targets-field"]) show(id, on);
    this.#showFitting(on);
  }

  #show(settings: RunSettings): void {
    for (const key of Object.keys(NUMBERS) as (keyof typeof NUMBERS)[])
      byId(NUMBERS[key], HTMLInputElement).value = String(settings[key]);
    this.#method.value = pageMethod(settings.method).name;
    const isListed = ["all-linear", "default"].includes(settings.targets);
    this.#targets.value = isListed ? settings.targets : NAMED;
    this.#names.value = isListed ? "" : settings.targets;
    this.#checkpointing.checked = settings.gradientCheckpointing;
    this.#rounding.checked = settings.activationBits === 8;
    this.#showFitting();
  }

  /** Fields that mean something for the method. */
  #showFitting(hasMethod = !byId("method-field", HTMLElement).hidden): void {
    const { size, hasTargets } = pageMethod(this.#method.value);
    show("rank-field", hasMethod && size !== undefined);
    if (size) {
      say("rank-label", size.label);
      say("rank-help", size.help);
    }
    show("targets-field", hasMethod && hasTargets);
    const isNamed = hasMethod && hasTargets && this.#targets.value === NAMED;
    show("target-names-field", isNamed);
    this.#names.required = isNamed;
  }

  #changed(): void {
    if (this.#model) choose({ settings: { of: this.#model, values: this.read() } });
    this.#onChange();
  }
}

function defaultsFor(model: ModelChoice | undefined): RunSettings {
  return model?.from === "bundled" ? { ...DEFAULTS, ...OF_BUNDLED } : DEFAULTS;
}
