// Part 3: a run in the worker, its curve, what the model says as it learns, and what of it outlives a reload.
import type { EngineAdapter, EngineRun } from "../../engine/engine.ts";
import type { LossNews } from "../../engine/protocol.ts";
import type { AdapterPart } from "./adapter-part.ts";
import { type DataPart, rowFiles } from "./data-part.ts";
import { attempt, byId, enable, note, say, showError } from "./dom.ts";
import {
  ADAPTER_FOLDER,
  adapterFolder,
  type CurvePoint,
  endRecord,
  forgetRun,
  isStillKept,
  type KeptRows,
  keepRecord,
  type RowReading,
  type RunRecord,
  type RunSettings,
  readingOf,
  readKeptRows,
  readRecord,
  STATE_FOLDER,
  writeRecord,
} from "./kept-run.ts";
import { LossChart } from "./loss-chart.ts";
import { engineMethod } from "./methods.ts";
import { isSameModel } from "./model-choice.ts";
import { choose, chosen } from "./page-state.ts";
import { plainText, plainWords } from "./plain-words.ts";
import { Sampler, showSamples } from "./sampler.ts";
import type { Learnt, OpenedModel, Session } from "./session.ts";
import { SettingsForm } from "./settings-form.ts";
import { Throughput } from "./throughput.ts";

/** Milliseconds between two writings of the curve. */
const KEEP_EVERY = 500;
/** How often a screen reader is told of the run. */
const NEWS = 4;

/** What the training part needs of the others. */
export interface TrainingNeeds {
  readonly data: DataPart;
  /** The adapter that a run goes on from. */
  readonly adapter: AdapterPart;
  /** Told that other settings were chosen. */
  onSettings(): void;
  /** Told whether a run is under way. */
  onRunning(on: boolean): void;
  /** What is asked as the model learns. */
  prompt(): string;
  /** Told what there is to ask and to take away; undefined where there is nothing. */
  onLearnt(learnt: Learnt | undefined): void;
}

/** Trains, and tells the other parts what there is to ask and to take away. */
export class TrainingPart {
  readonly #session: Session;
  readonly #needs: TrainingNeeds;
  /** The settings. */
  readonly form: SettingsForm;
  readonly #chart = new LossChart(byId("chart", HTMLElement));
  #adapter: EngineAdapter | undefined;
  #run: EngineRun | undefined;
  /** Who holds the run. */
  readonly #holds = new Set<"user" | "sampler">();
  /** Whether the run is to end, which may be asked for before there is one. */
  #isStopped = false;
  /** Whether something was learnt, or is, that a reload would lose. */
  #isUnkept = false;

