// A model of the hub: how large it is, its download, and what is kept of others.
import { type HubListing, hubListing } from "../../io/files/hub.ts";
import { hubLabel, parseModelReference } from "../../io/files/reference.ts";
import { ggufModels, splitHubId } from "../../load/model-source.ts";
import { type KeptDownload, keptDownloads, removeDownload } from "../../platform/web-downloads.ts";
import { webHash } from "../../platform/web-hash.ts";
import { fail } from "../../util/fail.ts";
import { byId, enable, make, say, show, showError, showList } from "./dom.ts";
import { isRefusal } from "./plain-words.ts";
import type { Session } from "./session.ts";
import { countInWords, sizeInWords } from "./sizes.ts";

/** What of the storage is left to the rest of the page. */
const SPARE_BYTES = 50e6;

/** A model of the hub that may be downloaded. */
interface Found {
  readonly id: string;
  readonly bytes: number;
}

/** Looks models up, downloads them, and lists those that are kept. */
export class HubPanel {
  readonly #session: Session;
  readonly #onReady: (id: string, token: string | undefined) => Promise<void>;
  readonly #id = byId("hub-id", HTMLInputElement);
  readonly #token = byId("hub-token", HTMLInputElement);
  readonly #files = byId("hub-file", HTMLSelectElement);
  #found: Found | undefined;
  #stopping: AbortController | undefined;

  /** @param onReady told of a model whose files are all here */
  constructor(session: Session, onReady: (id: string, token: string | undefined) => Promise<void>) {
    this.#session = session;
    this.#onReady = onReady;
    byId("hub", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#try(() => this.#lookUp(this.#id.value.trim()));
    });
    this.#id.addEventListener("input", () => {
      this.#offer(undefined);
      show("hub-file-field", false);
    });
    byId("hub-download", HTMLButtonElement).addEventListener(
      "click",
      () => void this.#try(() => this.#download()),
    );
    byId("hub-stop", HTMLButtonElement).addEventListener("click", () => this.#stopping?.abort());
    void this.showKept();
  }

  /** What the user typed, which stays in the memory of this tab. */
  get token(): string | undefined {
    return this.#token.value.trim() || undefined;
  }

  /** Shows what is kept, with what can be done with it. */
  async showKept(): Promise<void> {
    const kept = this.#session.keeps ? await keptDownloads() : [];
    const { choice } = this.#session.opened ?? {};
    const isOpen = (source: string) => choice?.from === "hub" && choice.name === source;
    const entries = kept.map((download) => ({ ...download, isOpen: isOpen(download.source) }));
    showList("kept", entries, (entry) => this.#keptItem(entry));
    show("kept-title", entries.length > 0);
  }

  #keptItem({ source, bytes, isWhole, isOpen }: KeptDownload & { readonly isOpen: boolean }): HTMLElement {
    const use = make("button", {
      type: "button",
      textContent: isWhole ? "Use" : "Go on",
      disabled: isOpen,
    });
    use.addEventListener("click", () => void this.#try(() => this.#use(source, isWhole)));
    const remove = make("button", { type: "button", textContent: "Delete", disabled: isOpen });
    remove.setAttribute("aria-label", `Delete ${source}`);
    remove.addEventListener("click", () => void this.#try(() => this.#remove(source)));
    const state = isOpen ? "open now" : isWhole ? "" : "only a part is here";
    const text = make("span", {
      textContent: [source, sizeInWords(bytes), state].filter(Boolean).join(" · "),
    });
    return make("li", {}, [text, make("span", { className: "buttons" }, [use, remove])]);
  }

  async #use(source: string, isWhole: boolean): Promise<void> {
    this.#id.value = source;
    if (isWhole) await this.#onReady(source, this.token);
    else await this.#lookUp(source);
  }

  async #remove(source: string): Promise<void> {
    await removeDownload(source);
    await this.showKept();
    say("hub-status", `${source} is deleted from this browser.`);
  }

  async #lookUp(id: string): Promise<void> {
    const { repository, ...asked } = splitHubId(id);
    const reference = parseModelReference(repository || id);
    if (reference.kind !== "hub")
      return fail(
        id || "The name",
        "is no name of a model on the hub",
        "It is written owner/name, such as HuggingFaceTB/SmolLM2-135M-Instruct; with :Q4_K_M behind it, it is a GGUF file.",
      );
    const { repo, revision } = reference;
    const label = hubLabel(repo, revision);
    this.#offer(undefined);
    show("hub-file-field", false);
    say("hub-status", `Asking the hub about ${label} …`);
    const listing = await hubListing({ repo, revision, token: this.token, hash: webHash });
    show("hub-token-field", listing.isGated || this.token !== undefined);
    const [model, ...others] = modelsIn(label, listing, asked);
    if (others.length > 0) return this.#letChoose(label, [model as Found, ...others]);
    await this.#look(model as Found);
  }

  /** Says how large a model is, and lets it be downloaded. */
  async #look({ id: name, bytes }: Found): Promise<void> {
    say("hub-status", `Asking the hub about ${name} …`);
    // Reads the configuration, and the headers of the weights: what is not supported is said before the download.
    const { parameters } = await this.#session.engine.planTraining(name, {
      token: this.token,
      search: false,
    });
    const kept = (await keptDownloads()).find(({ source }) => source === name)?.bytes ?? 0;
    const left = Math.max(0, bytes - kept);
    const { quota = Number.POSITIVE_INFINITY, usage = 0 } = await navigator.storage.estimate();
    const free = quota - usage - SPARE_BYTES;
    if (left > free)
      fail(
        name,
        `has ${sizeInWords(left)} to download, and this browser lets the page keep ${sizeInWords(Math.max(0, free))} more`,
        "Delete a model below, free disk space, or choose a smaller one.",
      );
    const here = kept > 0 ? `, of which ${sizeInWords(kept)} are here` : "";
    say(
      "hub-status",
      `${name}: ${countInWords(parameters)} parameters, ${sizeInWords(bytes)} to download${here}. It is kept in this browser.`,
    );
    this.#offer({ id: name, bytes });
  }

  /** Several GGUF files: which of them is the user's to say. */
  #letChoose(label: string, models: readonly Found[]): void {
    const options = models.map(({ id, bytes }) =>
      make("option", { value: id, textContent: `${id.slice(label.length + 1)} · ${sizeInWords(bytes)}` }),
    );
    this.#files.replaceChildren(make("option", { value: "", textContent: "choose …" }), ...options);
    this.#files.onchange = () => {
      const model = models.find(({ id }) => id === this.#files.value);
      if (model) void this.#try(() => this.#look(model));
    };
    show("hub-file-field", true);
    say("hub-status", `${label} has ${models.length} GGUF files, each of which is the model in other bits.`);
  }

  async #download(): Promise<void> {
    if (!this.#found) return;
    const { id, bytes } = this.#found;
    const progress = byId("hub-progress", HTMLProgressElement);
    let here = (await keptDownloads()).find(({ source }) => source === id)?.bytes ?? 0;
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#showDownloading(true);
    const tell = () => {
      progress.value = Math.min(1, here / bytes);
      say("hub-status", `${id}: ${sizeInWords(Math.min(here, bytes))} of ${sizeInWords(bytes)}`);
    };
    tell();
    await navigator.storage.persist?.().catch(() => false); // so that the browser does not clear it by itself
    try {
      await this.#session.engine.downloadModel(id, {
        token: this.token,
        signal: stopping.signal,
        onDownload: (came) => {
          here += came;
          tell();
        },
      });
    } catch (error) {
      if (!stopping.signal.aborted) throw error;
      return say("hub-status", `Stopped. What has come of ${id} is kept: press Download to go on.`);
    } finally {
      this.#stopping = undefined;
      this.#showDownloading(false);
      await this.showKept();
    }
    this.#offer(undefined);
    say("hub-status", `${id} is here, whole and checked.`);
    await this.#onReady(id, this.token);
  }

  #offer(found: Found | undefined): void {
    this.#found = found;
    show("hub-download", found !== undefined);
    if (!found) say("hub-status", "");
  }

  #showDownloading(on: boolean): void {
    show("hub-progress", on);
    show("hub-stop", on);
    show("hub-download", !on);
    enable("hub-look", !on);
    this.#id.disabled = on;
  }

  async #try(task: () => Promise<void>): Promise<void> {
    showError("hub-error");
    try {
      await task();
    } catch (error) {
      if (isRefusal(error)) show("hub-token-field", true);
      showError("hub-error", error);
      if (!this.#found) say("hub-status", "");
    }
  }
}

