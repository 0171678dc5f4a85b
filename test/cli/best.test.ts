import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();

function train(output: string, more: readonly string[]) {
  const places = ["barn", "attic", "shop", "hall"];
  const rows = places.map((place, i) => ({
    prompt: `Tom put ${i + 2} keys`,
    completion: ` in the ${place}.`,
  }));
  const data = cli.write("rows.jsonl", rows.slice(0, 2));
  const judged = cli.write("judged.jsonl", rows.slice(2));
  const fixed = [
    "--model",
    BUNDLED_MODEL,
    "--data",
    data,
    "--output-dir",
    cli.path(output),
    "--eval-data",
    judged,
  ];
  return cli.run(["train", ...fixed, "--batch-size", "2", "--lora-r", "4", "--logging-steps", "1", ...more]);
}

test("a run that gets no better ends, with the best adapter, which no limit removes; samples and exact match are told", async () => {
  const { code, stdout, stderr } = await train("out", [
    ...[
      "--iters",
      "40",
      "--learning-rate",
      "0.05",
      "--eval-steps",
      "1",
      "--save-steps",
      "1",
      "--save-total-limit",
      "1",
    ],
    ...["--early-stopping-patience", "3", "--load-best-at-end", "--exact-match", "--eval-samples", "1"],
    ...["--sample-prompts", "Ben found", "--sample-max-new-tokens", "4"],
  ]);
  expect(code, stderr).toBe(0);
  const [, last, best] =
    /Stopped after step (\d+) of 40: in 3 evaluations the loss was no better than after step (\d+)/.exec(
      stdout,
    ) as unknown as string[];
  expect(Number(last)).toBe(Number(best) + 3);
  expect(stdout).toContain(`The best is the adapter of step ${best}, with loss`);
  expect(stdout).toMatch(
    /Iter 0: Val loss .*exact match \d\.\d{4}\n {2}"Ben found" → ".*"\n {2}"Tom put 4 keys" → "/,
  );
  const checkpoints = readdirSync(cli.path("out")).filter((name) => name.startsWith("checkpoint-"));
  expect(checkpoints.sort()).toEqual([`checkpoint-${best}`, `checkpoint-${last}`].sort());
  const weights = (folder: string) => readFileSync(cli.path(`${folder}/adapter_model.safetensors`));
  expect(weights("out").equals(weights(`out/checkpoint-${best}`))).toBe(true);
});

test("a metric that the task lacks is told before anything is learnt, and rows to judge by are asked for", async () => {
  const wrong = await train("wrong", ["--iters", "2", "--metric-for-best-model", "eval_f1"]);
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toMatch(/f1 is not measured here[\s\S]*the task measures loss, perplexity/);
  expect(wrong.stdout).not.toContain("Iter 1");
  const data = cli.write("alone.jsonl", [{ text: "Tom put 3 keys in the barn." }]);
  const alone = ["train", "--model", BUNDLED_MODEL, "--data", data, "--output-dir", cli.path("alone")];
  const none = await cli.run([...alone, "--early-stopping-patience", "2"]);
  expect(none.stderr).toMatch(/early_stopping_patience: there are no rows to judge by[\s\S]*--valid-split/);
});