  constructor(session: Session, needs: TrainingNeeds) {
    this.#session = session;
    this.#needs = needs;
    this.form = new SettingsForm(() => needs.onSettings());
    byId("settings", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void attempt("train-error", () => this.#begin());
    });
    byId("pause", HTMLButtonElement).addEventListener("click", () => this.#pause(!this.#holds.has("user")));
    byId("stop", HTMLButtonElement).addEventListener("click", () => this.#stop());
    addEventListener("beforeunload", (event) => {
      if (this.#isUnkept) event.preventDefault(); // the browser asks
    });
    this.#showRunning(false);
    // Until a model is open, whose settings would take the place of what was typed.
    this.form.enable(false);
    enable("train", false);
  }

  /**
   * Begins with a model that was opened: goes on with the run that was under way when the page was left, or shows the one
   * that was over, where it was of this model.
   */
  async onModel(): Promise<void> {
    const { opened, keeps } = this.#session;
    if (!opened) return;
    this.#adapter = undefined; // it went with the model before
    this.leave();
    this.form.fit(opened);
    this.#showRunning(false);
    const record = keeps ? readRecord() : undefined;
    if (!record || !isSameModel(record.model, opened.choice)) return;
    if (record.isOver && chosen().shows === "adapter") return;
    await attempt("train-error", async () => {
      if (!(await isStillKept(record))) {
        await forgetRun();
        throw new Error("The browser has cleared what it kept of the last run. Train anew.");
      }
      if (record.isOver) await this.#reload(record);
      else await this.#train(record, await readKeptRows(record), true);
    });
  }

  /** Shows no run any more: what is asked and taken away is of something else. */
  leave(): void {
    byId("run", HTMLElement).hidden = true;
    say("train-status", "");
    note("train-note");
    say("train", "Train");
  }

  async #begin(): Promise<void> {
    const { rows } = this.#needs.data;
    const settings = this.form.read();
    const { name: from } = this.#needs.adapter.opened ?? {};
    note("train-note");
    this.#showRunning(true);
    this.#showStep({ curve: [], settings }); // what is seen of the run before would be taken for this one's
    try {
      const model = (this.#session.opened as OpenedModel).choice;
      const learns = { from, rowsName: rows.name, ...readingOf(rows) };
      const begun = { model, settings, ...learns, prompt: this.#needs.prompt() };
      choose({ shows: "run" });
      const record: RunRecord = { ...begun, isOver: false, curve: [], samples: [] };
      await this.#train(record, rows, await this.#keep(record, rows));
    } finally {
      this.#showRunning(false);
    }
  }

  /** Whether a run is kept from now on; where it cannot be, the user is told, and it is not. */
  async #keep(record: RunRecord, rows: KeptRows): Promise<boolean> {
    if (!this.#session.keeps) return false;
    try {
      await keepRecord(record, rows);
      return true;
    } catch (error) {
      note("train-note", `This run is not kept, and a reload would lose it: ${plainWords(error)}`);
      return false;
    }
  }

  async #train(record: RunRecord, rows: KeptRows, keeps: boolean): Promise<void> {
    const { engine, model } = this.#session;
    const { method: _, rank: __, targets: ___, ...settings } = record.settings;
    this.form.show(record.settings);
    this.#showRunning(true);
    byId("run", HTMLElement).hidden = false;
    this.#showStep(record);
    showSamples(record);
    say("train-status", "Getting ready …");
    try {
      const adapter = await this.#attach(record);
      const run = engine.train(model, adapter, rowFiles(rows), {
        ...{ ...settings, schedule: "cosine", seed: 0 },
        warmupSteps: warmupOf(record.settings),
        ...(keeps && { keep: { folder: STATE_FOLDER } }),
        onWarning: (line) => note("train-note", plainText(line)),
        onCompile: (done, of) => this.#showCompiled(done, of),
        onLoss: (loss) => {
          note("train-note", lossInWords(loss, keeps));
          if (loss.waits) say("train-status", "Waiting for the graphics chip …");
        },
      });
      this.#run = run;
      if (this.#holds.size > 0) run.pause();
      if (this.#isStopped) run.stop();
      this.#isUnkept = !keeps;
      this.#needs.onLearnt(this.#learnt(record, adapter));
      await this.#follow(record, run, { adapter, keeps });
      const { step, stopped } = await run.ended;
      if (keeps) await this.#keepAdapter(record, adapter);
      const last = record.curve.at(-1)?.[1].toFixed(3) ?? "–";
      say("train-status", stopped ? `Stopped after step ${step}.` : `Done: ${step} steps, loss ${last}.`);
    } catch (error) {
      await this.#showFailed(record, keeps);
      throw error;
    } finally {
      this.#run = undefined;
      this.#showRunning(false);
    }
  }

  /** Where nothing was learnt, nothing stays of a run that failed; else what is kept does. */
  async #showFailed({ curve }: RunRecord, keeps: boolean): Promise<void> {
    const wasBegun = curve.length > 0;
    if (keeps) note("train-note"); // what it said was of a run that goes on
    say("train-status", wasBegun && keeps ? "What was learnt is kept: load the page again to go on." : "");
    if (wasBegun) return;
    if (keeps) await forgetRun(); // a reload would only fail again
    this.#isUnkept = false;
    this.#needs.onLearnt(undefined);
    byId("run", HTMLElement).hidden = true;
  }

  async #keepAdapter(record: RunRecord, adapter: EngineAdapter): Promise<void> {
    try {
      await this.#session.engine.saveAdapter(adapter, ADAPTER_FOLDER);
      await endRecord(record);
    } catch (error) {
      this.#isUnkept = true;
      note("train-note", `What was learnt could not be kept here, download it now: ${plainWords(error)}`);
    }
  }

  /** Shows the steps of a run as they come. */
  async #follow(
    record: RunRecord,
    run: EngineRun,
    { adapter, keeps }: { readonly adapter: EngineAdapter; readonly keeps: boolean },
  ): Promise<void> {
    const throughput = new Throughput();
    const sampler = new Sampler(this.#session, record, {
      model: this.#session.model.withAdapters([adapter]),
      hold: (on) => this.#hold("sampler", on),
    });
    let keptAt = 0;
    const keep = () => {
      keptAt = performance.now();
      writeRecord(record);
    };
    for await (const metrics of run) {
      addPoint(record.curve, [metrics.step, metrics.loss]);
      if (!this.#holds.has("user") && !this.#isStopped) say("train-status", "Learning …");
      this.#showStep(record, throughput.add(metrics));
      sampler.onStep(metrics.step);
      if (keeps && performance.now() - keptAt >= KEEP_EVERY) keep();
    }
    await sampler.end();
  }

  async #attach({ from, settings }: RunRecord): Promise<EngineAdapter> {
    const { engine, model } = this.#session;
    if (this.#adapter) await engine.release(this.#adapter);
    this.#adapter = undefined;
    this.#adapter =
      from === undefined
        ? await engine.attach(model, engineMethod(settings, model.facts.defaultTargets), { seed: 0 })
        : await this.#needs.adapter.again("default");
    return this.#adapter;
  }

  /** Puts the adapter of a run that is over on the model again. */
  async #reload(record: RunRecord): Promise<void> {
    const { engine, model } = this.#session;
    this.#adapter = await engine.loadAdapter(model, await adapterFolder(), { name: "default" });
    byId("run", HTMLElement).hidden = false;
    this.#showStep(record);
    showSamples(record);
    say("train-status", `Here is what was learnt before: ${record.curve.at(-1)?.[0] ?? 0} steps.`);
    this.#needs.onLearnt(this.#learnt(record, this.#adapter));
  }

  #learnt(record: RunRecord, adapter: EngineAdapter): Learnt {
    const { settings, rowsName: data, curve, samples, prompt } = record;
    const { model, device } = this.#session;
    const names = { model: model.facts.name, data, device: device.name };
    const method = engineMethod(settings, model.facts.defaultTargets);
    const set = { method, settings: settingNames(settings), reading: readingNames(record) };
    return { adapter, told: { ...names, ...set, curve, prompt, samples } };
  }

