import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { watchInterrupt } from "../interrupt.ts";
import type { Terminal } from "../terminal.ts";
import type { TrialValues } from "./trials.ts";

/** The settings of a trial, in its folder. */
export const TRIAL_FILE = "trial.json";

/** A trial that is to be run. */
export interface WaitingTrial {
  readonly index: number;
  readonly values: TrialValues;
  readonly folder: string;
}

/** Trials, and what runs them. */
export interface TrialsToRun {
  readonly trials: readonly WaitingTrial[];
  /** Of the whole sweep. */
  readonly total: number;
  /** Of train, for all. */
  readonly flags: readonly string[];
  readonly terminal: Terminal;
  /** Called behind each trial. */
  readonly onEnd: () => void;
}

/** What train ends with for options that cannot be: no other trial would go better. */
const WRONG_OPTIONS = 2;
/** Codes beyond are of signals. */
const SIGNALLED = 128;

/** A trial's values as words. */
export const describeValues = (values: TrialValues): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} ${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join(", ");

/** The words of `webgpu-lora` that run a trial. */
export const trialWords = (folder: string, flags: readonly string[]): readonly string[] => [
  ...["train", "--config", join(folder, TRIAL_FILE), "--output-dir", folder, "--resume", "auto"],
  ...flags,
];

/** Runs trials one after the other, each in a process of its own. @returns the exit code */
export async function runTrials({ trials, total, flags, terminal, onEnd }: TrialsToRun): Promise<number> {
  let worst = 0;
  for (const { index, values, folder } of trials) {
    terminal.print(`Trial ${index} of ${total}: ${describeValues(values)}`);
    const code = await runTrial(trialWords(folder, flags), terminal);
    onEnd();
    if (code === WRONG_OPTIONS || code > SIGNALLED) return code;
    if (code !== 0) terminal.note(`warning: trial ${index} ended with ${code}; the others go on`);
    worst ||= code === 0 ? 0 : 1;
  }
  return worst;
}

/** Runs `train` in a process of its own, to which signals are passed on. */
async function runTrial(words: readonly string[], terminal: Terminal): Promise<number> {
  const all = [process.argv[1] as string, ...words];
  const child: ChildProcess = spawn(process.execPath, all, { stdio: ["ignore", "pipe", "pipe"] });
  child.stdout?.setEncoding("utf8").on("data", lines(terminal.print));
  child.stderr?.setEncoding("utf8").on("data", lines(terminal.note));
  // Ctrl-C reaches both; any other signal is passed on.
  const interrupt = watchInterrupt(() => void child.kill("SIGTERM"));
  try {
    const [code] = (await once(child, "close")) as [number | null];
    return interrupt.exitCode ?? code ?? 1;
  } finally {
    interrupt.release();
  }
}

/** Text in lines. */
function lines(print: (line: string) => void): (text: string) => void {
  let rest = "";
  return (text) => {
    const all = (rest + text).split("\n");
    rest = all.pop() ?? "";
    for (const line of all) print(line);
  };
}
