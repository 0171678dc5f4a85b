// Who a process is, so that another one can tell later whether it still runs, although process ids are used again.
import { createHash } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/** A process, on whatever machine. */
export interface ProcessId {
  readonly pid: number;
  /** When it began, in the system's ticks; 0 where the system doesn't tell. */
  readonly start: number;
  /** Stands for the machine since its last start, and the container: only there does `pid` say anything. */
  readonly machine: string;
  /** The machine's name, for messages. */
  readonly host: string;
}

/** A process that can't be looked at counts as running while its last sign of life is not older. */
const SILENCE_MILLISECONDS = 120_000;

/** How often a process gives a sign of life: often enough that one which is merely busy is not taken for dead. */
export const SIGN_OF_LIFE_MILLISECONDS = 10_000;

let own: ProcessId | undefined;

/** This process. */
export function thisProcess(): ProcessId {
  own ??= {
    pid: process.pid,
    start: processState(process.pid)?.start ?? 0,
    machine: machineId(),
    host: hostname().replace(/[^\w.-]/g, "_") || "localhost",
  };
  return own;
}

/** A file name that stands for a process. */
export function nameOfProcess({ pid, start, machine, host }: ProcessId): string {
  return `${pid}-${start}-${machine}-${host}`;
}

/** The process that a file name of {@link nameOfProcess} stands for; undefined for any other name. */
export function processOfName(name: string): ProcessId | undefined {
  const [, pid, start, machine, host] = /^([1-9]\d*)-(\d+)-([0-9a-f]{12})-([\w.-]+)$/.exec(name) ?? [];
  if (machine === undefined || host === undefined) return undefined;
  return { pid: Number(pid), start: Number(start), machine, host };
}

/**
 * Whether a process still runs.
 * @param silence milliseconds since its last sign of life, which decides where it can't be looked at: it is on another
 * machine or in another container, or the system doesn't tell when it began
 */
export function isRunning({ pid, start, machine }: ProcessId, silence: number): boolean {
  if (machine === thisProcess().machine) {
    if (!isThere(pid)) return false;
    const found = processState(pid);
    if (found) return !found.isEnded && found.start === start;
  }
  return silence < SILENCE_MILLISECONDS;
}

/** Whether there is a process of this id, whoever it is. */
function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0); // 0 is no signal: it only asks
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ESRCH"; // somebody else's
  }
}

/** What Linux tells of a process (proc(5): `state` is field 3, `starttime` field 22); undefined on other systems. */
function processState(pid: number): { readonly start: number; readonly isEnded: boolean } | undefined {
  const stat = textOf(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // the name before it may hold anything
  const start = Number(fields[19]);
  if (!Number.isSafeInteger(start)) return undefined;
  return { start, isEnded: /[ZXx]/.test(fields[0] ?? "") };
}

/** Twelve hexadecimal digits. */
function machineId(): string {
  const boot = textOf(() => readFileSync("/proc/sys/kernel/random/boot_id", "latin1"));
  const namespace = textOf(() => readlinkSync("/proc/self/ns/pid"));
  return createHash("sha256").update([hostname(), boot, namespace].join("\n")).digest("hex").slice(0, 12);
}

function textOf(read: () => string): string {
  try {
    return read();
  } catch {
    return ""; // no Linux, or not to be seen
  }
}
