// Processes that save small folders again and again, so that most kills hit a save.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { claimOutputFolder } from "../../src/cli/output-folder.ts";
import { openCheckpoint } from "../../src/io/formats/checkpoint.ts";
import { readPeftAdapter } from "../../src/load/lora-files.ts";
import { isModelFile } from "../../src/load/model-folder.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { folderWriter } from "../../src/platform/node-folders/folder-writer.ts";
import { adapterState, isOfSave, modelState, namesIn, type States, stateOf, weightsState } from "./states.ts";
import { type Subject, says, type Verdict } from "./subject.ts";

interface Saves {
  readonly states: States;
  /** Each save has a folder of its own, as checkpoints have. */
  readonly isApart?: boolean;
  /** One file alone changes: a reader never finds less than a whole state. */
  readonly isOne?: boolean;
}

/** By the name of the subject. */
const SAVES: Readonly<Record<string, Saves>> = {
  adapter: { states: adapterState },
  weights: { states: weightsState, isOne: true },
  model: { states: modelState },
  checkpoints: { states: adapterState, isApart: true },
};

/** The subjects of this file. */
export const SAVING = Object.keys(SAVES);

function placeOf(folder: string, state: number, { isApart }: Saves): string {
  return isApart ? join(folder, `checkpoint-${state}`) : folder;
}

/** As a child process: saves one state after another until it is killed, and says so. */
export async function saveForEver(subject: string, folder: string, first: number): Promise<never> {
  const saves = SAVES[subject] as Saves;
  process.stdout.write("start\n");
  claimOutputFolder(folder, { checkpoints: true });
  const left = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(isOfSave);
  process.stdout.write(`found ${left.filter((name) => !name.startsWith(".webgpu-lora.lock")).length}\n`);
  for (let state = first; ; state++) {
    process.stdout.write(`began ${state}\n`);
    await folderWriter(placeOf(folder, state, saves)).write(saves.states(state), isModelFile);
    process.stdout.write(`saved ${state}\n`);
  }
}

/** @param program the words after `node` that start this script */
export function savingSubject(name: string, program: readonly string[]): Subject {
  const saves = SAVES[name] as Saves;
  /** The state in each place that has one. */
  const whole = new Map<string, number>();
  let begun = -1;

  return {
    words: (folder) => [...program, "--child", name, folder, String(begun + 1)],
    // Some kills hit the start, which clears up after the last one.
    begun: (child, _, random) => says(child, random.uniform() < 0.3 ? "start" : "began"),
    milliseconds: 40,
    async judge(folder, heard) {
      if (numbersIn(heard, "found").some((count) => count > 0))
        throw new Error("the next start left something");
      for (const state of numbersIn(heard, "saved")) whole.set(placeOf(folder, state, saves), state);
      begun = numbersIn(heard, "began").at(-1) ?? begun;
      const place = placeOf(folder, begun, saves);
      const former = whole.get(place);
      for (const [other, state] of whole) {
        if (other !== place) requireState(other, saves, [state]);
      }
      const verdict = await judgePlace(place, saves, former, begun);
      const settled = existsSync(place)
        ? stateOf(place, saves.states, statesKnown(former, begun))
        : undefined;
      if (settled !== undefined) whole.set(place, settled);
      return [verdict];
    },
  };
}

/** The verdict on a place, and that our own reader opens it. */
async function judgePlace(
  place: string,
  saves: Saves,
  former: number | undefined,
  begun: number,
): Promise<Verdict> {
  if (!existsSync(place) && former === undefined) return "old";
  const known = statesKnown(former, begun);
  const seen = stateOf(place, saves.states, known);
  const hasWeightsOnly = seen === undefined && namesIn(place).length > 0;
  if (saves.isOne && former !== undefined) requireState(place, saves, known);
  const files = folderFiles(place);
  const names = ["config.json", "adapter_config.json"];
  const [model, adapter] = await Promise.all(names.map((name) => files.size(name)));
  if (model !== undefined) await openCheckpoint(files);
  if (adapter !== undefined) await readPeftAdapter(files);
  if (former !== undefined) requireState(place, saves, known);
  if (seen === undefined) return former !== undefined || hasWeightsOnly ? "refused" : "old";
  return seen === begun ? "new" : "old";
}

function statesKnown(former: number | undefined, begun: number): number[] {
  return [...new Set([former ?? begun, begun])];
}

function requireState(place: string, { states }: Saves, known: readonly number[]): void {
  if (stateOf(place, states, known) === undefined) throw new Error(`${place} lost what was in it`);
}

/** The numbers after a word in what a child has said, in order. */
export function numbersIn(heard: string, word: string): number[] {
  return [...heard.matchAll(new RegExp(`^${word} (\\d+)$`, "gm"))].map(([, number]) => Number(number));
}
