import type { Advice } from "../../train/plan/advice.ts";
import type { MemoryRow } from "../../train/plan/memory-rows.ts";
import type { TrainingPlan } from "../../train/plan/plan-training.ts";
import { formatBytes } from "../../util/bytes.ts";
import { count, describeOffload } from "../format.ts";
import { flagName } from "../settings.ts";

/** What a trial allocation came to. */
export interface Trial {
  /** Bytes that the device gave; undefined where nobody asked it. */
  readonly given: number | undefined;
  /** Its memory is the computer's, and was not written to. */
  readonly software: boolean;
  /** Bytes a second that it copies from the host's memory; undefined where nobody measured that. */
  readonly uploadSpeed: number | undefined;
}

/** A plan, in lines. */
export function describePlan(plan: TrainingPlan, trial: Trial): string[] {
  const { model, parameters, trainable, batchSize, maxLength, use, limits, problems } = plan;
  const rows = maxLength === undefined ? "images" : `rows of ${count(maxLength)} tokens`;
  const { largestBuffer, largestBinding: binding } = use;
  return [
    `Model: ${model}, ${count(parameters)} parameters, ${count(trainable)} trained`,
    `Batch: ${count(batchSize)} ${rows}`,
    "",
    ...tableOf(use.rows),
    line("in use at the peak", use.peak),
    line("kept to be used again", use.slack),
    line("staging and parameters of dispatches", use.staging),
    line("all", use.total),
    line("in use at the peak of an evaluation", plan.passes.evaluation),
    ...(plan.passes.generation === undefined
      ? []
      : [line("in use at the peak of generation", plan.passes.generation)]),
    "",
    `Largest buffer ${formatBytes(largestBuffer)} of ${formatBytes(limits.buffer)}; ` +
      `largest binding ${formatBytes(binding.bytes)} of ${formatBytes(limits.binding)} (${binding.kernel})`,
    ...(plan.offload ? [describeOffload(plan.offload, trial.uploadSpeed)] : []),
    ...describeTrial(trial, use.total),
    ...describeMemory(plan),
    ...problems.map((problem) => `It would not run: ${problem}`),
    ...describeLargest(plan),
    ...describeAdvice(plan.advice, problems.length > 0, trial.uploadSpeed),
  ];
}

const NAMES: Readonly<Record<string, string>> = {
  base: "base model",
  adapter: "adapter",
  gradients: "gradients",
  optimiser: "optimiser",
  textures: "copies in textures",
  activations: "saved activations",
  loss: "a chunk of the loss",
  backward: "backward pass",
};

function tableOf(rows: readonly MemoryRow[]): string[] {
  const ofActivations = rows.filter(({ what }) => what === "activations");
  const all = ofActivations.reduce((sum, { bytes }) => sum + bytes, 0);
  return rows.flatMap((row) => {
    const name = NAMES[row.what] ?? row.what;
    if (row.kind === undefined) return [line(name, row.bytes)];
    const head = row === ofActivations[0] ? [line(name, all)] : [];
    return [...head, line(`  ${row.kind}`, row.bytes)];
  });
}

const line = (name: string, bytes: number) => `  ${name.padEnd(38)}${formatBytes(bytes).padStart(12)}`;

function describeTrial({ given, software }: Trial, total: number): string[] {
  if (given === undefined) return [];
  const got = given < total ? `${formatBytes(given)} of ${formatBytes(total)}` : `all ${formatBytes(total)}`;
  const note = software
    ? " (a software device promises the computer's memory: whether it is free nobody knows)"
    : "";
  return [`Trial: the device gave ${got}${note}`];
}

function describeMemory({ memory, use, problems }: TrainingPlan): string[] {
  if (memory === undefined)
    return ["How much memory the device has WebGPU does not tell: give --memory 8GB, or --probe"];
  return problems.length > 0 ? [] : [`It fits: ${formatBytes(use.total)} of ${formatBytes(memory)}`];
}

function describeLargest({ largest, batchSize, maxLength }: TrainingPlan): string[] {
  const { batchSize: rows, maxLength: tokens } = largest;
  const of = batchSize === 1 ? "one at a time" : `${count(batchSize)} at a time`;
  const ofRows = rows === 0 ? ["no batch of such rows"] : [`${count(rows ?? 0)} such rows at a time`];
  const ofTokens = tokens === 0 ? [`no rows, ${of}`] : [`rows of ${count(tokens ?? 0)} tokens, ${of}`];
  const both = [
    ...(rows === undefined ? [] : ofRows),
    ...(tokens === undefined || maxLength === undefined ? [] : ofTokens),
  ];
  return both.length === 0 ? [] : [`What fits at most: ${both.join("; ")}`];
}

/** What settings are called on the command line, where that is another word. */
const FLAGS: Readonly<Record<string, string>> = {
  batchSize: "per_device_train_batch_size",
  gradientAccumulationSteps: "gradient_accumulation_steps",
  gradientCheckpointing: "gradient_checkpointing",
  activationBits: "activation_bits",
  maxLength: "max_length",
  r: "lora_r",
};

/** The flags of a change. */
export function adviceFlags({ settings }: Advice): string {
  const words = Object.entries(settings).map(([name, value]) => {
    const flag = flagName(FLAGS[name] ?? name);
    return value === true ? flag : `${flag} ${value}`;
  });
  return words.join(" ");
}

function describeAdvice(advice: readonly Advice[], isNeeded: boolean, uploadSpeed?: number): string[] {
  if (advice.length === 0) return isNeeded ? ["Nothing that the engine can do makes it fit."] : [];
  const lines = advice.map((change) => {
    const total = formatBytes(change.total).padStart(10);
    return `  ${adviceFlags(change).padEnd(66)} ${total}${isNeeded && change.fits ? "  fits" : ""}`;
  });
  const isEnough = advice.some(({ fits }) => fits);
  return [
    isNeeded ? "To make it fit, one after the other:" : "To save memory, one after the other:",
    ...lines,
    ...advice.flatMap(({ change, offload }) =>
      change === "offload" && offload ? [`  ${describeOffload(offload, uploadSpeed)}`] : [],
    ),
    ...(isNeeded && !isEnough ? ["  All of that is not enough: take a smaller model."] : []),
  ];
}
