// The page: its parts, from the top to the bottom.
import { createWorkerEngine } from "../../platform/web-engine.ts";
import { claimFolder } from "../../platform/web-locks.ts";
import { LoraError } from "../../util/fail.ts";
import { AdapterPart, settingsOfAdapter } from "./adapter-part.ts";
import { type Advice, adviceFor } from "./advice.ts";
import { fetchBundledExamples, fetchHeldOut } from "./bundled.ts";
import { ComparePart } from "./compare-part.ts";
import { DataPart } from "./data-part.ts";
import { attempt, byId, ignoreStrayClicks, make, say, showError, showList } from "./dom.ts";
import { filesOfDrop, filesOfFolder, filesOfList, type Given, settleGiven } from "./given-files.ts";
import { CLAIM, canKeep } from "./kept-run.ts";
import { MemoryPlan } from "./memory-plan.ts";
import { ModelPart } from "./model-part.ts";
import { plainWords } from "./plain-words.ts";
import { type Learnt, Session } from "./session.ts";
import { TakePart } from "./take-part.ts";
import { TrainingPart } from "./training-part.ts";

const OTHER_TAB: Advice = {
  title: "This page is open in another tab",
  steps: ["Go on there, or close that tab, and this one begins: one of them trains at a time."],
};

/** Says what keeps the page from working, in place of its parts. */
function showObstacle({ title, steps }: Advice): void {
  say("obstacle-title", title);
  showList("obstacle-steps", steps, (textContent) => make("li", { textContent }));
  showParts(false);
}

/** Shows the parts of the page, or the obstacle in their place. */
function showParts(on: boolean): void {
  byId("obstacle", HTMLElement).hidden = on;
  for (const part of document.querySelectorAll<HTMLElement>("main > :is(section, footer)")) part.hidden = !on;
}

const browserAdvice = () => adviceFor({ userAgent: navigator.userAgent, isSecure: isSecureContext });

/** Waits until no other tab has what one needs alone. */
async function claimTab(): Promise<void> {
  while (!(await claimFolder(CLAIM))) {
    showObstacle(OTHER_TAB);
    await isSeen(); // behind the tab that has it, this one would take it away when that is loaded anew
  }
  showParts(true);
}

async function isSeen(): Promise<void> {
  while (document.visibilityState === "hidden")
    await new Promise((changed) => document.addEventListener("visibilitychange", changed, { once: true }));
}

async function openSession(): Promise<Session> {
  const engine = await createWorkerEngine();
  return new Session({ engine, device: await engine.openDevice(), keeps: await canKeep() });
}

function describeDevice({ device, keeps }: Session): void {
  const notes = [
    ...(device.software
      ? ["No graphics chip is used here: the processor does its work, which is many times slower."]
      : []),
    ...(keeps ? [] : ["This window keeps no files: a reload begins anew."]),
  ];
  const place = byId("device-note", HTMLElement);
  place.textContent = notes.join(" ");
  place.hidden = notes.length === 0;
}

/** The parts of the page, which tell each other what has changed. */
class Parts {
  readonly #compare: ComparePart;
  readonly #take: TakePart;
  readonly #training: TrainingPart;
  readonly #data: DataPart;
  readonly #adapter: AdapterPart;
  readonly #model: ModelPart;
  readonly #plan: MemoryPlan;
  #longest: number | undefined;
  #isRunning = false;

