// `train --resume` is killed at any moment and started again, until it has come to its end: what it leaves is, to the byte, what a
// run has left that nobody disturbed.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { checkpointsIn } from "../../src/cli/checkpoints.ts";
import { METRICS_FILE } from "../../src/cli/watch/metrics-file.ts";
import { LOOKS_FILE } from "../../src/cli/watch/report/looks.ts";
import { REPORT_FILE } from "../../src/cli/watch/report/report-file.ts";
import { RUN_FILE } from "../../src/cli/watch/run-file.ts";
import { CONFIG_FILE } from "../../src/cli/watch/watch-run.ts";
import { readEntries } from "../../src/train/watch/log-entry.ts";
import { filesIn, runToEnd } from "./commands.ts";
import type { Files } from "./states.ts";
import type { Subject } from "./subject.ts";

const MODEL = "models/demo";
const WEIGHTS = "adapter_model.safetensors";

/** A run with all that is drawn by chance, or counted: dropout, shuffling, packing, accumulation, and evaluations in between. */
const SETTINGS = [
  ...["--valid-split", "0.2", "--lora-r", "2"],
  ...["--lora-dropout", "0.2", "--packing", "--max-length", "48", "--batch-size", "1"],
  ...["--gradient-accumulation-steps", "2", "--warmup-steps", "3", "--lr-scheduler-type", "cosine"],
];

/** How long the run is, and how often it is killed. */
interface Length {
  readonly steps: number;
  readonly saveSteps: number;
  readonly evalSteps: number;
  /** A process is killed within this share of the time that the whole run takes. */
  readonly share: number;
}

const SHORT: Length = { steps: 10, saveSteps: 2, evalSteps: 3, share: 1 };
/** Killed ten times or so before its end. */
export const LONG: Length = { steps: 500, saveSteps: 10, evalSteps: 50, share: 0.25 };

/** @param cli the program to be killed */
export function resumeSubject(cli: string, { steps, saveSteps, evalSteps, share }: Length = SHORT): Subject {
  const length = { iters: steps, "save-steps": saveSteps, "eval-steps": evalSteps };
  const work = mkdtempSync(join(tmpdir(), "kills-resume-"));
  const data = join(work, "rows.jsonl");
  const words = (output: string) => [
    ...[cli, "train", "--model", MODEL, "--data", data, "--output-dir", output, "--resume", "auto"],
    ...Object.entries(length).flatMap(([name, value]) => [`--${name}`, `${value}`]),
    ...SETTINGS,
  ];
  const reference = new Map<string, Files>();
  let wholeRun = 0;
  return {
    async prepare() {
      const things = ["pink candles", "old keys", "red apples", "small boats", "blue cups"];
      const rows = things.flatMap((thing, i) =>
        ["barn", "attic", "shop", "hall"].map(
          (place, at) => `Tom put ${i + at + 2} ${thing} in the ${place}.`,
        ),
      );
      writeFileSync(data, rows.map((text) => `${JSON.stringify({ text })}\n`).join(""));
      const output = join(work, "reference");
      const began = performance.now();
      await runToEnd(words(output));
      wholeRun = performance.now() - began;
      for (const place of [".", ...checkpointsIn(output).map(({ path }) => basename(path))])
        reference.set(place, filesIn(join(output, place)));
      if (reference.size !== 1 + steps / saveSteps)
        throw new Error(`the whole run has left ${[...reference.keys()].join(", ")}`);
    },
    words,
    begun: (_child, _folder, random) => delay(random.uniform() * share * wholeRun),
    milliseconds: 30,
    async judge(folder) {
      for (const { path } of checkpointsIn(folder)) requireSame(path, reference.get(basename(path)));
      if (!existsSync(join(folder, WEIGHTS)) || isUnderWay(folder)) return ["old"];
      requireSame(folder, reference.get("."));
      for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
      return ["new"];
    },
    async end(folder) {
      await runToEnd(words(folder));
      requireSame(folder, reference.get("."));
      rmSync(work, { recursive: true });
    },
  };
}

const isUnderWay = (folder: string) => existsSync(join(folder, ".webgpu-lora.save"));

function requireSame(path: string, wanted: Files | undefined): void {
  if (isUnderWay(path)) return; // the next start decides what it becomes
  const got = filesIn(path);
  for (const [name, content] of wanted ?? new Map()) {
    if (name === METRICS_FILE) requireSameCurve(path, got.get(name), content);
    else if (
      !TELLS_OF_ITSELF.includes(name) &&
      !Buffer.from(got.get(name) ?? "").equals(Buffer.from(content))
    )
      throw new Error(`${join(path, name)} is other than that of the whole run`);
  }
}

/** Files that have times and paths in them. */
const TELLS_OF_ITSELF = [RUN_FILE, REPORT_FILE, LOOKS_FILE, CONFIG_FILE];

type Content = string | Uint8Array;

/** The same steps and evaluations with the same figures, but for times. */
function requireSameCurve(path: string, got: Content | undefined, wanted: Content): void {
  const [is, was] = [got, wanted].map((bytes) =>
    JSON.stringify(figuresOf(Buffer.from(bytes ?? "").toString())),
  );
  if (is !== was) throw new Error(`${path}: the curve is ${is}, and of the whole run ${was}`);
}

const figuresOf = (text: string) =>
  readEntries(text).entries.map(({ step, loss, eval_loss, grad_norm, num_tokens }) => [
    ...[step, loss, eval_loss, grad_norm, num_tokens],
  ]);
