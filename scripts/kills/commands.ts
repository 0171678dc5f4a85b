// The commands themselves: dist/cli.js trains on models/demo, or merges into it. Uninterrupted runs show what they write.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { openCheckpoint } from "../../src/io/formats/checkpoint.ts";
import { readPeftAdapter } from "../../src/load/lora-files.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { type Files, namesIn, stateOf } from "./states.ts";
import type { Subject, Verdict } from "./subject.ts";

const CLI = "dist/cli.js";
const MODEL = "models/demo";
const STEPS = 3;

/** Two ways to run a command, which write different files: their index is the state of what was written. */
const RANKS = [2, 4] as const;

/** A command in both ways, and the files that an uninterrupted run has written, by place and way. */
interface Command {
  words(output: string, way: number): readonly string[];
  /** Folders with an own state each, below the output folder. */
  readonly places: readonly string[];
}

/** `train` with a checkpoint after each step. */
export function trainSubject(): Subject {
  return commandSubject((work) => trainCommand(work));
}

/** `merge` of two adapters in turn. */
export function mergeSubject(): Subject {
  return commandSubject(async (work) => {
    const train = trainCommand(work);
    const adapters = RANKS.map((_, way) => join(work, `adapter-${way}`));
    for (const [way, adapter] of adapters.entries()) await runToEnd(train.words(adapter, way));
    return {
      words: (output, way) => [
        ...[CLI, "merge", "--model", MODEL],
        ...["--adapter-path", adapters[way] as string, "--output-dir", output],
      ],
      places: ["."],
    };
  });
}

function trainCommand(work: string): Command {
  const data = join(work, "rows.jsonl");
  const rows = ["Tom put 9 pink candles in the barn.", "Anna hid 3 keys in the attic."];
  writeFileSync(data, rows.map((text) => `${JSON.stringify({ text })}\n`).join(""));
  return {
    words: (output, way) => [
      ...[CLI, "train", "--model", MODEL, "--data", data, "--output-dir", output],
      ...["--iters", String(STEPS), "--save-steps", "1", "--lora-r", String(RANKS[way])],
    ],
    places: [".", ...Array.from({ length: STEPS }, (_, i) => `checkpoint-${i + 1}`)],
  };
}

function commandSubject(prepareCommand: (work: string) => Command | Promise<Command>): Subject {
  const work = mkdtempSync(join(tmpdir(), "kills-work-"));
  const reference = new Map<string, Files>();
  const states = (place: string) => (way: number) => reference.get(`${way}/${place}`) as Files;
  /** The state of each place that has one. */
  const whole = new Map<string, number>();
  let command: Command;
  let way = 0;
  let wholeRun = 0;

  const judgePlace = async (folder: string, place: string): Promise<Verdict> => {
    const path = join(folder, place);
    const former = whole.get(place);
    if (!existsSync(path)) return requireNothing(former, path);
    const known = [...new Set([former ?? way, way])];
    const seen = stateOf(path, states(place), known);
    await openOurselves(path);
    const settled = stateOf(path, states(place), known);
    if (settled !== undefined) whole.set(place, settled);
    else requireNothing(former, path);
    if (seen === undefined) return former === undefined && namesIn(path).length === 0 ? "old" : "refused";
    return seen === former ? "old" : "new";
  };

  return {
    async prepare() {
      command = await prepareCommand(work);
      for (const [way] of RANKS.entries()) {
        const output = join(work, `reference-${way}`);
        const began = performance.now();
        await runToEnd(command.words(output, way));
        wholeRun = performance.now() - began;
        for (const place of command.places) reference.set(`${way}/${place}`, filesIn(join(output, place)));
      }
    },
    words(folder, round) {
      way = round % RANKS.length;
      return command.words(folder, way);
    },
    async begun(child, folder, random) {
      // Half of the kills hit anything from the first to the last moment, half a save.
      if (random.uniform() < 0.5) await delay(random.uniform() * wholeRun);
      else await aSave(child, folder, random.integer(command.places.length));
    },
    milliseconds: 30,
    async judge(folder) {
      const verdicts: Verdict[] = [];
      for (const place of command.places) verdicts.push(await judgePlace(folder, place));
      return verdicts;
    },
    async end(folder) {
      await runToEnd(command.words(folder, way));
      for (const place of command.places) {
        if (stateOf(join(folder, place), states(place), [way]) === way) continue;
        throw new Error(`a run to its end left ${place} without its configuration`);
      }
      rmSync(work, { recursive: true });
    },
  };
}

function requireNothing(former: number | undefined, path: string): Verdict {
  if (former !== undefined) throw new Error(`${path} lost what was in it`);
  return "old";
}

/** As `generate`, `eval` or another `merge` would. */
async function openOurselves(path: string): Promise<void> {
  const files = folderFiles(path);
  const names = ["config.json", "adapter_config.json"];
  const [model, adapter] = await Promise.all(names.map((name) => files.size(name)));
  if (model !== undefined) await openCheckpoint(files);
  if (adapter !== undefined) await readPeftAdapter(files);
}

/** The files of a folder, without those below. */
export function filesIn(folder: string): Files {
  return new Map(namesIn(folder).map((name) => [name, readFileSync(join(folder, name))]));
}

/** Resolves when so many saves have been seen and the next one has begun, or the process has ended. */
async function aSave(child: ChildProcess, folder: string, before: number): Promise<void> {
  let seen = 0;
  for (let wasSaving = false; child.exitCode === null && child.signalCode === null; ) {
    const isSaving = isUnderWay(folder);
    if (isSaving && !wasSaving && seen++ >= before) return;
    wasSaving = isSaving;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function isUnderWay(folder: string): boolean {
  const below = readdirSync(folder).filter((name) => name.startsWith("checkpoint-"));
  return [".", ...below].some((name) => existsSync(join(folder, name, ".webgpu-lora.save")));
}

/** Runs a command to its end. @throws Error with its complaints where it fails */
export async function runToEnd(words: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, words, { stdio: ["ignore", "ignore", "pipe"] });
  let complaints = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    complaints += text;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${words.join(" ")} failed: ${complaints}`);
}
