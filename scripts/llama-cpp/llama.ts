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
  /** Of each token to follow a prompt. */
  readonly probabilities: readonly (readonly number[])[];
}

/** What llama-quantize makes: numbers of llama.cpp's `llama_ftype`. */
export const FILE_TYPES = {
  ...{ F16: 1, BF16: 32, Q8_0: 7, Q4_0: 2, Q4_1: 3, Q5_0: 8, Q5_1: 9, Q2_K: 10, Q3_K_M: 12, Q4_K_M: 15 },
  ...{ Q5_K_M: 17, Q6_K: 18, IQ4_NL: 25, IQ4_XS: 30 },
} as const;

/** Has llama.cpp quantise a GGUF model, by its library: npm's package lacks the program. Needs Python 3 and Linux on x64. */
export function quantiseByLlama(source: string, target: string, type: keyof typeof FILE_TYPES): void {
  const library = `${FOLDER}/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64`;
  const words = [`${FOLDER}/quantise.py`, library, source, target, String(FILE_TYPES[type])];
  const { status, stderr } = spawnSync("python3", words, { encoding: "utf8" });
  if (status !== 0) fail(source, `llama.cpp does not quantise it:\n${stderr?.slice(-2000)}`);
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