/** Files that are read of a repository beside its weights. */
const BESIDE = /^(?:[^/]+\.(?:json|jinja|txt|model)|additional_chat_templates\/.*)$/;
const WEIGHTS = /^model(?:-\d{5}-of-\d{5})?\.safetensors$/;

/** The models of a repository: its weights in safetensors, else its GGUF files, or the one that is named. */
function modelsIn(label: string, { files }: HubListing, asked: GgufAsked): readonly [Found, ...Found[]] {
  const weights = safetensorsIn(files);
  if (weights.length > 0 && asked.file === undefined && asked.tag === undefined) {
    const beside = files.filter((file) => BESIDE.test(file.name) && (file.size ?? 0) < 5e7);
    return [{ id: label, bytes: bytesOf([...weights, ...beside]) }];
  }
  const names = files.map(({ name }) => name);
  const all = ggufModels(names);
  const named =
    asked.file === undefined ? ggufModels(names, asked.tag) : all.filter((name) => name === asked.file);
  const models = named.map((name) => ({
    id: `${label}:${name}`,
    bytes: bytesOf(files.filter((file) => file.name === name)),
  }));
  const [first, ...others] = models;
  if (first) return [first, ...others];
  const what = asked.file ?? asked.tag;
  if (what === undefined || all.length === 0)
    return fail(label, "has no weights in safetensors, and no GGUF file", "Choose another one.");
  return fail(label, `has no GGUF file ${what}; it has ${all.join(", ")}`);
}

/** What is asked for behind a repository's name. */
type GgufAsked = Omit<ReturnType<typeof splitHubId>, "repository">;

/** The files that loading reads the weights from. */
function safetensorsIn(files: HubListing["files"]): HubListing["files"] {
  const whole = files.filter(({ name }) => name === "model.safetensors");
  return whole.length > 0 ? whole : files.filter(({ name }) => WEIGHTS.test(name));
}

const bytesOf = (files: HubListing["files"]) => files.reduce((sum, { size = 0 }) => sum + size, 0);
