import { fail } from "../../src/util/fail.ts";
import type { Work } from "./work.ts";

/** A library that computes. */
export interface Engine {
  readonly name: string;
  readonly version: string;
  /** Compiles nothing yet, uploads the inputs; undefined where the library cannot compute this. */
  prepare(work: Work): Promise<Prepared | undefined>;
}

/** A work with its inputs on the device. */
export interface Prepared {
  /** The outputs of a first run, read back; called once, before anything is timed. */
  outputs(): Promise<readonly ArrayLike<number>[]>;
  /** Computes once, and returns what waits for the device to finish. Nothing is read back. */
  start(): () => Promise<void>;
  release(): void;
}

/** What installs the peers; not part of the package. */
export const INSTALL = "npm install --prefix kernels-bench/peers --ignore-scripts";

/**
 * A package of kernels-bench/peers.
 * @throws LoraError with the command that installs it.
 */
export async function importPeer<T>(name: string): Promise<T> {
  try {
    return (await import(name)) as T;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ERR_MODULE_NOT_FOUND") throw error;
    return fail(name, "is not installed", INSTALL);
  }
}
