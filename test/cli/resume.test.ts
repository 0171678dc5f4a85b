import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkpointsIn } from "../../src/cli/checkpoints.ts";
import { createRandom, type Random } from "../../src/util/random.ts";
import { bundleForNode } from "../support/bundle.ts";
import { BUNDLED_MODEL, fixturePath } from "../support/fixtures.ts";
import { type RunOptions, useCli } from "./run-cli.ts";

const cli = useCli();
const ROWS = ["barn", "attic", "shop", "hall", "shed"].map((place, i) => ({
  text: `Tom put ${i + 2} keys in the ${place}.`,
}));
const WEIGHTS = "adapter_model.safetensors";

/** A run of six steps with a checkpoint and an evaluation after every second. */
function train(output: string, words: readonly string[] = [], options: RunOptions = {}) {
  const data = cli.write("rows.jsonl", ROWS);
  return cli.run(
    [
      ...[
        "train",
        "--model",
        BUNDLED_MODEL,
        "--data",
        data,
        "--eval-data",
        data,
        "--output-dir",
        cli.path(output),
      ],
      ...["--iters", "6", "--save-steps", "2", "--eval-steps", "2", "--logging-steps", "1", "--lora-r", "2"],
      ...["--lora-dropout", "0.2", "--batch-size", "2", ...words],
    ],
    options,
  );
}

const weights = (folder: string) => readFileSync(cli.path(`${folder}/${WEIGHTS}`));
/** What `metrics.jsonl` says, but for times. */
const curve = (folder: string) =>
  readFileSync(cli.path(`${folder}/metrics.jsonl`), "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const { step, epoch, loss, eval_loss, grad_norm, num_tokens } = JSON.parse(line);
      return { step, epoch, loss, eval_loss, grad_norm, num_tokens };
    });
const checkpoints = (folder: string) =>
  readdirSync(cli.path(folder))
    .filter((name) => name.startsWith("checkpoint-"))
    .sort();

beforeAll(async () => {
  const whole = await train("whole");
  expect(whole.code, whole.stderr).toBe(0);
});

test("killed and resumed, a run comes to the bytes of the whole one, and its evaluations", async () => {
  const killed = await train("killed", [], { reaction: { said: "checkpoint-4", signal: "SIGKILL" } });
  expect(killed.code).toBeNull();
  expect(existsSync(cli.path(`killed/${WEIGHTS}`))).toBe(false);
  const { code, stdout, stderr } = await train("killed", ["--resume"]);
  expect(code, stderr).toBe(0);
  expect(stdout).toContain(`Resuming from ${cli.path("killed/checkpoint-4")}, after step 4`);
  expect(stdout.match(/Iter \d+: Train/g)).toEqual(["Iter 5: Train", "Iter 6: Train"]);
  expect(weights("killed")).toEqual(weights("whole"));
  expect(curve("killed")).toEqual(curve("whole"));
  for (const file of ["state.json", "state.safetensors", WEIGHTS])
    expect(readFileSync(cli.path(`killed/checkpoint-6/${file}`))).toEqual(
      readFileSync(cli.path(`whole/checkpoint-6/${file}`)),
    );
});

test("the configuration that is saved with it runs again to the same bytes; the command line wins", async () => {
  const words = ["train", "--config", cli.path("whole/config.yaml"), "--output-dir", cli.path("again")];
  const { code, stdout, stderr } = await cli.run([...words, "--save-steps", "0"]);
  expect(code, stderr).toBe(0);
  expect(weights("again")).toEqual(weights("whole"));
  expect(stdout).not.toContain("Saved adapter weights");
});

test("what changed is told and refused, unless it is forced", async () => {
  const checkpoint = cli.path("whole/checkpoint-4");
  const words = ["--resume", checkpoint, "--learning-rate", "1e-3", "--lora-dropout", "0"];
  const refused = await train("changed", words);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toMatch(/learning_rate was 0\.0002, and is 0\.001/);
  expect(refused.stderr).toMatch(/lora_dropout was 0\.2, and is 0\b/);
  expect(refused.stderr).toContain("--force");
  const forced = await train("changed", [...words, "--force"]);
  expect(forced.code, forced.stderr).toBe(0);
  expect(forced.stdout).toContain("warning: learning_rate was 0.0002, and is 0.001");
  const ranks = await train("changed", ["--resume", checkpoint, "--lora-r", "3", "--force"]);
  expect(ranks.stderr).toMatch(/lora_A was \[2,\d+\], and is \[3,\d+\]/);
});

