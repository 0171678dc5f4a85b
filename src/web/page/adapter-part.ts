// What the model has learnt before: an adapter that was dropped, to be asked, or to go on from.
import type { EngineAdapter } from "../../engine/engine.ts";
import type { EngineReference } from "../../engine/protocol.ts";
import { isObject } from "../../util/json.ts";
import { attempt, byId, note, say, show } from "./dom.ts";
import { filesOfList, type Given, settleGiven } from "./given-files.ts";
import { methodTitle } from "./methods.ts";
import {
  choose,
  chosen,
  forgetAdapter,
  isAdapterKept,
  keepAdapter,
  keptAdapterFolder,
} from "./page-state.ts";
import type { Learnt, Session } from "./session.ts";

/** An adapter that is on the model, and is not trained itself. */
export interface OpenedAdapter {
  readonly name: string;
  readonly learnt: Learnt;
}

/** Puts an adapter of PEFT's files on the model. */
export class AdapterPart {
  readonly #session: Session;
  readonly #onChange: (opened: OpenedAdapter | undefined) => void;
  #opened: OpenedAdapter | undefined;
  /** Where the browser keeps nothing. */
  #given: Given | undefined;

  /** @param onChange told of an adapter that was opened, or taken off */
  constructor(session: Session, onChange: (opened: OpenedAdapter | undefined) => void) {
    this.#session = session;
    this.#onChange = onChange;
    const chooser = byId("adapter-files", HTMLInputElement);
    chooser.addEventListener("change", () => {
      const files = Array.from(chooser.files ?? []);
      chooser.value = "";
      if (files.length > 0) void attempt("adapter-error", () => this.#take(filesOfList(files)));
    });
    byId("adapter-off", HTMLButtonElement).addEventListener("click", () => {
      void attempt("adapter-error", () => this.takeOff());
    });
    this.#describe();
  }

  /** The adapter that a run goes on from; undefined where it begins anew. */
  get opened(): OpenedAdapter | undefined {
    return this.#opened;
  }

  /** Opens an adapter that was dropped or chosen. */
  async open(given: Given): Promise<void> {
    checkFiles(given);
    const name = chosen().adapter;
    const before = this.#given;
    this.#given = given;
    if (this.#session.keeps) await keepAdapter(given.label, given.files);
    else choose({ adapter: given.label });
    try {
      await this.#load(given.label);
    } catch (error) {
      this.#given = before;
      if (this.#session.keeps) await forgetAdapter();
      else choose({ adapter: name });
      throw error;
    }
    choose({ shows: "adapter" });
  }

  /** Puts the adapter that is kept on a model that was opened. */
  async onModel(): Promise<void> {
    this.#opened = undefined; // it went with the model before
    const { adapter } = chosen();
    this.#describe();
    note("adapter-error");
    if (adapter === undefined || (!this.#session.keeps && !this.#given)) return this.#onChange(undefined);
    await attempt("adapter-error", async () => {
      if (this.#session.keeps && !(await isAdapterKept())) {
        await forgetAdapter();
        throw new Error(`The browser has cleared the adapter ${adapter}, which it kept. Give it again.`);
      }
      await this.#load(adapter);
    });
    if (!this.#opened) this.#onChange(undefined);
  }

  /** Takes it off: what is trained then begins anew. */
  async takeOff(): Promise<void> {
    const opened = this.#opened;
    this.#opened = undefined;
    this.#given = undefined;
    await forgetAdapter().catch(() => {});
    if (opened) await this.#session.engine.release(opened.learnt.adapter);
    this.#describe();
    this.#onChange(undefined);
  }

  /** Puts the files on the model once more, to be trained. */
  async again(name: string): Promise<EngineAdapter> {
    const { engine, model } = this.#session;
    return engine.loadAdapter(model, await this.#reference(), { name });
  }

  async #take(given: Given): Promise<void> {
    const settled = await settleGiven(given);
    if (settled.kind !== "adapter")
      throw new Error(`${given.label} is no adapter: that has adapter_config.json.`);
    await this.open(settled);
  }

  async #load(name: string): Promise<void> {
    const { engine, model } = this.#session;
    const remarks: string[] = [];
    const adapter = await engine.loadAdapter(model, await this.#reference(), {
      name: "opened",
      onWarning: (line) => remarks.push(line),
    });
    if (this.#opened) await engine.release(this.#opened.learnt.adapter);
    await engine.enable(adapter, false); // it is asked by name, and never trained along
    this.#opened = { name, learnt: { adapter } };
    this.#describe();
    this.#onChange(this.#opened);
  }

  async #reference(): Promise<EngineReference> {
    if (this.#session.keeps) return keptAdapterFolder();
    const { label, files } = this.#given as Given;
    return { label, files };
  }

  #describe(): void {
    const opened = this.#opened;
    show("adapter-off", opened !== undefined);
    if (!opened) {
      say("adapter-status", "It begins as it is. Or drop an adapter here, to ask it or to go on from it.");
      return;
    }
    const { facts } = opened.learnt.adapter;
    const size = `${methodTitle(facts.type)}, ${facts.parameters.toLocaleString("en")} numbers`;
    const what = opened.name === "adapter" ? "your adapter" : `the adapter ${opened.name}`;
    say("adapter-status", `It begins with ${what} (${size}): ask it below, or go on from there.`);
  }
}

/** Says in the page's words what is missing of an adapter. */
function checkFiles({ label, files }: Given): void {
  const names = [...files.keys()];
  if (names.some((name) => /\.gguf$/i.test(name) || /^adapters?(?:_model)?\.(?:safetensors|npz)$/.test(name)))
    return;
  const isPickled = names.includes("adapter_model.bin");
  throw new Error(
    isPickled
      ? `${label} holds adapter_model.bin, which runs code when it is opened.\nSave it as safetensors: load it with PEFT, and call save_pretrained.`
      : `There is adapter_config.json, and no adapter_model.safetensors beside it.\nChoose or drop both together.`,
  );
}

/** The settings that the files of an adapter tell: of LoRA its rank and layers. */
export async function settingsOfAdapter(
  files: ReadonlyMap<string, Blob>,
): Promise<{ rank?: number; targets?: string }> {
  try {
    const config: unknown = JSON.parse((await files.get("adapter_config.json")?.text()) ?? "");
    if (!isObject(config)) return {};
    const { r, target_modules: targets } = config;
    const names = Array.isArray(targets)
      ? targets.filter((name) => typeof name === "string").join(", ")
      : targets;
    return {
      ...(typeof r === "number" && { rank: r }),
      ...(typeof names === "string" && { targets: names }),
    };
  } catch {
    return {};
  }
}
