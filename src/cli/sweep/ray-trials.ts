import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { NO_PYTHON, python } from "../../platform/node-python.ts";
import { fail } from "../../util/fail.ts";
import { watchInterrupt } from "../interrupt.ts";
import { printLines } from "../terminal.ts";
import script from "./ray-tasks.py";
import { describeValues, type TrialsToRun, trialWords } from "./run-trials.ts";

/** What a node offers for each trial that it may run at a time. */
const RESOURCE = "webgpu";
const OFFER = `a node offers it by ray start --resources '{"${RESOURCE}": 1}'`;

/** A line of the Python process. */
interface Told {
  readonly error?: string;
  /** How much of the resource the cluster has. */
  readonly resources?: number;
  readonly index?: number;
  readonly code?: number;
  readonly tail?: string;
}

/**
 * Has a Ray cluster run trials, as many at a time as its nodes offer of the resource `webgpu`, and follows them to their
 * ends. Program and folders lie where all nodes see them. A signal ends the trials, which save and go on when the sweep does.
 * @returns the exit code
 * @throws LoraError where there is no Python with ray, or no cluster
 */
export async function runTrialsOnRay(address: string, sweep: TrialsToRun): Promise<number> {
  const { trials, total, flags, terminal, onEnd } = sweep;
  if (trials.length === 0) return 0;
  for (const { index, values } of trials)
    terminal.print(`Trial ${index} of ${total}: ${describeValues(values)}`);
  const program = [process.execPath, process.argv[1] as string];
  const commands = trials.map(({ folder }) => [...program, ...trialWords(folder, flags)]);
  const child = spawn(python(), ["-c", script, address], { stdio: ["pipe", "pipe", "inherit"] });
  let problem: string | undefined;
  child.on("error", ({ message }) => {
    problem = `${python()} does not start: ${message}`;
  });
  child.stdin.on("error", () => {}); // the end of its output tells
  child.stdin.end(`${JSON.stringify({ resource: RESOURCE, cwd: process.cwd(), commands })}\n`);
  const interrupt = watchInterrupt(() => void child.kill("SIGTERM"));
  const left = new Set(trials.keys());
  let worst = 0;
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const told: Told = JSON.parse(line);
      problem ??= told.error;
      if (told.resources === 0) terminal.note(`No node offers ${RESOURCE} yet: the trials wait; ${OFFER}.`);
      const trial = trials[told.index ?? -1];
      if (!trial) continue;
      left.delete(told.index as number);
      onEnd();
      if (told.code === 0) terminal.print(`Trial ${trial.index} is finished.`);
      else if (interrupt.exitCode === undefined) {
        worst = 1;
        printLines(terminal.note, `warning: trial ${trial.index} ended with ${told.code}\n${told.tail}`);
      }
    }
    if (interrupt.exitCode !== undefined) return interrupt.exitCode;
    if (problem !== undefined)
      fail("ray", problem, problem.includes("Ray cluster") ? CLUSTER : NO_PYTHON("ray"));
    if (left.size > 0) fail("ray", "the Python process that follows the trials has ended", CLUSTER);
    return worst;
  } finally {
    interrupt.release();
  }
}

const CLUSTER = "start one by ray start --head, and give its address, such as 127.0.0.1:6379, or auto";