  #showCompiled(done: number, of: number): void {
    const waits = done === of && this.#holds.has("user");
    say("train-status", waits ? "Paused." : `Getting ready: ${done} of ${of} kernels compiled`);
  }

  #showStep({ curve, settings }: Pick<RunRecord, "curve" | "settings">, speed?: number): void {
    const [step, loss] = curve.at(-1) ?? [0, undefined];
    const of = settings.maxSteps;
    byId("train-progress", HTMLProgressElement).value = step / of;
    say("figure-step", `${step} of ${of}`);
    say("figure-loss", loss?.toFixed(3) ?? "–");
    say("figure-speed", speed === undefined ? "–" : Math.round(speed).toLocaleString("en"));
    this.#chart.show(curve, of);
    if (speed !== undefined && step % Math.ceil(of / NEWS) === 0)
      say("train-news", `Step ${step} of ${of}, loss ${loss?.toFixed(3)}`);
  }

  #pause(on: boolean): void {
    this.#hold("user", on);
    say("pause", on ? "Go on" : "Pause");
    say("train-status", on ? "Paused." : "Learning again.");
  }

  #hold(who: "user" | "sampler", on: boolean): void {
    if (on) this.#holds.add(who);
    else this.#holds.delete(who);
    if (this.#holds.size > 0) this.#run?.pause();
    else this.#run?.resume();
  }

  #stop(): void {
    say("train-status", "Stopping …");
    this.#isStopped = true;
    this.#run?.stop();
  }

  #showRunning(on: boolean): void {
    if (on) showError("train-error");
    const hadFocus = ["train", "pause", "stop"].includes(document.activeElement?.id ?? "");
    if (!on) {
      this.#holds.clear();
      this.#isStopped = false;
      say("pause", "Pause");
    }
    this.form.enable(!on);
    this.#needs.onRunning(on);
    enable("train", !on);
    for (const id of ["pause", "stop"]) byId(id, HTMLButtonElement).hidden = !on;
    byId("train", HTMLButtonElement).hidden = on;
    if (hadFocus) byId(on ? "pause" : "train", HTMLButtonElement).focus(); // of who has no mouse
    say("train", byId("run", HTMLElement).hidden ? "Train" : "Train anew");
  }
}

/** What is said of a graphics chip that was lost. */
function lossInWords({ step, waits }: LossNews, keeps: boolean): string {
  if (!waits) return `The graphics chip was lost. Learning goes on after step ${step}.`;
  const sooner = keeps ? " Loading the page anew may help at once: what was learnt is kept." : "";
  return `The graphics chip was lost, and the browser does not give it back yet. As soon as it does, learning goes on after step ${step}.${sooner}`;
}

const warmupOf = ({ maxSteps }: RunSettings) => Math.min(5, Math.floor(maxSteps / 10));

/** What a run is set to, by the command line's names. */
const settingNames = (settings: RunSettings) => ({
  max_steps: settings.maxSteps,
  per_device_train_batch_size: settings.batchSize,
  gradient_accumulation_steps: settings.gradientAccumulationSteps,
  max_length: settings.maxLength,
  ...(settings.gradientCheckpointing && { gradient_checkpointing: true }),
  ...(settings.activationBits === 8 && { activation_bits: 8 }),
  learning_rate: settings.learningRate,
  lr_scheduler_type: "cosine",
  warmup_steps: warmupOf(settings),
  seed: 0,
});

/** How the rows were read, where that was said. */
const readingNames = ({ columns, header, skipsBad }: RowReading) => ({
  ...(columns && { columns }),
  ...(header === false && { header }),
  ...(skipsBad && { on_bad_row: "skip" }),
});

/** Adds a step to a curve; a run that goes on repeats those behind its last checkpoint. */
function addPoint(curve: CurvePoint[], point: CurvePoint): void {
  while ((curve.at(-1)?.[0] ?? 0) >= point[0]) curve.pop();
  curve.push(point);
}
