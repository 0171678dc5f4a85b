import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fail } from "../../src/util/fail.ts";

const FOLDER = "scripts/llama-cpp";

/** What llama.cpp is asked. */
export interface Job {
  readonly model: string;
  readonly lora?: string;
  /** Ids of the prompts that it continues. */
  readonly contexts: readonly (readonly number[])[];
  /** Texts that it makes tokens of. */
  readonly texts: readonly string[];
  /** Tokens that are added. */
  readonly count: number;
}

/** What it answered. */
export interface Answer {
  readonly tokens: readonly (readonly number[])[];
  readonly continued: readonly (readonly number[])[];
}

/** Installs llama.cpp's binaries for Node where they are not there yet: 100 MB, and nothing is compiled. */
export function installLlama(): void {
  if (existsSync(`${FOLDER}/node_modules/node-llama-cpp`)) return;
  const words = ["install", "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", FOLDER];
  const { status } = spawnSync("npm", words, { stdio: "inherit" });
  if (status !== 0) fail("npm install", "llama.cpp cannot be installed", "is there a network?");
}

/** Has llama.cpp open a model and continue prompts. @throws LoraError with what it says where it refuses the file */
export function askLlama(job: Job): Answer {
  const { status, stdout, stderr } = spawnSync(process.execPath, [`${FOLDER}/continue.mjs`], {
    input: JSON.stringify(job),
    encoding: "utf8",
  });
  if (status !== 0) fail(job.model, `llama.cpp refuses it:\n${stderr.slice(-2000)}`);
  const line = stdout.trim().split("\n").at(-1) ?? "";
  return JSON.parse(line) as Answer;
}
