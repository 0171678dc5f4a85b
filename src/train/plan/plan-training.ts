import { lora } from "../../adapters/lora/lora.ts";
import type { Method } from "../../adapters/method.ts";
import type { TrainingTask } from "../../data/task-names.ts";
import { defaultMaxLength } from "../../data/tokenize/tokenize-options.ts";
import { Device } from "../../gpu/device.ts";
import { type DeviceFacts, factsOf, TYPICAL_GPU } from "../../gpu/shape-device.ts";
import type { FileSource } from "../../io/files/files.ts";
import { countParameters } from "../../load/create.ts";
import {
  HEAD_RULES,
  type HeadChoice,
  type LoadedModel,
  OPEN_RULES,
  type OpenOptions,
} from "../../load/model.ts";
import type { OffloadedLayers } from "../../load/offload.ts";
import type { Task } from "../../models/model.ts";
import { isLeaf, modules } from "../../nn/module.ts";
import { formatBytes } from "../../util/bytes.ts";
import {
  callback,
  checkOptions,
  either,
  flag,
  integer,
  objectOf,
  pickOptions,
  type Rules,
  withDefaults,
} from "../../util/options.ts";
import { plannedTask } from "../tasks/plan-task.ts";
import type { TaskChoice } from "../tasks/tasks.ts";
import { TASK } from "../text.ts";
import { TRAINER_DEFAULTS } from "../trainer-options.ts";
import { type Advice, adviceFor } from "./advice.ts";
import { MEASURED_RULES, type MeasuredOptions, type MemoryUse } from "./measure.ts";
import {
  type ExampleRows,
  type Measured,
  type OpenAdapter,
  type OpenRows,
  type OtherPasses,
  type OtherPassOptions,
  type Scenario,
  Subject,
  within,
} from "./scenario.ts";
import { largestThatFits, type Sized } from "./search.ts";

/** What is planned: a run's options, and what it runs on. */
export interface PlanOptions
  extends MeasuredOptions,
    Omit<HeadChoice<Task>, "task">,
    OpenOptions,
    OtherPassOptions {
  /** What is learnt, as in `train`; what the model's files are for unless given. */
  task?: TaskChoice<TrainingTask>;
  /** What is trained, or what puts an adapter on the model; `lora()` unless given. */
  method?: Method | OpenAdapter;
  /** Rows to learn from; unless given, every row has `maxLength` tokens, and everything is learnt. */
  rows?: OpenRows;
  /** Makes rows as long as they can be, for what is no task of a head of its own; those of the head's task unless given. */
  examples?: ExampleRows;
  /** The device that it would run on, or what is known of it; a typical GPU unless given. */
  device?: Device | DeviceFacts;
  /** Bytes of memory that it has; WebGPU tells nobody. */
  memory?: number | undefined;
  /** Look for the largest batch and length, and for advice; true unless given. */
  search?: boolean;
}

/** Whether a run fits onto a device, and what would. */
export interface TrainingPlan {
  /** What the model is called. */
  readonly model: string;
  /** What the device is called. */
  readonly device: string;
  /** Parameters of the base model. */
  readonly parameters: number;
  /** Parameters that are trained. */
  readonly trainable: number;
  /** Rows of a micro-batch. */
  readonly batchSize: number;
  /** Tokens of the longest row; undefined where rows have none, as images do. */
  readonly maxLength: number | undefined;
  /** Bytes that the device has, where that is known. */
  readonly memory: number | undefined;
  /** The memory that it would take. */
  readonly use: MemoryUse;
  /** Most that is held while rows are evaluated during the run, and while a text is written, where that is asked for; bytes. */
  readonly passes: OtherPasses;
  /** What stays on the host, where something does: every pass brings it to the device, and a step has two for each micro-batch. */
  readonly offload?: OffloadedLayers | undefined;
  /** What the device allows, bytes. */
  readonly limits: { readonly buffer: number; readonly binding: number };
  /** Why it would not run; empty where it would, as far as is known. */
  readonly problems: readonly string[];
  /**
   * The most rows, and tokens of the longest row, that would fit, each with the rest as it is: 0 where nothing does. Absent
   * where they were not looked for, and where only the model, or a batch of 131072 tokens, bounds them.
   */
  readonly largest: { readonly batchSize?: number; readonly maxLength?: number };
  /** What would save memory, by what it costs, each on top of those before: until it fits, where it does not. */
  readonly advice: readonly Advice[];
}

