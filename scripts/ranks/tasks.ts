import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const COLOURS = ["red", "blue", "green"];

/** Rows of a task, in so many that the last batch of an epoch is not whole. */
const ROWS: Readonly<Record<string, (i: number) => object>> = {
  "causal-lm": (i) => ({
    prompt: `cat ${i} sat on`,
    completion: ` the ${COLOURS[i % 3]} mat for ${i} hours`,
  }),
  "sequence-classification": (i) => ({
    text: `cat ${i} sat on the mat for ${i % 4} hours`,
    label: COLOURS[i % 3],
  }),
  dpo: (i) => ({
    prompt: `cat ${i} sat on`,
    chosen: ` the ${COLOURS[i % 3]} mat`,
    rejected: ` a dog of ${i % 5} years`,
  }),
};

/** Names of the tasks. */
export const TASKS = Object.keys(ROWS);

/** Writes 21 rows of a task. @returns the folder */
export function writeRows(folder: string, task: string): string {
  const path = join(folder, task);
  mkdirSync(path, { recursive: true });
  const rows = Array.from({ length: 21 }, (_, i) => `${JSON.stringify(ROWS[task]?.(i))}\n`);
  writeFileSync(join(path, "train.jsonl"), rows.join(""));
  return path;
}