  constructor(session: Session, examples: string, heldOut: Awaited<ReturnType<typeof fetchHeldOut>>) {
    this.#compare = new ComparePart(session, heldOut);
    this.#take = new TakePart(session);
    this.#adapter = new AdapterPart(session, (opened) => {
      this.#training?.form.showsMethod(opened === undefined);
      if (opened) this.#training?.leave();
      this.#use(opened?.learnt);
    });
    this.#data = new DataPart(session, {
      bundled: examples,
      maxLength: () => this.#training.form.read().maxLength || undefined,
      onLook: (longest) => {
        this.#longest = longest;
        this.#plan.refresh();
      },
    });
    this.#training = new TrainingPart(session, {
      data: this.#data,
      adapter: this.#adapter,
      prompt: () => this.#compare.prompt,
      onSettings: () => this.#onSettings(),
      onRunning: (on) => {
        this.#isRunning = on;
        this.#model?.enable(!on);
      },
      onLearnt: (learnt) => this.#use(learnt ?? this.#adapter.opened?.learnt),
    });
    this.#plan = new MemoryPlan(session, {
      settings: () => this.#training.form.read(),
      isValid: () => this.#training.form.isValid,
      longest: () => this.#longest,
      apply: (settings) => this.#training.form.show(settings),
      quantise: (bits) => void this.#model.inFewerBits(bits),
      onPlan: ({ parameters }) => this.#model.tellParameters(parameters),
    });
    this.#model = new ModelPart(session, () => this.#onModel());
    this.#takeFiles();
  }

  async begin(): Promise<void> {
    await this.#data.begin();
    await this.#model.begin();
  }

  #use(learnt: Learnt | undefined): void {
    this.#compare.use(learnt);
    this.#take.use(learnt);
  }

  async #onModel(): Promise<void> {
    this.#use(undefined);
    await this.#adapter.onModel();
    this.#training.form.showsMethod(this.#adapter.opened === undefined);
    void this.#training.onModel(); // which says itself what fails, and may take as long as a run
    void this.#data.look();
    this.#plan.refresh();
  }

  #onSettings(): void {
    void this.#data.look(); // which leads to another plan
  }

  /** Folders and files that are dropped anywhere, or chosen: the page sees what they are. */
  #takeFiles(): void {
    const folder = byId("folder-input", HTMLInputElement);
    const choose = byId("choose-folder", HTMLButtonElement);
    choose.addEventListener("click", () => {
      if (!("showDirectoryPicker" in globalThis)) return folder.click();
      void attempt("model-error", async () => {
        const handle = await (globalThis as unknown as Picking)
          .showDirectoryPicker({ mode: "read" })
          .catch(ifDismissed);
        if (handle) await this.#takeGiven(await filesOfFolder(handle));
      });
    });
    for (const input of [folder, byId("model-file", HTMLInputElement)])
      input.addEventListener("change", () => {
        const files = Array.from(input.files ?? []);
        input.value = "";
        if (files.length > 0) void attempt("model-error", () => this.#takeGiven(filesOfList(files)));
      });
    addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return; // text that is dragged into a field
      event.preventDefault(); // the browser would open the file
      document.body.classList.add("dropping");
    });
    addEventListener("dragleave", ({ relatedTarget }) => {
      if (relatedTarget === null) document.body.classList.remove("dropping");
    });
    addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      document.body.classList.remove("dropping");
      if (event.dataTransfer) void this.#takeDropped(filesOfDrop(event.dataTransfer));
    });
  }

  async #takeDropped(given: Promise<Given>): Promise<void> {
    await attempt("drop-error", async () => this.#takeGiven(await given));
    if (!byId("drop-error", HTMLElement).hidden)
      byId("drop-error", HTMLElement).scrollIntoView({ block: "center" });
  }

  async #takeGiven(given: Given): Promise<void> {
    for (const id of ["drop-error", "model-error", "adapter-error", "data-error"]) showError(id);
    const settled = await settleGiven(given);
    const { kind, files } = settled;
    if (kind === "rows") {
      const [[name, file] = ["", new Blob()]] = files;
      return this.#data.open(new File([file], name));
    }
    if (this.#isRunning)
      throw new Error("A model is learning. Stop it, or wait until it is done, and drop this again.");
    const section = kind === "model" ? "model-error" : "adapter-error";
    await attempt(section, async () => {
      if (kind === "model")
        return this.#model.openGiven({ ...settled, ...(given.handle && { handle: given.handle }) });
      await this.#adapter.open(settled);
      this.#training.form.show(await settingsOfAdapter(files));
    });
    byId("model-section", HTMLElement).scrollIntoView({ block: "nearest" });
  }
}

/** What Chromium adds. */
interface Picking {
  showDirectoryPicker(how: { mode: "read" }): Promise<FileSystemDirectoryHandle>;
}

const hasFiles = ({ dataTransfer }: DragEvent) => dataTransfer?.types.includes("Files") ?? false;

/** A picker that was closed without a choice is no error. */
function ifDismissed(error: unknown): undefined {
  if (!(error instanceof DOMException && error.name === "AbortError")) throw error;
}

async function start(): Promise<void> {
  if (!navigator.gpu) return showObstacle(browserAdvice());
  await claimTab();
  const [session, examples, heldOut] = await Promise.all([
    openSession(),
    fetchBundledExamples(),
    fetchHeldOut(),
  ]);
  describeDevice(session);
  await new Parts(session, examples, heldOut).begin();
}

ignoreStrayClicks();
start().catch((error) => {
  const isBrowser = error instanceof LoraError && error.kind === "no-adapter";
  showObstacle(
    isBrowser ? browserAdvice() : { title: "The page could not start", steps: plainWords(error).split("\n") },
  );
});