const PASS_RULES: Rules<OtherPassOptions> = {
  evalBatchSize: integer({ min: 1 }, "per_device_eval_batch_size", "perDeviceEvalBatchSize"),
  maxNewTokens: integer({ min: 1 }, "max_tokens", "maxTokens"),
};

/** What the options have to be. */
export const PLAN_RULES: Rules<PlanOptions> = {
  ...MEASURED_RULES,
  ...HEAD_RULES,
  ...OPEN_RULES,
  task: TASK,
  method: either(
    objectOf("a method, such as lora()", (method) => "sites" in method),
    callback(),
    "peft_config",
  ),
  rows: callback(),
  examples: callback(),
  device: objectOf("a device, or what is known of one", (device) => "info" in device && "limits" in device),
  memory: integer({ min: 1 }),
  search: flag(),
  ...PASS_RULES,
};

/**
 * What memory a run would take, to the byte as the pool counts it: the same code runs on a device that only counts. Of the
 * weights the headers are read, or config.json alone where there are none.
 * @throws LoraError for options outside their range, and for a model that could not be trained, as `openTaskModel` does
 */
export async function planFiles(files: FileSource, options: PlanOptions = {}): Promise<TrainingPlan> {
  checkOptions("planFiles", options, PLAN_RULES);
  const { device = TYPICAL_GPU, memory, search = true, task, ...given } = options;
  const facts = device instanceof Device ? factsOf(device) : device;
  const subject = new Subject(files, { ...(task && (await plannedTask(task))), ...given, facts });
  const { model, config } = await subject.model(pickOptions(options, OPEN_RULES));
  const isQuantised = options.quantization === undefined && holdsQuantised(model);
  const longest = await longestRow(model, options);
  const scenario = scenarioOf(options, longest ?? 0);
  const bounds = { buffer: facts.limits.maxBufferSize, memory };
  const judge = async (changed: Scenario, of?: "examples") => {
    const isShorter = changed.maxLength !== scenario.maxLength;
    const measured = await subject.measure(changed, of ?? (isShorter ? "examples" : "data"));
    const problems = problemsOf(measured, bounds);
    return { ...measured, problems, fits: problems.length === 0 };
  };
  const { trainable, offload, problems, fits, refusal: _, ...use } = await judge(scenario);
  const passes = await passesOf(subject, scenario, options, use);
  const examine = (changed: Partial<Scenario>) => judge({ ...scenario, ...changed }, "examples");
  return {
    ...{ model: model.name, device: facts.info.name, memory, trainable, offload, use, passes },
    problems: [...problems, ...passProblems(passes, use, memory)],
    ...{ batchSize: scenario.batchSize, maxLength: longest },
    parameters: countParameters(model.device, config, model.task),
    limits: { buffer: bounds.buffer, binding: facts.limits.maxStorageBufferBindingSize },
    largest: search ? await largestOf(model, scenario, memory, examine) : {},
    advice: search
      ? await adviceFor(scenario, model.task, use.total, { judge, memory, stops: !fits, isQuantised })
      : [],
  };
}

/** Whether some of a model's matrices are held in few bits. */
function holdsQuantised({ root }: LoadedModel): boolean {
  return [...modules(root)]
    .filter(isLeaf)
    .some(({ tensors }) => Object.values(tensors).some(({ scales }) => scales));
}

/** With what a run holds all the time. */
async function passesOf(
  subject: Subject,
  scenario: Scenario,
  options: OtherPassOptions,
  { rows }: MemoryUse,
): Promise<OtherPasses> {
  const { evaluation, generation } = await subject.otherPasses(scenario, pickOptions(options, PASS_RULES));
  const held = rows.filter(({ what }) => HELD.includes(what)).reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    evaluation: held + evaluation,
    ...(generation !== undefined && { generation: held + generation }),
  };
}

