import type { Problems } from "../util/fail.ts";
import { isObject } from "../util/json.ts";
import { shown } from "../util/shown.ts";

/** Names and values of a configuration. */
type Entries = readonly (readonly [name: string, value: unknown])[];

/** A setting of mlx-lm's by the name and the value that it has here. */
interface Meant {
  readonly key: string;
  /** As mlx-lm writes it. */
  readonly name: string;
  readonly value: unknown;
}

/** What a configuration says, but for the settings that were put in place of mlx-lm's. */
interface WithoutMlx {
  readonly others: Entries;
  readonly meant: readonly Meant[];
}

/**
 * mlx-lm's settings that mean something only together with others: its `iters` and what counts as they do, which are micro-batches
 * where `grad_accumulation_steps` is above 1; `optimizer_config`; and `lr_schedule`, whose decay has a length of its own.
 * @param problems takes what cannot be done as it says
 */
export function readMlxSettings(given: Entries, problems: Problems): WithoutMlx {
  const others = inUpdates(given, problems);
  const all = new Map(others);
  const optimizer = optimizerOf(all, problems);
  const schedule = scheduleOf(all, problems);
  const replaced = new Set([
    "optimizer_config",
    "lr_schedule",
    ...(schedule.length > 0 ? ["learning_rate"] : []),
  ]);
  return { others: others.filter(([name]) => !replaced.has(name)), meant: [...optimizer, ...schedule] };
}

const ACCUMULATION = "grad_accumulation_steps";
/** What mlx-lm counts in micro-batches beside `iters`. */
const COUNTED = ["steps_per_report", "steps_per_eval", "save_every"];

/** The counts in updates. As in mlx-lm the micro-batches behind the last whole update are lost; intervals are rounded up. */
function inUpdates(given: Entries, problems: Problems): Entries {
  const parts = new Map(given).get(ACCUMULATION);
  if (typeof parts !== "number" || !Number.isSafeInteger(parts) || parts < 2) return given;
  return given.map(([name, value]) => {
    if (typeof value !== "number" || value <= 0) return [name, value];
    if (name === "iters" && value < parts)
      problems.push(
        `iters is ${value}: these are micro-batches, and ${ACCUMULATION} ${parts} of them are one update`,
      );
    else if (name === "iters") return [name, Math.floor(value / parts)];
    return [name, COUNTED.includes(name) ? Math.ceil(value / parts) : value];
  });
}

/** What an optimiser of mlx-lm is told, by the names of the options here; undefined is what cannot be said here. */
const OPTIMIZER_KEYS: Readonly<Record<string, (value: unknown) => readonly [string, unknown][] | undefined>> =
  {
    betas: (value) =>
      Array.isArray(value) && value.length === 2
        ? [
            ["adam_beta1", value[0]],
            ["adam_beta2", value[1]],
          ]
        : undefined,
    eps: (value) => [["adam_epsilon", value]],
    weight_decay: (value) => [["weight_decay", value]],
    momentum: (value) => [["momentum", value]],
    nesterov: (value) => [["nesterov", value]],
    dampening: (value) => (value === 0 ? [] : undefined),
    bias_correction: (value) => (value === true ? [] : undefined),
  };

/** Of `optimizer_config`, which has the options of each optimiser below its name, those of the one that is chosen. */
function optimizerOf(given: ReadonlyMap<string, unknown>, problems: Problems): Meant[] {
  const config = given.get("optimizer_config") ?? {};
  const which = String(given.get("optimizer") ?? given.get("optim") ?? "adamw");
  const chosen = isObject(config) ? (config[which] ?? {}) : undefined;
  if (!isObject(chosen)) {
    problems.push(`optimizer_config is ${shown(config)}: write the options of an optimiser below its name`);
    return [];
  }
  return Object.entries(chosen).flatMap(([part, value]): Meant[] => {
    const name = `optimizer_config.${which}.${part}`;
    const settings = Object.hasOwn(OPTIMIZER_KEYS, part) ? OPTIMIZER_KEYS[part]?.(value) : undefined;
    if (!settings) problems.push(`${name} is ${shown(value)}: ${OPTIMIZER_HELP}`);
    return (settings ?? []).map(([key, value]) => ({ key, name, value }));
  });
}

