import type { Device } from "../../gpu/device.ts";
import { measureUpload } from "../../gpu/offload.ts";
import { probeMemory } from "../../gpu/probe.ts";
import { type DeviceFacts, factsOf, TYPICAL_GPU } from "../../gpu/shape-device.ts";
import type { FileSource } from "../../io/files/files.ts";
import type { LoadedModel } from "../../load/model.ts";
import { openNodeDevice } from "../../platform/node-gpu.ts";
import type { Measurable } from "../../train/plan/measurable.ts";
import { type PlanOptions, planFiles } from "../../train/plan/plan-training.ts";
import { attempt, fail, failAll, LoraError, Problems } from "../../util/fail.ts";
import { describeDevice } from "../format.ts";
import { chooseHead } from "../labels.ts";
import { methodOf } from "../method-table.ts";
import { adapterReference, openSource, quantizationOf } from "../open.ts";
import type { Settings } from "../options.ts";
import { plannedOptions } from "../plan/options.ts";
import { describePlan } from "../plan/text.ts";
import type { PLAN_OPTIONS } from "../tables/plan.ts";
import type { BoundRows, TaskRows } from "../task.ts";
import { TASKS } from "../tasks.ts";
import { printLines, type Terminal } from "../terminal.ts";
import type { TrainSettings } from "../training-run.ts";

/** Settings of a plan: those of train, and some of its own. */
export type PlanSettings = TrainSettings &
  Partial<Pick<Settings<typeof PLAN_OPTIONS>, "device" | "probe" | "max_new_tokens" | "json">>;

/**
 * `webgpu-lora plan`, and `train --dry-run`: what memory a run would take, without its weights.
 * @returns the exit code: 1 where it would not run
 */
export async function runPlan({ settings }: { settings: PlanSettings }, terminal: Terminal): Promise<number> {
  const { json = false, probe = false, memory } = settings;
  const tell = (line: string) => (json ? terminal.note(line) : terminal.print(line));
  const inputs = await openInputs(settings, tell);
  const { device, facts } = inputs;
  const options = { ...(await planOptions(settings, inputs, tell)), device: facts };
  let plan = await planFiles(inputs.files, options);
  const { software } = facts.info;
  const given = probe && device ? await probeMemory(device, plan.use.total, !software) : undefined;
  // What the device gives counts, where it is less than what somebody says.
  if (given !== undefined && given < Math.min(plan.use.total, memory ?? Number.POSITIVE_INFINITY))
    plan = await planFiles(inputs.files, { ...options, memory: given });
  const offloads = plan.offload !== undefined || plan.advice.some(({ change }) => change === "offload");
  const uploadSpeed = device && offloads ? await measureUpload(device) : undefined;
  device?.close();
  const told = { given, software, uploadSpeed };
  if (json) printLines(terminal.print, JSON.stringify({ ...plan, ...told }, null, 2));
  else for (const line of describePlan(plan, told)) terminal.print(line);
  return plan.problems.length === 0 ? 0 : 1;
}

/** What a plan is made of. */
interface Inputs {
  readonly files: FileSource;
  readonly data: TaskRows | undefined;
  /** Undefined where the plan is for another one. */
  readonly device: Device | undefined;
  readonly facts: DeviceFacts;
}

/** @throws LoraError listing all that is not there */
async function openInputs(settings: PlanSettings, tell: (line: string) => void): Promise<Inputs> {
  const { model, revision, token, verify, data, task } = settings;
  const onWarning = (line: string) => tell(`warning: ${line}`);
  const problems = new Problems();
  const read = data.length > 0 ? () => TASKS[task].readTraining(settings) : async () => undefined;
  const [files, rows] = await Promise.all([
    attempt(problems, () => openSource(model, { revision, token, verify, onWarning })),
    attempt(problems, read),
    attempt(problems, async () => quantizationOf(settings)),
    attempt(problems, async () => methodOf(settings.method, settings)),
  ]);
  failAll("plan", problems);
  const device = await openPlanned(settings.device, tell);
  const facts = device ? factsOf(device) : TYPICAL_GPU;
  tell(device ? describeDevice(device.info) : `Device: ${facts.info.name}`);
  return { files: files as FileSource, data: rows?.train, device, facts };
}

/** The device that is here, unless another one is planned for, or there is none. */
async function openPlanned(
  which: PlanSettings["device"],
  tell: (line: string) => void,
): Promise<Device | undefined> {
  if (which === "gpu") return undefined;
  try {
    return await openNodeDevice();
  } catch (error) {
    if (which === "here" || !(error instanceof LoraError) || error.kind !== "no-adapter") throw error;
    tell("No device is here: the plan is for a typical GPU.");
    return undefined;
  }
}

async function planOptions(
  settings: PlanSettings,
  { files, data }: Inputs,
  tell: (line: string) => void,
): Promise<PlanOptions> {
  const { task, labels: names, seed, max_new_tokens } = settings;
  const resumed = adapterReference(settings.resume_adapter_file, settings);
  const labels = data?.labels ?? (names.length > 0 ? names : undefined);
  const head = chooseHead({
    ...{ task, given: names, adapters: resumed ? [resumed] : [], data: labels, seed },
    replication: settings.layer_replication,
  });
  const bound = new Bound(data, settings, tell);
  const { files: _, ...chosen } = await head(files);
  return {
    ...plannedOptions(settings, resumed),
    ...chosen,
    ...(data && { rows: (model) => bound.measurable(model) }),
    ...(max_new_tokens !== undefined && { maxNewTokens: max_new_tokens }),
    onWarning: (line) => tell(`warning: ${line}`),
  };
}

/** Rows that are read and tokenised once, for every model that a plan compares. */
class Bound {
  #rows: Promise<BoundRows> | undefined;
  readonly #bind: (model: LoadedModel) => Promise<BoundRows>;

  constructor(data: TaskRows | undefined, settings: PlanSettings, tell: (line: string) => void) {
    this.#bind = (model) => data?.bind(model, settings, tell) ?? fail("data", "there is none");
  }

  async measurable(model: LoadedModel): Promise<Measurable> {
    this.#rows ??= this.#bind(model);
    return (await this.#rows).measurable(model);
  }
}
