import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import type { TrainingPlan } from "../../src/train/plan/plan-training.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const rows = () =>
  cli.write("train.jsonl", [
    { text: "Tom put 9 pink candles in the barn." },
    { prompt: "Who hid them?", completion: "Anna hid 9 pink candles in the attic, and Ben found one." },
  ]);
const ofModel = ["--model", BUNDLED_MODEL];

test("plan --json is one object; what is told of the rows goes to standard error", async () => {
  const options = [...ofModel, "--data", rows(), "--batch-size", "2", "--optim", "lion"];
  const planned = await cli.run(["plan", ...options, "--device", "gpu", "--json"]);
  expect(planned.code, planned.stderr).toBe(0);
  const { use, maxLength } = JSON.parse(planned.stdout) as TrainingPlan;
  expect(maxLength).toBeLessThan(64);
  expect(use.total).toBe(use.peak + use.slack + use.staging);
  expect(use.rows.map(({ what }) => what)).toContain("optimiser");
  expect(planned.stderr).toMatch(/^train\.jsonl: 2 rows/m);
});

test("train --dry-run says what does not fit and what would, and writes nothing", async () => {
  const out = cli.path("dry");
  const words = ["train", "--dry-run", ...ofModel, "--data", rows(), "--output-dir", out, "--memory", "8MB"];
  const { code, stdout } = await cli.run(words);
  expect(code).toBe(1);
  expect(existsSync(out)).toBe(false);
  expect(stdout).toMatch(/^ {2}base model +1\.9 MB$/m);
  expect(stdout).toMatch(/^It would not run: [\d.]+ MB are needed, and there are 8\.0 MB$/m);
  expect(stdout).toMatch(/^ {2}--gradient-checkpointing +[\d.]+ MB$/m);
  expect(stdout).toMatch(/^ {2}--lora-r 8 +[\d.]+ MB {2}fits$/m);
});

test("everything that is not there is told at once", async () => {
  const words = [
    "--model",
    cli.path("nowhere/"),
    "--data",
    cli.path("none.jsonl"),
    "--quantization-block",
    "64",
  ];
  const { code, stderr } = await cli.run(["plan", ...words, "--device", "gpu"]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/plan: 3 problems:.*none\.jsonl is not there/s);
  expect(stderr).toMatch(/nowhere\/: no such folder/);
  expect(stderr).toMatch(/quantization_block is given without it/);
  const wrong = await cli.run(["plan", ...ofModel, "--memory", "lots", "--lora-r", "0"]);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toMatch(/memory is "lots", wanted an amount above 0, such as 8GB/);
  expect(wrong.stderr).toMatch(/lora-r is "0"/);
});
