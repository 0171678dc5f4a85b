import { integer, isWithin, number, objectOf, oneOf, type Rules } from "../util/options.ts";
import { BENDS, SCHEDULES, type ScheduleOptions, type ScheduleShape } from "./schedule.ts";

const isPositive = (value: unknown) => isWithin(value, { above: 0, max: 1e12 });
const isShare = (value: unknown) => isWithin(value, { min: 0, max: 1 });
const isBend = (value: unknown) => BENDS.some((bend) => bend === value);
const isCount = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;

const SHAPE: Readonly<Record<keyof ScheduleShape, (value: unknown) => boolean>> = {
  numCycles: isPositive,
  minLr: (value) => isWithin(value, { min: 0, max: 1000 }),
  minLrRate: isShare,
  lrEnd: (value) => isWithin(value, { min: 0, max: 1000 }),
  power: isPositive,
  timescale: isPositive,
  numDecaySteps: isCount,
  numStableSteps: isCount,
  minLrRatio: isShare,
  warmupType: isBend,
  decayType: isBend,
};

/** Whether a name and a value are an option of some shape. */
export function isShapeOption(name: string, value: unknown): boolean {
  return Object.hasOwn(SHAPE, name) && SHAPE[name as keyof ScheduleShape](value);
}

/** Names of the options of shapes. */
export const SHAPE_KEYS = Object.keys(SHAPE);

/** What the options of schedules have to be. */
export const SCHEDULE_RULES: Rules<Required<Omit<ScheduleOptions, "learningRate" | "totalSteps">>> = {
  schedule: oneOf(SCHEDULES, "lr_scheduler_type", "lrSchedulerType", "lr_scheduler"),
  scheduleShape: objectOf(`options of a schedule: ${SHAPE_KEYS.join(", ")}`, (shape) =>
    Object.entries(shape).every(([name, value]) => isShapeOption(name, value)),
  ),
  warmupSteps: integer({ min: 0 }),
  warmupRatio: number({ min: 0, max: 1 }),
};
