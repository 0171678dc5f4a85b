import { fail, failAll, Problems } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import { createRandom, type Random } from "../../util/random.ts";
import type { OptionTable } from "../options.ts";
import { describeUnknown, keyOf } from "../settings.ts";

/** Values of some options of `train`, by their names. */
export type TrialValues = Readonly<Record<string, unknown>>;

/** What a sweep tries. */
export interface Sweep {
  /** What all trials have in common. */
  readonly common: TrialValues;
  /** What each has of its own. */
  readonly trials: readonly TrialValues[];
}

/** How trials are chosen. */
export interface SweepChoice {
  readonly search: "grid" | "random" | undefined;
  readonly trials: number | undefined;
  readonly seed: number;
  /** `name=a,b` */
  readonly grid: readonly string[];
}

/** More would be a mistake. */
const MOST_TRIALS = 10_000;

/** Keys of a file that are not train's. */
const OWN = ["sweep", "search", "trials"];

/**
 * The trials of a file and of `--grid`.
 * @param file what it holds; an empty object where there is none
 * @param table train's options, with those of all methods
 * @throws LoraError listing every name and value that is none
 */
export function readSweep(file: TrialValues, choice: SweepChoice, table: OptionTable): Sweep {
  const { sweep = {}, search: wanted, trials: count, ...common } = file;
  if (!isObject(sweep))
    fail("sweep", "is no list of names and values", "write `learning_rate: [1e-5, 1e-4]` below it");
  const space = named({ ...sweep, ...Object.fromEntries(choice.grid.map(readGrid)) }, table);
  const search = choice.search ?? wanted ?? (count === undefined ? "grid" : "random");
  if (search !== "grid" && search !== "random")
    fail("search", `is ${JSON.stringify(search)}`, "it is grid or random");
  if (Object.keys(space).length === 0) {
    fail("sweep", "nothing varies", "give --grid learning_rate=1e-5,1e-4, or `sweep:` in a file");
  }
  const trials = search === "grid" ? gridOf(space) : randomOf(space, choice.trials ?? count, choice.seed);
  checkTrials(trials, table);
  return { common, trials };
}

function readGrid(word: string): [string, unknown[]] {
  const [name = "", ...rest] = word.split("=");
  const values = rest.join("=").split(",").filter(Boolean);
  if (values.length === 0) fail("grid", `${JSON.stringify(word)} has no values`, "write name=value,value");
  return [name, values];
}

/** The same by the names of the table. @throws LoraError for names that no option has */
function named(space: TrialValues, table: OptionTable): TrialValues {
  const problems = new Problems();
  const entries = Object.entries(space).flatMap(([name, values]) => {
    const key = keyOf(table, name);
    if (key === undefined) problems.push(() => describeUnknown(table, name));
    if (key !== undefined && FIXED.includes(key))
      problems.push(`${name} is the sweep's own: it does not vary`);
    return key === undefined ? [] : [[key, values] as const];
  });
  failAll("sweep", problems, "train --help lists all options");
  return Object.fromEntries(entries);
}

const FIXED = ["output_dir", "resume", "force", ...OWN];

function gridOf(space: TrialValues): TrialValues[] {
  const lists = Object.entries(space).map(([name, values]): [string, readonly unknown[]] => {
    if (isObject(values)) fail("sweep", `${name} is a range`, "give a list of values, or search: random");
    return [name, Array.isArray(values) ? values : [values]];
  });
  const count = lists.reduce((product, [, { length }]) => product * length, 1);
  if (count > MOST_TRIALS)
    fail("sweep", `the grid has ${count} trials`, `at most ${MOST_TRIALS}; search: random`);
  return lists.reduce<TrialValues[]>(
    (trials, [name, values]) =>
      trials.flatMap((trial) => values.map((value) => ({ ...trial, [name]: value }))),
    [{}],
  );
}

/** Each value is drawn for itself, so that a further option, or trial, changes none of the others. */
function randomOf(space: TrialValues, count: unknown, seed: number): TrialValues[] {
  const isCount = Number.isSafeInteger(count) && Number(count) >= 1 && Number(count) <= MOST_TRIALS;
  if (!isCount)
    fail("trials", `is ${JSON.stringify(count ?? null)}`, `say how many, from 1 to ${MOST_TRIALS}`);
  const random = createRandom(seed);
  return Array.from({ length: Number(count) }, (_, i) => {
    const entries = Object.entries(space).map(([name, values]) => {
      return [name, draw(name, values, random.fork(name).fork(i))] as const;
    });
    return Object.fromEntries(entries);
  });
}

function draw(name: string, values: unknown, random: Random): unknown {
  if (!isObject(values)) return random.pick(Array.isArray(values) ? values : [values]);
  const { min, max, log = false, integer = false, ...others } = values;
  const isRange = typeof min === "number" && typeof max === "number" && min <= max && (!log || min > 0);
  if (!isRange || Object.keys(others).length > 0) {
    const help = "write { min: 1e-5, max: 1e-3, log: true }, with integer: true for whole numbers, or a list";
    fail("sweep", `${name} is ${JSON.stringify(values)}`, help);
  }
  const share = random.uniform();
  const value = log ? min * (max / min) ** share : min + (integer ? max + 1 - min : max - min) * share;
  return integer ? Math.min(max, Math.floor(value)) : Number(value.toPrecision(4));
}

/** @throws LoraError for values that train does not take */
function checkTrials(trials: readonly TrialValues[], table: OptionTable): void {
  const wrong = new Set<string>();
  for (const trial of trials) {
    for (const [name, value] of Object.entries(trial)) {
      const option = table[name];
      if (option && option.read(value) === undefined)
        wrong.add(`${name} is ${JSON.stringify(value)}, wanted ${option.wanted}`);
    }
  }
  failAll("sweep", new Problems(wrong), "train --help describes each");
}
