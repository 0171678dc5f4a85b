import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { LoraError } from "../../src/util/fail.ts";
import { createRandom, type Random } from "../../src/util/random.ts";

/** Files by their names: what one input is. */
export type InputFiles = ReadonlyMap<string, Uint8Array>;

/** A kind of input. */
export interface Target {
  /** Makes one: small valid files with changes in them. The same numbers give the same files. */
  make(random: Random): InputFiles;
  /**
   * Reads one and checks what came of it.
   * @throws LoraError where the input is refused, {@link WronglyAccepted} where it should have been
   */
  read(input: InputFiles): void | Promise<void>;
}

/** Something was read that is not what the input says. */
export class WronglyAccepted extends Error {
  override readonly name = "WronglyAccepted";
}

/** @throws WronglyAccepted unless `holds` */
export function ensure(holds: boolean, otherwise: () => string): void {
  if (!holds) throw new WronglyAccepted(otherwise());
}

/** How an input ended that did not end cleanly. */
export interface Unclean {
  readonly kind:
    | "wrong error"
    | "no remedy"
    | "wrongly accepted"
    | "slow"
    | "memory"
    | "hang"
    | "died"
    | "rejection";
  readonly detail: string;
}

/** How an input ended. */
export type Ending = "accepted" | "refused" | Unclean;

/** An input may take this long, ms of processor time. */
export const MOST_MS = 1000;

/** An input may take this much memory beyond what the process has without it. */
export const MOST_BYTES = 300 * 2 ** 20;

/** The input of a seed; of each target another one. */
export function inputOf(name: string, target: Target, seed: number): InputFiles {
  return target.make(createRandom(seed).fork(name));
}

/** The input as a folder. */
export function folderOf(input: InputFiles): FileSource {
  return memoryFiles("folder", input);
}

/** Clocks, ms: to take the time of the processor takes long itself. */
const CLOCKS = {
  wall: () => performance.now(),
  processor(): number {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  },
};

/** Reads an input and judges how that ended. Memory and hanging are for a watcher in another process. */
export async function ending(target: Target, input: InputFiles, clocks = CLOCKS): Promise<Ending> {
  const first = await timed(target, input, clocks.wall);
  if (typeof first.found === "object" || first.ms <= MOST_MS) return first.found;
  const { found, ms } = await timed(target, input, clocks.processor); // or was the machine busy?
  if (typeof found === "object" || ms <= MOST_MS) return found;
  return { kind: "slow", detail: `took ${Math.round(ms)} ms and was ${found}` };
}

async function timed(target: Target, input: InputFiles, clock: () => number) {
  const begin = clock();
  const found = await outcome(target, input);
  return { found, ms: clock() - begin };
}

async function outcome(target: Target, input: InputFiles): Promise<Ending> {
  try {
    await target.read(input);
    return "accepted";
  } catch (error) {
    if (error instanceof WronglyAccepted) return { kind: "wrongly accepted", detail: error.message };
    if (!(error instanceof LoraError)) return { kind: "wrong error", detail: described(error) };
    return hasRemedy(error) ? "refused" : { kind: "no remedy", detail: error.message };
  }
}

/** Whether the message says what to do, or that of a part of it does. */
function hasRemedy({ message }: LoraError): boolean {
  return /\n +→ \S/.test(message);
}

/** An error with the places in the sources that it came by. */
export function described(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const places = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return [`${error.name}: ${error.message.slice(0, 300)}`, ...places.slice(0, 6)].join("\n");
}
