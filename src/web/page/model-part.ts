// Part 1: which model learns. The bundled one, one of the hub, or one from a folder of this computer.
import type { EngineModel } from "../../engine/engine.ts";
import type { EngineReference } from "../../engine/protocol.ts";
import { fetchBundledModel } from "./bundled.ts";
import { attempt, byId, note, say, show } from "./dom.ts";
import { askToRead, mayRead, recallFolder, rememberFolder } from "./folder-memory.ts";
import { filesOfFolder, type Given } from "./given-files.ts";
import { HubPanel } from "./hub-panel.ts";
import { BUNDLED, isSameModel, loadOptions, type ModelChoice, type WeightBits } from "./model-choice.ts";
import { choose, chosen } from "./page-state.ts";
import type { Session } from "./session.ts";
import { countInWords } from "./sizes.ts";

const BITS: Readonly<Record<WeightBits, string>> = {
  stored: "",
  "8": ", in 8 bits",
  "4": ", in 4 bits",
};

/** What a model is called before people. */
const nameOf = ({ from, name }: ModelChoice) =>
  from === "bundled" ? "A small Llama of a million parameters, which comes with the page" : name;

/** Opens models, one at a time, and tells the page of each. */
export class ModelPart {
  readonly #session: Session;
  readonly #onOpen: () => Promise<void>;
  readonly #bits = byId("bits", HTMLSelectElement);
  readonly #hub: HubPanel;
  /** The folder that is open, or is to be opened again. */
  #given: Given | undefined;

  /** @param onOpen told whenever another model is open */
  constructor(session: Session, onOpen: () => Promise<void>) {
    this.#session = session;
    this.#onOpen = onOpen;
    this.#hub = new HubPanel(session, (name) => this.#open({ from: "hub", name, bits: this.#chosenBits }));
    this.#bits.addEventListener("change", () => {
      const { choice } = session.opened ?? {};
      if (choice) void attempt("model-error", () => this.#open({ ...choice, bits: this.#chosenBits }));
    });
    byId("bundled-model", HTMLButtonElement).addEventListener("click", () => {
      void attempt("model-error", () => this.#open({ ...BUNDLED, bits: this.#chosenBits }));
    });
    byId("open-again", HTMLButtonElement).addEventListener("click", () => {
      void attempt("model-error", () => this.#openAgain());
    });
  }

  /** Opens the model that was open when the page was left, or the bundled one. */
  async begin(): Promise<void> {
    const choice = chosen().model ?? BUNDLED;
    this.#bits.value = choice.bits;
    await attempt("model-error", async () => {
      if (choice.from === "folder") await this.#recall(choice);
      else await this.#open(choice);
    });
    if (this.#session.opened || choice.from === "folder") return;
    await this.#open(BUNDLED); // the other one's error stays
  }

  /** Opens a model that was dropped or chosen. */
  async openGiven(given: Given): Promise<void> {
    this.#given = given;
    if (given.handle) await rememberFolder(given.handle);
    await this.#open({ from: "folder", name: given.label, bits: this.#chosenBits });
  }

  /** Opens the same model with its numbers in fewer bits. */
  async inFewerBits(bits: WeightBits): Promise<void> {
    const { choice } = this.#session.opened ?? {};
    if (choice) await attempt("model-error", () => this.#open({ ...choice, bits }));
  }

  /** Whether another model can be chosen: not while one learns. */
  enable(on: boolean): void {
    byId("model-fields", HTMLFieldSetElement).disabled = !on;
  }

  get #chosenBits(): WeightBits {
    return this.#bits.value as WeightBits;
  }

  async #open(choice: ModelChoice): Promise<void> {
    const before = this.#session.opened?.choice;
    this.enable(false);
    show("again", false);
    try {
      await this.#session.open({ choice, model: await this.#load(choice) });
    } catch (error) {
      if (!this.#session.opened && before) await this.#putBack(before);
      throw error;
    } finally {
      show("model-progress", false);
      this.#describe();
      this.enable(true);
    }
    choose({ model: choice });
    byId("other-model", HTMLDetailsElement).open = false;
    await this.#hub.showKept();
    await this.#onOpen();
  }

  /** Opens what was open before a model that cannot be. */
  async #putBack(before: ModelChoice): Promise<void> {
    await this.#session.open({ choice: before, model: await this.#load(before) });
    await this.#onOpen();
  }

  async #load(choice: ModelChoice): Promise<EngineModel> {
    const { engine } = this.#session;
    const progress = byId("model-progress", HTMLProgressElement);
    say("model-status", `${nameOf(choice)}: opening …`);
    progress.removeAttribute("value");
    show("model-progress", true);
    this.#bits.value = choice.bits;
    if (choice.from === "bundled") {
      const files = await fetchBundledModel((bytes, of) => {
        progress.value = bytes / of;
      });
      return engine.loadModel(files, loadOptions(choice));
    }
    const reference = await this.#reference(choice);
    const { token } = this.#hub;
    const source = choice.from === "hub" && token ? { token } : {};
    // Refuses what is no model, or not supported, while the one before is still there.
    await engine.planTraining(reference, { ...source, ...loadOptions(choice), search: false });
    const { opened } = this.#session;
    if (opened && opened.choice.from !== "bundled") await this.#session.close(); // two may not fit
    return engine.loadModel(reference, { ...source, ...loadOptions(choice) });
  }

  async #reference({ from, name }: ModelChoice): Promise<EngineReference> {
    if (from === "hub") return name;
    const { handle, label, files } = this.#given as Given;
    return handle ?? { label, files };
  }

  /** A folder of the last time: some browsers let the page read it again at once, or after a press of a button. */
  async #recall(choice: ModelChoice): Promise<void> {
    const handle = await recallFolder(choice.name);
    if (handle && (await mayRead(handle))) {
      this.#given = await filesOfFolder(handle);
      return this.#open(choice);
    }
    show("model-progress", false);
    say("model-status", `${choice.name}, from this computer, was open here.`);
    say("open-again", `Open ${choice.name} again`);
    show("again", true);
    note(
      "model-note",
      handle ? "" : "Drop its folder or file on this page once more, or take another model.",
    );
    show("open-again", handle !== undefined);
  }

  async #openAgain(): Promise<void> {
    const choice = chosen().model;
    const handle = choice && (await recallFolder(choice.name));
    if (!handle || !(await askToRead(handle))) return;
    this.#given = await filesOfFolder(handle);
    await this.#open(choice);
  }

  #describe(): void {
    const { opened, device } = this.#session;
    if (!opened) {
      say("model-status", "No model is open.");
      return;
    }
    const { choice } = opened;
    this.#bits.value = choice.bits;
    note("model-note");
    say("model-status", `${nameOf(choice)}${BITS[choice.bits]}: ready on ${device.name}.`);
    show("bundled-model", !isSameModel(choice, { ...BUNDLED, bits: choice.bits }));
  }

  /** Says how large the open model is. */
  tellParameters(parameters: number): void {
    const { opened, device } = this.#session;
    if (!opened || opened.choice.from === "bundled") return;
    const { choice } = opened;
    say(
      "model-status",
      `${choice.name}: ${countInWords(parameters)} parameters${BITS[choice.bits]}, ready on ${device.name}.`,
    );
  }
}