const OPTIMIZER_HELP =
  "it takes betas, eps, weight_decay, momentum and nesterov; moments are always corrected for their start, and nothing is dampened";

const SCHEDULE_HELP =
  "write name: cosine_decay or linear_schedule, arguments: [rate, steps, end] or [rate, end, steps], and warmup; or give lr_scheduler_type, warmup_steps and lr_scheduler_kwargs";

/**
 * `lr_schedule` as a schedule of this run's length: a decay that is longer than the run is cut off where the run ends. mlx-lm holds the
 * peak for one step more behind a warm-up.
 */
function scheduleOf(given: ReadonlyMap<string, unknown>, problems: Problems): Meant[] {
  const schedule = given.get("lr_schedule");
  if (schedule === undefined) return [];
  const read = readSchedule(schedule);
  const iters = given.get("iters") ?? given.get("max_steps");
  const why = typeof read === "string" ? read : unlikeHere(read, iters);
  if (why !== undefined || typeof read === "string") {
    problems.push(`lr_schedule ${why}`);
    return [];
  }
  const { name, rate, end, steps, warmup } = read;
  const share = (Number(iters) - warmup) / steps;
  const shape =
    name === "cosine_decay"
      ? { type: "cosine_with_min_lr", kwargs: { min_lr: end, num_cycles: share / 2 } }
      : { type: "polynomial", kwargs: { lr_end: rate + (end - rate) * share, power: 1 } };
  const values = {
    ...{ learning_rate: rate, lr_scheduler_type: shape.type, lr_scheduler_kwargs: shape.kwargs },
    ...(warmup > 0 && { warmup_steps: warmup }),
  };
  return Object.entries(values).map(([key, value]) => ({ key, name: "lr_schedule", value }));
}

/** A decay of the learning rate from `rate` to `end` within `steps` updates behind the warm-up. */
interface Decay {
  readonly name: "cosine_decay" | "linear_schedule";
  readonly rate: number;
  readonly end: number;
  readonly steps: number;
  readonly warmup: number;
  readonly warmupInit: number;
}

/** @returns a text that says what is wrong with it */
function readSchedule(value: unknown): Decay | string {
  if (!isObject(value)) return `is ${shown(value)}: ${SCHEDULE_HELP}`;
  const { name, arguments: words, warmup = 0, warmup_init: warmupInit = 0, ...others } = value;
  const [other] = Object.keys(others);
  if (other !== undefined) return `has ${shown(other)}, which is unknown: ${SCHEDULE_HELP}`;
  if (name !== "cosine_decay" && name !== "linear_schedule")
    return `has the name ${shown(name)}: ${SCHEDULE_HELP}`;
  const list = Array.isArray(words) ? words : [];
  const [rate, steps, end = 0] = name === "cosine_decay" ? list : [list[0], list[2], list[1]];
  const numbers = [rate, steps, end, warmup, warmupInit].map(Number);
  if (list.length > 3 || !numbers.every((x) => Number.isFinite(x) && x >= 0) || !(Number(steps) >= 1))
    return `has the arguments ${shown(words)} and a warm-up of ${shown(warmup)}: ${SCHEDULE_HELP}`;
  const [peak = 0, length = 1, last = 0, rise = 0, start = 0] = numbers;
  return { name, rate: peak, steps: length, end: last, warmup: rise, warmupInit: start };
}

/** What a schedule here would do otherwise; undefined where that is nothing. */
function unlikeHere({ rate, end, steps, warmup, warmupInit }: Decay, iters: unknown): string | undefined {
  if (typeof iters !== "number") return "is counted in steps: give iters too";
  if (end >= rate) return `rises from ${rate} to ${end}: a schedule falls; give lr_scheduler_type`;
  // Less than what the first step of the warm-up adds makes no difference that a schedule from 0 has not, too.
  if (warmup > 0 && warmupInit > rate / warmup)
    return `has warmup_init ${warmupInit}: the learning rate rises from 0; leave it out`;
  if (iters <= warmup) return `has a warm-up of ${warmup} steps, and the run ${iters}: give a shorter one`;
  if (iters - warmup > steps)
    return `ends after ${steps} steps, and ${iters - warmup} follow the warm-up: give the decay as many, or lr_scheduler_type`;
  return undefined;
}
