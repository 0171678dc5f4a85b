import { existsSync, readFileSync } from "node:fs";
import { messageOf } from "../../util/fail.ts";
import { AppendedFile } from "./appended-file.ts";
import { replaceFile } from "./replace-file.ts";

const encoder = new TextEncoder();
const lineOf = (entry: object) => `${JSON.stringify(entry)}\n`;

/** A file of what belongs to steps, a line of JSON each. */
export class LinesFile<E extends { readonly step: number }> {
  readonly #path: string;
  readonly #tell: (line: string) => void;
  readonly #read: (text: string) => readonly E[];
  #file: AppendedFile;

  /**
   * @param tell takes warnings
   * @param read what a text holds; lines that are broken are left out
   */
  constructor(path: string, tell: (line: string) => void, read: (text: string) => readonly E[]) {
    this.#path = path;
    this.#tell = tell;
    this.#read = read;
    this.#file = new AppendedFile(path, 0, tell);
  }

  /**
   * Keeps what there is until a step, and drops what is behind it.
   * @param source what is kept, where that is the file of another folder
   * @returns what stays
   */
  keepUntil(step: number, source = this.#path): E[] {
    this.#file.close();
    const entries = this.#entriesOf(source).filter((entry) => entry.step <= step);
    const text = entries.map(lineOf).join("");
    try {
      if (entries.length > 0) replaceFile(this.#path, text);
    } catch (error) {
      this.#tell(`warning: ${this.#path} is not written: ${messageOf(error)}`);
    }
    this.#file = new AppendedFile(this.#path, encoder.encode(text).length, this.#tell);
    return entries;
  }

  #entriesOf(source: string): readonly E[] {
    try {
      return existsSync(source) ? this.#read(readFileSync(source, "utf8")) : [];
    } catch (error) {
      this.#tell(`warning: ${source} cannot be read, so it begins anew: ${messageOf(error)}`);
      return [];
    }
  }

  append(entry: E): void {
    this.#file.append(encoder.encode(lineOf(entry)));
  }

  close(): void {
    this.#file.close();
  }
}
