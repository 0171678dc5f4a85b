import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BUNDLED_MODEL, fixturePath } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const MODEL = fixturePath("llama-gqa"); // has no tokenizer: good enough for what is found out before it is needed
const ROWS = [{ text: "hello" }];

/** Runs `train` into the folder `out`, which must not exist afterwards. */
async function failingTrain(words: readonly string[]): Promise<{ code: number | null; stderr: string }> {
  const { code, stderr } = await cli.run(["train", "--output-dir", cli.path("out"), ...words]);
  expect(existsSync(cli.path("out")), "an output folder was made").toBe(false);
  return { code, stderr };
}

describe("usage: exit code 2", () => {
  test.each([
    ["nothing at all", [], /Usage: webgpu-lora .*train/s],
    ["an unknown command", ["trian"], /unknown command 'trian'\n\(Did you mean train\?\)/],
    ["an unknown flag", ["train", "--itrs", "3"], /unknown option '--itrs'\n\(Did you mean --iters\?\)/],
    ["a missing value", ["train", "--model"], /argument missing/],
    ["missing options", ["train"], /2 problems:\n.*model is missing; give --model REF\n.*data is missing/],
    [
      "no prompt",
      ["generate", "--model", MODEL],
      /prompt is missing\n.*give --prompt TEXT, a chat with --messages FILE, or several with --prompts FILE/,
    ],
    [
      "values out of range",
      ["train", "--model", MODEL, "--data", "x", "--lora-r", "0", "--lora_dropout", "1"],
      /--lora-r is "0", wanted a whole number of at least 1\n.*--lora-dropout is "1", wanted a number of at least 0 and below 1/,
    ],
    [
      "an option of another schedule",
      ["train", "--model", MODEL, "--data", "x", "--lr-scheduler-kwargs", "min_lr=1"],
      /lr_scheduler_kwargs: minLr is for cosine_with_min_lr/,
    ],
    [
      "a rank for an adapter that has one",
      ["train", "--model", MODEL, "--data", "x", "--resume-adapter-file", "y", "--rank", "4"],
      /lora_r comes from the adapter that is resumed/,
    ],
  ])("%s", async (_, words, message) => {
    const { code, stdout, stderr } = await cli.run(words);
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  test("help and version are no failure", async () => {
    expect(await cli.run(["--version"])).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+/),
    });
    const { code, stdout } = await cli.run(["train", "--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/--max-steps <n> .*also --iters/);
  });

  test("an unknown key in YAML names the nearest", async () => {
    const config = cli.write("bad.yaml", ["model: x", "lora_rank: 4", "warmup_stps: 3"]);
    const { code, stderr } = await failingTrain(["-c", config, "--data", "x"]);
    expect(code).toBe(2);
    expect(stderr).toContain("warmup_stps is unknown; did you mean warmup_steps?");
  });

  test("a configuration that is not there", async () => {
    const { code, stderr } = await failingTrain(["-c", cli.path("none.yaml")]);
    expect({ code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("none.yaml: no such file"),
    });
  });
});

describe("bad input: exit code 1, one message, no output folder", () => {
  test("every bad line of every file, before any device is opened", async () => {
    const train = cli.write("bad.jsonl", [
      { text: "fine" },
      { text: 1 },
      { txt: "a" },
      "",
      { prompt: "a" },
      [1],
    ]);
    const valid = cli.write("bad-valid.jsonl", ["{", { text: "fine" }]);
    const { code, stderr } = await failingTrain(["--model", MODEL, "--data", train, "--eval-data", valid]);
    expect(code).toBe(1);
    for (const line of [2, 3, 5, 6]) expect(stderr).toContain(`- ${train}:${line}: `);
    expect(stderr).toContain(`- ${valid}:1: `);
    expect(stderr).toContain('did you mean "text" for "txt"?');
    expect(stderr).not.toMatch(/Device|\n {4}at /);
  });

  test("no such data", async () => {
    const { code, stderr } = await failingTrain(["--model", MODEL, "--data", cli.path("none.jsonl")]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("none.jsonl is not there"),
    });
  });

  test("a folder without train.jsonl says what it holds", async () => {
    cli.write("folder/rows.jsonl", ROWS);
    const { code, stderr } = await failingTrain(["--model", MODEL, "--data", cli.path("folder")]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no train\.jsonl; it holds rows\.jsonl/),
    });
  });

  test("no such model", async () => {
    const data = cli.write("rows.jsonl", ROWS);
    const { code, stderr } = await failingTrain(["--model", cli.path("none"), "--data", data]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/none: no such folder/),
    });
  });

  test("an output folder below a file", async () => {
    const data = cli.write("rows.jsonl", ROWS);
    const { code, stderr } = await cli.run([
      "train",
      "--model",
      MODEL,
      "--data",
      data,
      "--output-dir",
      `${data}/out`,
    ]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: output_dir: .* is a file/),
    });
  });

  test.runIf(process.platform === "linux")("an output folder that cannot be written to", async () => {
    const data = cli.write("rows.jsonl", ROWS);
    const { code, stderr } = await cli.run([
      "train",
      "--model",
      MODEL,
      "--data",
      data,
      "--output-dir",
      "/proc/out",
    ]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: output_dir: .*cannot be written/),
    });
  });

  test("looking whether a folder can be written to leaves nothing in it", async () => {
    const data = cli.write("rows.jsonl", ROWS);
    mkdirSync(cli.path("kept"));
    await cli.run(["train", "--model", cli.path("none"), "--data", data, "--output-dir", cli.path("kept")]);
    expect(readdirSync(cli.path("kept"))).toEqual([]);
  });

  test("a target that matches nothing lists what there is", async () => {
    const data = cli.write("rows.jsonl", ROWS);
    const { code, stderr } = await failingTrain([
      "--model",
      MODEL,
      "--data",
      data,
      "--target-modules",
      "c_attn",
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/c_attn[\s\S]*q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj/);
  });

  test("a rate of LoRA+ that nothing would have", async () => {
    const data = cli.write("rows.jsonl", ROWS);
    const words = ["--model", MODEL, "--data", data, "--method", "loha", "--loraplus-lr-ratio", "4"];
    const { code, stderr } = await failingTrain(words);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/loraplus_lr_ratio is 4: nothing/)]);
  });

  test("a model without a tokenizer", async () => {
    const data = cli.write("rows.jsonl", ROWS);
    const { code, stderr } = await failingTrain(["--model", MODEL, "--data", data]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("has no tokenizer.json"),
    });
    const generated = await cli.run(["generate", "--model", MODEL, "--prompt", "a"]);
    expect(generated.stderr).toContain("has no tokenizer.json");
    expect(generated.code).toBe(1);
  });

  test("all rows dropped", async () => {
    const data = cli.write("long.jsonl", [{ text: "Once upon a time there was a dog." }, { text: "" }]);
    const words = ["--model", BUNDLED_MODEL, "--data", data, "--max-length", "4", "--truncation", "drop"];
    const { code, stderr } = await failingTrain(words);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /long\.jsonl: .*none of the 2 rows is left: 1 too long, 0 without labels, 1 empty/,
    );
  });

  test("the stack is shown to those who ask", async () => {
    const words = ["eval", "--model", MODEL, "--data", cli.path("none.jsonl")];
    const { stderr } = await cli.run(words, { env: { DEBUG: "webgpu-lora" } });
    expect(stderr).toMatch(/\n {4}at /);
  });
});
