import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { createRandom, type Random } from "../../src/util/random.ts";
import { isOfSave } from "./states.ts";
import type { Subject, Verdict } from "./subject.ts";

/** What came of the kills of one subject. */
export interface Tally {
  readonly verdicts: Record<Verdict, number>;
  kills: number;
  /** Processes that had ended before they were killed. */
  ended: number;
  /** Files and folders of saves that killed processes have left, which the next start removed. */
  leftovers: number;
  /** Kills that left any. */
  withLeftovers: number;
}

/**
 * Kills processes at random moments and looks at what they leave.
 * @param lastStart the words after `node` of a start in the folder, where the subject has none of its own
 * @throws Error where a folder is of no one state, or something is left after the next start
 */
export async function campaign(
  subject: Subject,
  { kills, seed, lastStart }: { kills: number; seed: number; lastStart: (folder: string) => string[] },
): Promise<Tally> {
  const folder = mkdtempSync(join(tmpdir(), "kills-"));
  const random = createRandom(seed);
  const tally: Tally = {
    verdicts: { old: 0, new: 0, refused: 0 },
    kills: 0,
    ended: 0,
    leftovers: 0,
    withLeftovers: 0,
  };
  try {
    await subject.prepare?.(folder);
    for (let round = 0; tally.kills < kills; round++) {
      const { heard, isKilled } = await killOne(subject, folder, round, random);
      const left = leftoversIn(folder, subject);
      for (const verdict of await subject.judge(folder, heard)) tally.verdicts[verdict]++;
      const startWords = subject.startWords?.(folder);
      if (startWords) await runStart(subject, folder, startWords);
      if (isKilled) tally.kills++;
      else tally.ended++;
      tally.leftovers += left.length;
      if (left.length > 0) tally.withLeftovers++;
    }
    await runStart(subject, folder, subject.startWords?.(folder) ?? lastStart(folder));
    await subject.end?.(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return tally;
}

async function killOne(
  subject: Subject,
  folder: string,
  round: number,
  random: Random,
): Promise<{ heard: string; isKilled: boolean }> {
  const child = start(subject.words(folder, round));
  let heard = "";
  let complaints = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    heard += text;
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaints += text;
  });
  const closed = once(child, "close");
  await subject.begun(child, folder, random);
  await delay(random.uniform() * subject.milliseconds);
  const isKilled = child.exitCode === null && child.kill("SIGKILL");
  await closed;
  if (child.exitCode) throw new Error(`the process failed: ${complaints}`);
  return { heard, isKilled };
}

/** What a start leaves nothing of, unless it is of a living process. */
function leftoversIn(folder: string, { isLeftover = isOfSave }: Subject): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => isLeftover(name));
}

/** The next start in the folder must find its way and leave nothing of the dead. */
async function runStart(subject: Subject, folder: string, words: readonly string[]): Promise<void> {
  const child = start(words);
  let complaints = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaints += text;
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the next start failed: ${complaints}`);
  const left = leftoversIn(folder, subject);
  if (left.length > 0) throw new Error(`the next start left ${left.join(", ")}`);
}

function start(words: readonly string[]): ChildProcess {
  return spawn(process.execPath, words, { stdio: ["ignore", "pipe", "pipe"] });
}