/** What stays between two steps; see `MemoryRow`. */
const HELD: readonly string[] = ["base", "adapter", "gradients", "optimiser", "textures"];

function passProblems(passes: OtherPasses, { peak, total }: MemoryUse, memory: number | undefined): string[] {
  if (memory === undefined || total > memory) return []; // which is told already
  const beside = total - peak;
  return Object.entries(passes).flatMap(([what, bytes]) =>
    bytes + beside > memory
      ? [`${formatBytes(bytes + beside)} are needed for the ${what}, and there are ${formatBytes(memory)}`]
      : [],
  );
}

/** Tokens of the longest row; undefined where rows have none. */
async function longestRow(
  model: LoadedModel,
  { rows, maxLength, packing }: PlanOptions,
): Promise<number | undefined> {
  if (model.task === "image-classification") return undefined;
  const given = await rows?.(model);
  const length = given?.maxLength ?? maxLength ?? defaultMaxLength(model.config.maxPositions);
  return within(model, packing ? length : (given?.longest ?? length));
}

function scenarioOf(options: PlanOptions, maxLength: number): Scenario {
  const { method = lora(), quantization, offload, maxNewTokens, ...given } = options;
  const { batchSize, gradientAccumulationSteps, gradientCheckpointing, activationBits } = withDefaults(
    TRAINER_DEFAULTS,
    given,
  );
  return {
    ...pickOptions(given, MEASURED_RULES),
    ...{ batchSize, gradientAccumulationSteps, gradientCheckpointing, activationBits, maxLength, method },
    ...{ quantization, offload, maxNewTokens },
  };
}

/** Why a device with these limits and this memory would not run it. */
function problemsOf(
  { refusal, largestBuffer, total }: Measured,
  { buffer, memory }: { readonly buffer: number; readonly memory: number | undefined },
): string[] {
  return [
    ...(refusal === undefined ? [] : [refusal]),
    ...(largestBuffer > buffer
      ? [`a buffer of ${formatBytes(largestBuffer)} is needed, and one may have ${formatBytes(buffer)} here`]
      : []),
    ...(memory !== undefined && total > memory
      ? [`${formatBytes(total)} are needed, and there are ${formatBytes(memory)}`]
      : []),
  ];
}

/** Micro-batches of more tokens are not looked for: nobody trains on as many at a time. */
const MOST_TOKENS = 2 ** 17;
/** Nor are those of more images. */
const MOST_IMAGES = 1024;
/** Lengths are looked for in steps of so many tokens. */
const LENGTH_STEP = 64;

async function largestOf(
  model: LoadedModel,
  { batchSize, maxLength }: Scenario,
  room: number | undefined,
  examine: (changed: Partial<Scenario>) => Promise<Sized>,
): Promise<TrainingPlan["largest"]> {
  const hasTokens = model.task !== "image-classification";
  const least = model.task === "sentence-embedding" ? 2 : 1;
  const mostRows = hasTokens ? Math.max(least, Math.floor(MOST_TOKENS / maxLength)) : MOST_IMAGES;
  const rows = await largestThatFits((n) => examine({ batchSize: n }), { least, most: mostRows, room });
  const ofRows = { ...(rows !== mostRows && { batchSize: rows ?? 0 }) };
  if (!hasTokens) return ofRows;
  const mostTokens = Math.max(LENGTH_STEP, Math.floor(MOST_TOKENS / batchSize));
  const longest = Math.min(within(model, Number.MAX_SAFE_INTEGER), mostTokens);
  const lengthOf = (steps: number) => Math.min(steps * LENGTH_STEP, longest);
  const most = Math.ceil(longest / LENGTH_STEP);
  const steps = await largestThatFits((n) => examine({ maxLength: lengthOf(n) }), { least: 1, most, room });
  const length = lengthOf(steps ?? 0);
  return { ...ofRows, ...(length !== longest && { maxLength: length }) };
}