test("other rows are refused, a checkpoint that is cut off too, and a folder without one", async () => {
  const other = cli.write("other.jsonl", [...ROWS, { text: "Anna hid a key." }]);
  const changed = await train("other", ["--resume", cli.path("whole/checkpoint-4"), "--data", other]);
  expect(changed.stderr).toContain("the data has another content than it had");
  const cut = cli.path("cut/checkpoint-2");
  cli.write("cut/checkpoint-2/state.json", []);
  for (const name of readdirSync(cli.path("whole/checkpoint-2")))
    copyFileSync(cli.path(`whole/checkpoint-2/${name}`), join(cut, name));
  writeFileSync(join(cut, "state.safetensors"), readFileSync(join(cut, "state.safetensors")).subarray(0, -8));
  expect((await train("cut", ["--resume"])).stderr).toMatch(
    /state\.safetensors is not the one that state\.json names/,
  );
  // The newest one is damaged, an older one is whole: the error names it.
  const whole = cli.path("cut/checkpoint-1");
  cpSync(cli.path("whole/checkpoint-2"), whole, { recursive: true });
  expect((await train("cut", ["--resume"])).stderr).toContain(
    `--resume ${whole} goes on from the newest that is whole`,
  );
  expect((await train("none", ["--resume", cli.path("none-there")])).stderr).toContain(
    "holds no checkpoint of a run",
  );
});

test("auto begins where there is no checkpoint; old ones go but for the best", async () => {
  const { code, stdout, stderr } = await train("limited", ["--resume", "auto", "--save-total-limit", "1"]);
  expect(code, stderr).toBe(0);
  expect(stdout).toContain("holds no checkpoint: the run begins at its first step");
  expect(weights("limited")).toEqual(weights("whole"));
  const { best } = JSON.parse(readFileSync(cli.path("limited/checkpoint-6/state.json"), "utf8"));
  expect(checkpoints("limited")).toEqual([...new Set([`checkpoint-${best.step}`, "checkpoint-6"])].sort());
});

test("a run that had come to its end has nothing to do, and leaves the same", async () => {
  const before = weights("whole");
  rmSync(cli.path(`whole/${WEIGHTS}`));
  const { code, stderr } = await train("whole", ["--resume"]);
  expect(code, stderr).toBe(0);
  expect(weights("whole")).toEqual(before);
});

const outdir = resolve(`node_modules/.cache/webgpu-lora/resume-kills-${process.pid}`);
afterAll(() => rmSync(outdir, { recursive: true, force: true }));
const STEPS = 60;
const KILLS = 20;
/** Steps that a run saves at most before it is killed, however late the signal comes: it is not through before. */
const STEPS_OF_A_LIFE = Math.floor((STEPS - 1) / (KILLS / 2));

/** Two runs side by side, each killed again and again. More of them: node build.mjs --run scripts/kills.ts resume --kills 100 */
test("20 kills at any moment, resumed each time, come to the bytes of the whole run", {
  timeout: 300_000,
}, async () => {
  const program = join(outdir, "bare-run.js");
  await bundleForNode({ entryPoints: ["scripts/kills/bare-run.ts"], outfile: program });
  const start = (folder: string, holdAfter?: number) => {
    const words = [program, fixturePath("llama-tied"), cli.path(folder), `${STEPS}`];
    if (holdAfter) words.push(`${holdAfter}`);
    return spawn(process.execPath, words, { stdio: ["ignore", "pipe", "ignore"] });
  };
  const toEnd = async (folder: string) => {
    const child = start(folder);
    child.stdout.resume();
    expect((await once(child, "close"))[0]).toBe(0);
  };
  await toEnd("bare");
  const newest = (folder: string) => Number(checkpointsIn(cli.path(folder)).at(-1)?.step ?? 0);
  /** Kills it within the first steps that it saves, or in a fifth of all cases while it starts. */
  const kill = async (folder: string, random: Random) => {
    const child = start(folder, STEPS_OF_A_LIFE);
    const closed = once(child, "close");
    const saves = random.uniform() < 0.2 ? 0 : 1 + random.integer(2);
    let said = "";
    await new Promise<void>((resolve) => {
      if (saves === 0) resolve();
      child.once("close", () => resolve());
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        said += text;
        if ((said.match(/saved \d+\n/g)?.length ?? 0) >= saves) resolve();
      });
    });
    await delay(random.uniform() * (saves === 0 ? 500 : 30));
    child.kill("SIGKILL");
    expect((await closed)[1], said).toBe("SIGKILL"); // it had not come to its end
    const told = Number(/saved (\d+)\n$/.exec(said)?.[1] ?? 0);
    expect(newest(folder)).toBeGreaterThanOrEqual(told);
  };
  const chain = async (folder: string) => {
    const random = createRandom(7).fork(folder);
    for (let i = 0; i < KILLS / 2; i++) await kill(folder, random);
    const reached = newest(folder);
    await toEnd(folder);
    for (const file of [
      WEIGHTS,
      ...["state.json", "state.safetensors"].map((name) => `checkpoint-${STEPS}/${name}`),
    ])
      expect(
        readFileSync(cli.path(`${folder}/${file}`)).equals(readFileSync(cli.path(`bare/${file}`))),
        file,
      ).toBe(true);
    return reached;
  };
  const reached = await Promise.all([chain("bare-1"), chain("bare-2")]);
  for (const step of reached) {
    expect(step).toBeGreaterThan(KILLS / 4); // the kills were spread over the run
    expect(step).toBeLessThan(STEPS);
  }
});
