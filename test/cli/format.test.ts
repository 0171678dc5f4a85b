import { describe, expect, test } from "vitest";
import { knownVariables } from "../../src/cli/commands/env.ts";
import { dashedFlags } from "../../src/cli/flags.ts";
import {
  describeData,
  describeDevice,
  describeLearningRate,
  describeParameters,
  formatExponent,
  formatTestLine,
  formatTrainLine,
  formatValLine,
} from "../../src/cli/format.ts";
import { lineReporter } from "../../src/cli/reporter.ts";
import type { TokenizeReport } from "../../src/data/tokenize/tokenize-report.ts";
import { stepMetrics } from "../support/step-metrics.ts";

describe("mlx-lm's lines", () => {
  test("training: means over the steps since the last line", () => {
    expect(formatTrainLine([stepMetrics(1), stepMetrics(2)])).toBe(
      "Iter 2: Train loss 1.500, Learning Rate 1.000e-05, It/sec 2.000, Tokens/sec 20.000, Trained Tokens 20, Peak mem 27.003 GB",
    );
  });

  test("evaluation", () => {
    expect(formatValLine(1, 1.42, 19.161)).toBe("Iter 1: Val loss 1.420, Val took 19.161s");
    expect(formatTestLine({ loss: 1.413, perplexity: 4.107 })).toBe("Test loss 1.413, Test ppl 4.107.");
  });

  test.each([
    [1e-5, "1.000e-05"],
    [2e-4, "2.000e-04"],
    [0, "0.000e+00"],
    [1.5e-12, "1.500e-12"],
    [1e120, "1.000e+120"],
  ])("exponents as C prints them: %d", (x, wanted) => expect(formatExponent(x)).toBe(wanted));

  test("a line every n steps and after the last one", () => {
    const lines: string[] = [];
    const reporter = lineReporter((line) => lines.push(line), 2);
    for (const step of [1, 2, 3, 4, 5]) reporter.step(stepMetrics(step, { skipped: step === 3 })); // which the trainer tells
    reporter.close();
    expect(lines.map((line) => line.slice(0, 27))).toEqual([
      "Iter 2: Train loss 1.500, L",
      "Iter 4: Train loss 3.500, L",
      "Iter 5: Train loss 5.000, L",
    ]);
  });
});

describe("what is said before the first step", () => {
  test("a software device is announced", () => {
    const info = { vendor: "", architecture: "", subgroupSize: 0, f16: false, timestamps: false };
    expect(describeDevice({ ...info, name: "llvmpipe", software: true })).toMatch(
      /^Device: llvmpipe \(software: no GPU/,
    );
    expect(describeDevice({ ...info, name: "H200", software: false })).toBe("Device: H200");
  });

  test("the learning rate, and what was measured for the model", () => {
    const line = "Learning rate: 2e-4, ten times what is usual without LoRA (--learning-rate gives another)";
    expect(describeLearningRate(2e-4, undefined)).toBe(line);
    expect(describeLearningRate(2e-4, "someone/Llama-3.2-1B")).toBe(line);
    expect(describeLearningRate(2e-4, "meta-llama/Llama-3.2-1B")).toBe(
      `${line}; the best measured for meta-llama/Llama-3.2-1B is 1e-3, at 128 rows a step`,
    );
  });

  test("parameters", () => {
    expect(describeParameters(1_089_536, 1_542_624_768)).toBe(
      "Trainable parameters: 0.071% (1,089,536 / 1,543,714,304)",
    );
  });

  test("rows, and what became of those that are missing", () => {
    const report: TokenizeReport = {
      rows: 1200,
      truncated: 1,
      cutAtStart: 0,
      dropped: 2,
      droppedNoLabels: 3,
      droppedEmpty: 4,
      refused: 0,
      straddling: 5,
      openEnds: 6,
      longest: 999,
      longestIsLeast: false,
      tokens: 50_000,
      labelTokens: 20_000,
    };
    expect(describeData("train.jsonl", report, 512)).toEqual([
      "train.jsonl: 1,191 of 1,200 rows, 50,000 tokens, 20,000 of them trained; the longest row has 999",
      "  1 row cut to max_length 512",
      "  2 rows left out: longer than max_length 512",
      "  3 rows left out: nothing to learn (the prompt fills max_length, or the completion is empty)",
      "  4 rows left out: the text is empty",
    ]);
  });
});

test("TRL's underscores are read as dashes, in names only", () => {
  expect(dashedFlags(["--learning_rate", "a_b", "--lora_r=8_0", "-c", "x_y", "--", "--top_p"])).toEqual([
    "--learning-rate",
    "a_b",
    "--lora-r=8_0",
    "-c",
    "x_y",
    "--",
    "--top-p",
  ]);
});

test("env shows no secret", () => {
  const shown = knownVariables({
    HF_TOKEN: "hf_secret",
    HF_ENDPOINT: "https://me:sec@ret@mirror.example/hub?key=secret",
    PATH: "/bin",
    DEBUG: "",
  });
  expect(shown).toEqual({ HF_TOKEN: "(set)", HF_ENDPOINT: "https://…@mirror.example/hub?…" });
});
