import type { ChildProcess } from "node:child_process";
import type { Random } from "../../src/util/random.ts";

/** What is killed while it saves, and how its folder is judged afterwards. */
export interface Subject {
  /** Prepares the folder, and whatever the processes need. */
  prepare?(folder: string): Promise<void>;
  /** The words after `node` that start the next process. */
  words(folder: string, round: number): readonly string[];
  /** Resolves when the process may be killed: from then on, within so many milliseconds, anything may be under way. */
  begun(child: ChildProcess, folder: string, random: Random): Promise<void>;
  readonly milliseconds: number;
  /**
   * Looks at what a process has left.
   * @throws Error where that is neither the state before nor one that the process was about to write
   */
  judge(folder: string, heard: string): Promise<readonly Verdict[]>;
  /**
   * The words after `node` of a start in the folder that does nothing else, where the next process does not itself say
   * what it has found after it began: that counts as the next start, too.
   */
  startWords?(folder: string): readonly string[];
  /** Whether a path in the folder is what only a killed process leaves; by default by its name. */
  isLeftover?(name: string): boolean;
  /** After the last kill. */
  end?(folder: string): Promise<void>;
}

/** What a foreign program finds in a folder: the former state, the new one, or no configuration that it could read. */
export type Verdict = "old" | "new" | "refused";

/** Resolves when a process has said a word, or has ended. */
export function says(child: ChildProcess, word: string): Promise<void> {
  return new Promise((resolve) => {
    let said = "";
    child.stdout?.on("data", (text: string) => {
      said += text;
      if (said.includes(word)) resolve();
    });
    child.once("exit", () => resolve());
  });
}
