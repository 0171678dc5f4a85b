import { closeSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { messageOf } from "../../util/fail.ts";

/** Bytes that wait at most for a disk that is full. */
const MOST_PENDING = 2 ** 22;

/**
 * A file that grows by whole records, each of which has left the process when `append` returns: whatever ends the process, the
 * file holds all of them. Where it cannot be written to, that is told once, and nothing is thrown: what was to be written waits,
 * and is written when it can be.
 */
export class AppendedFile {
  readonly #path: string;
  readonly #tell: (line: string) => void;
  #descriptor: number | undefined;
  /** Bytes of whole records that are in it. */
  #size: number;
  #pending: Uint8Array[] = [];
  #hasFailed = false;

  /**
   * @param kept bytes that it begins with; what is there now goes with the first record where it is 0
   * @param tell takes warnings
   */
  constructor(path: string, kept: number, tell: (line: string) => void) {
    this.#path = path;
    this.#size = kept;
    this.#tell = tell;
  }

  /** Adds a record. */
  append(record: Uint8Array): void {
    this.#pending.push(record);
    while (this.#pending.reduce((sum, { length }) => sum + length, 0) > MOST_PENDING) this.#pending.shift();
    try {
      this.#write();
    } catch (error) {
      if (this.#hasFailed) return;
      this.#hasFailed = true;
      this.#tell(`warning: ${this.#path} is not written, the training goes on: ${messageOf(error)}`);
    }
  }

  #write(): void {
    this.#descriptor ??= openSync(this.#path, this.#size === 0 ? "w" : "r+");
    if (this.#hasFailed) ftruncateSync(this.#descriptor, this.#size); // part of a record may have got there
    for (let record = this.#pending[0]; record; record = this.#pending[0]) {
      for (let done = 0; done < record.length; )
        done += writeSync(this.#descriptor, record, done, record.length - done, this.#size + done);
      this.#size += record.length;
      this.#pending.shift();
    }
    if (!this.#hasFailed) return;
    this.#hasFailed = false;
    this.#tell(`${this.#path} is written again`);
  }

  /** Nothing more comes. */
  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}
