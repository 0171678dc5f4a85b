import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { namesIn, useCli } from "./run-cli.ts";

const cli = useCli();
const MODEL = ["--model", BUNDLED_MODEL];

const ROWS = [
  { prompt: "Tom put", completion: " 9 pink candles in the barn." },
  { prompt: "Anna hid", completion: " 9 pink candles in the attic." },
  { text: "Ben found 9 pink candles in the shop. Then Clara found 9 pink candles in the barn." },
  { prompt: "In the hall, Ivan", completion: " counted 9 pink candles." },
];
const FILES = ["README.md", "adapter_config.json", "adapter_model.safetensors"];
const TRAIN = [...MODEL, "--learning-rate", "5e-3", "--batch-size", "2", "--lora-r", "4"];

const read = (folder: string) => FILES.map((name) => readFileSync(cli.path(`${folder}/${name}`)));
const TRAIN_LINE =
  /^Iter \d+: Train loss \d+\.\d{3}, Learning Rate \d\.\d{3}e[+-]\d\d, It\/sec \d+\.\d{3}, Tokens\/sec \d+\.\d{3}, Trained Tokens \d+, Peak mem \d+\.\d{3} GB$/;

describe("on the bundled model", () => {
  test("names that leave nothing out, or change no layer's rank, are told", async () => {
    const data = cli.write("few.jsonl", ROWS);
    const words = ["--exclude-modules", "k_prj", "--rank-pattern", "q_prj=2", "--iters", "1"];
    const run = await cli.run([
      "train",
      ...TRAIN,
      "--data",
      data,
      "--adapter-path",
      cli.path("told"),
      ...words,
    ]);
    expect(run.code, run.stderr).toBe(0);
    const said = run.stdout + run.stderr;
    expect(said).toContain('warning: exclude_modules ["k_prj"] leaves nothing out');
    expect(said).toContain('warning: "q_prj" of rank_pattern matches no adapted layer');
  });

  test("train, then generate and evaluate with the adapter, then go on from it", async () => {
    cli.write("data/train.jsonl", ROWS);
    cli.write("data/valid.jsonl", ROWS.slice(0, 2));
    const config = cli.write("c.yaml", [
      "lora_parameters: { rank: 8, scale: 4 }",
      "steps_per_report: 4",
      "iters: 3",
    ]);
    const trained = await cli.run([
      ...["train", ...MODEL, "-c", config, "--data", cli.path("data"), "--adapter-path", cli.path("out")],
      ...[
        "--iters",
        "10",
        "--steps-per-eval",
        "8",
        "--save_steps",
        "6",
        "--learning_rate",
        "5e-3",
        "--max-length",
        "16",
      ],
    ]);
    expect(trained, trained.stderr).toMatchObject({ code: 0 });
    const lines = trained.stdout.trimEnd().split("\n");
    expect(lines[0]).toMatch(/^Device: /);
    expect(lines[1]).toBe(`Model: ${BUNDLED_MODEL}`);
    expect(lines[2]).toMatch(/^Trainable parameters: \d+\.\d{3}% \([\d,]+ \/ [\d,]+\)$/);
    expect(lines[3]).toMatch(
      /^train\.jsonl: 4 rows, \d+ tokens, \d+ of them trained; the longest row has \d+$/,
    );
    expect(lines[4]).toMatch(/^ {2}\d rows? cut to max_length 16$/);
    const train = lines.filter((line) => line.includes("Train loss"));
    expect(train.map((line) => line.split(":")[0])).toEqual(["Iter 4", "Iter 8", "Iter 10"]);
    for (const line of train) expect(line).toMatch(TRAIN_LINE);
    const losses = lines.flatMap(
      (line) => /^Iter (\d+): Val loss ([\d.]+), Val took [\d.]+s$/.exec(line)?.slice(1) ?? [],
    );
    expect([losses[0], losses[2], losses[4]]).toEqual(["0", "8", "10"]);
    expect(Number(losses[5])).toBeLessThan(0.5 * Number(losses[1]));
    expect(lines.at(-1)).toBe(`Saved final weights to ${cli.path("out")}.`);
    expect(namesIn(cli.path("out"))).toEqual([...FILES, "checkpoint-6"]);
    expect(readdirSync(cli.path("out/checkpoint-6")).sort()).toEqual([
      ...FILES,
      "state.json",
      "state.safetensors",
    ]);
    expect(JSON.parse(read("out")[1]!.toString())).toMatchObject({ r: 8, lora_alpha: 32 });
    const card = read("out")[0]!.toString();
    expect(card).toMatch(/\n- data: 4 rows, \d+ tokens, \d+ tokens learnt, \d cut\n/);
    expect(card).toMatch(/\n\| 10 \| \d+\.\d{4} \| \d+\.\d{4} \|\n/);
    expect(card).not.toContain(cli.path("."));

    const words = ["--adapter-path", cli.path("out"), "--max-tokens", "12"];
    const generated = await cli.run(["generate", ...MODEL, ...words, "--prompt", "-"], {
      stdin: "Tom put",
    });
    expect(generated).toMatchObject({ code: 0, stdout: expect.stringMatching(/pink candles/) });
    expect(generated.stderr).toMatch(/Prompt: \d+ tokens, [\d.]+ tokens-per-sec\nGeneration: \d+ tokens, /);
    const plain = await cli.run(["generate", ...MODEL, "--max-tokens", "12", "--prompt", "Tom put"]);
    expect(plain.stdout).not.toMatch(/pink candles/);

    const evaluated = await cli.run([
      "eval",
      ...MODEL,
      ...words.slice(0, 2),
      "--data",
      cli.path("data"),
      "--json",
    ]);
    const { loss, perplexity, tokens } = JSON.parse(evaluated.stdout);
    expect(loss).toBeCloseTo(Number(losses[5]), 2);
    expect(perplexity).toBeCloseTo(Math.exp(loss), 6);
    expect(tokens).toBeGreaterThan(10);

    const resumed = await cli.run([
      ...["train", ...MODEL, "--data", cli.path("data"), "--output-dir", cli.path("out2")],
      ...["--resume-adapter-file", cli.path("out/adapter_model.safetensors"), "--iters", "1"],
    ]);
    expect(resumed.stdout).toMatch(new RegExp(`Iter 0: Val loss ${loss.toFixed(3)}`));
    expect(JSON.parse(read("out2")[1]!.toString())).toMatchObject({ r: 8, lora_alpha: 32 });
  });

  test("the same seed gives the same bytes, another seed others", async () => {
    const data = cli.write("rows.jsonl", ROWS);
    const train = (out: string, seed: string) => {
      const words = ["--data", data, "--output-dir", cli.path(out), "--seed", seed, "--lora-dropout", "0.1"];
      return cli.run(["train", ...TRAIN, ...words, "--iters", "3", "--no-completion-only-loss"]);
    };
    for (const [out, seed] of [
      ["a", "1"],
      ["b", "1"],
      ["c", "2"],
    ] as const) {
      expect(await train(out, seed)).toMatchObject({ code: 0 });
    }
    expect(read("a")).toEqual(read("b"));
    expect(read("a")[2]!.equals(read("c")[2]!)).toBe(false);
  });

  test("seeded sampling repeats, stop strings stop", async () => {
    const words = ["generate", ...MODEL, "--prompt", "In the", "--max-tokens", "24", "--temp", "1"];
    const [first, second, other] = await Promise.all(
      ["5", "5", "6"].map((seed) => cli.run([...words, "--seed", seed])),
    );
    expect(first?.stdout).toBe(second?.stdout);
    expect(first?.stdout).not.toBe(other?.stdout);
    const stopped = await cli.run([...words.slice(0, -2), "--stop", "zzz", "."]);
    expect(stopped.stdout).not.toContain(".");
  });

  test("Ctrl-C finishes the step, saves and exits with 130", async () => {
    const data = cli.write("rows.jsonl", ROWS);
    let sent = false;
    const words = [
      "--data",
      data,
      "--output-dir",
      cli.path("int"),
      "--iters",
      "100000",
      "--logging-steps",
      "1",
    ];
    const { code, stdout } = await cli.run(["train", ...TRAIN, ...words], {
      onOutput(stdout, child) {
        if (sent || !stdout.includes("Iter 2:")) return;
        sent = child.kill("SIGINT");
        setTimeout(() => child.kill("SIGINT"), 1); // npx passes on what the terminal has sent already
      },
    });
    expect(code).toBe(130);
    expect(stdout).toMatch(/Interrupted after step \d+ of 100000\.\nSaved final weights/);
    expect(namesIn(cli.path("int"))).toEqual(FILES);
  });

  test("a reader that goes away does not stop the training", async () => {
    const data = cli.write("rows.jsonl", ROWS);
    const words = ["--data", data, "--output-dir", cli.path("pipe"), "--iters", "3", "--logging-steps", "1"];
    const { code } = await cli.run(["train", ...TRAIN, ...words], {
      onOutput: (_, child) => child.stdout?.destroy(),
    });
    expect(code).toBe(0);
    expect(existsSync(cli.path("pipe/adapter_model.safetensors"))).toBe(true);
  });
});

test("env tells the device and no secret", async () => {
  const { code, stdout } = await cli.run(["env", "--json"], { env: { HF_TOKEN: "hf_secret" } });
  expect(code).toBe(0);
  expect(stdout).not.toContain("hf_secret");
  expect(JSON.parse(stdout)).toMatchObject({
    versions: { node: process.version, "webgpu-lora": expect.stringMatching(/^\d/) },
    adapter: { name: expect.any(String), limits: { maxBufferSize: expect.any(Number) } },
    variables: { HF_TOKEN: "(set)" },
  });
  const text = await cli.run(["env"], { env: { HF_TOKEN: "hf_secret" } });
  expect(text.stdout).toMatch(/^webgpu-lora: [\d.]+\n[\s\S]*\nadapter: .+\n[\s\S]*HF_TOKEN: \(set\)\n$/);
});
