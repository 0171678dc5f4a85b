// Whatever ends a training run, what was learnt is saved.

import { type ChildProcess, spawnSync } from "node:child_process";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { buildLosingDriver } from "../../scripts/lost-device/driver.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { namesIn, type RunOptions, useCli } from "./run-cli.ts";

const cli = useCli();
const FILES = ["README.md", "adapter_config.json", "adapter_model.safetensors"];
const WEIGHTS = "adapter_model.safetensors";

const row = (i: number) => ({ prompt: "Tom put", completion: ` ${i} pink candles in the barn.` });
const rows = (count: number) => Array.from({ length: count }, (_, i) => row(i % 10));

function train(out: string, more: readonly string[], options: RunOptions = {}) {
  const data = cli.write("endings.jsonl", rows(4));
  const fixed = ["--model", BUNDLED_MODEL, "--data", data, "--output-dir", cli.path(out)];
  const short = ["--batch-size", "2", "--lora-r", "4", "--learning-rate", "1e-3", "--logging-steps", "1"];
  return cli.run(["train", ...fixed, ...short, ...more], options);
}

const TO_FULL_DISK = 'exec "$0" "$@" > /dev/full';

const LONG = ["--iters", "100000"];

/** Does something once, when a line is there. */
function when(line: string | RegExp, act: (child: ChildProcess) => void) {
  let done = false;
  return (stdout: string, child: ChildProcess) => {
    if (done || stdout.search(line) < 0) return;
    done = true;
    act(child);
  };
}

describe("signals", () => {
  test.each([
    ["SIGTERM", 143],
    ["SIGHUP", 129],
    ["SIGQUIT", 131],
  ] as const)("%s saves after the step and exits with %i", async (signal, exitCode) => {
    const onOutput = when("Iter 2:", (child) => child.kill(signal));
    const { code, stdout } = await train(signal, LONG, { onOutput });
    expect(code).toBe(exitCode);
    expect(stdout).toMatch(/Interrupted after step \d+ of 100000\.\nSaved final weights/);
    expect(namesIn(cli.path(signal))).toEqual(FILES);
  });

  test("an evaluation is not waited for", async () => {
    const valid = cli.write("long-valid.jsonl", rows(200));
    const onOutput = when("Iter 1:", (child) => child.kill("SIGTERM"));
    const words = [...LONG, "--eval-data", valid, "--eval-steps", "1", "--batch-size", "1"];
    const { code, stdout } = await train("evaluating", words, { onOutput });
    expect(code).toBe(143);
    expect(stdout).toContain("Iter 0: Val loss");
    expect(stdout).not.toContain("Iter 1: Val loss");
    expect(namesIn(cli.path("evaluating"))).toEqual(FILES);
  });

  test("before the first step there is nothing to save: the process ends at once", async () => {
    const onOutput = when("Device:", (child) => child.kill("SIGTERM"));
    const { code } = await train("loading", LONG, { onOutput });
    expect(code).toBeNull(); // by the signal itself, which a shell shows as 143
    expect(existsSync(cli.path(`loading/${WEIGHTS}`))).toBe(false);
  });
});

test("each command's help says what the exit codes mean", async () => {
  const { stdout } = await cli.run(["train", "--help"]);
  expect(stdout).toMatch(/Exit codes: 0 done, [\s\S]*4 device lost, 5 out of memory, [\s\S]*141/);
});

describe("output that nobody can read", () => {
  test("closed standard output and error do not end the training", async () => {
    const onOutput = when("", (child) => {
      child.stdout?.destroy();
      child.stderr?.destroy();
    });
    const words = ["--iters", "3", "--rank-pattern", "nothing=2"];
    const { code } = await train("closed", words, { onOutput });
    expect(code).toBe(0);
    expect(namesIn(cli.path("closed"))).toEqual(FILES);
  });

  test("a full disk under the log does not, either, and is told", async () => {
    const { code, stderr } = await train("full-log", ["--iters", "3"], { shell: TO_FULL_DISK });
    expect(code).toBe(0);
    expect(stderr.match(/warning: standard output is lost: ENOSPC/g)).toHaveLength(1);
    expect(namesIn(cli.path("full-log"))).toEqual(FILES);
  });

  test("what is there for its output ends as other tools do", async () => {
    const words = ["--model", BUNDLED_MODEL, "--prompt", "Tom put", "--max-tokens", "200"];
    const onOutput = when(/./, (child) => child.stdout?.destroy());
    const generated = await cli.run(["generate", ...words], { onOutput });
    expect(generated.code).toBe(141);
    expect(generated.stderr).not.toContain("tokens-per-sec");
    const data = cli.write("endings.jsonl", rows(4));
    const evaluation = ["eval", "--model", BUNDLED_MODEL, "--data", data];
    const evaluated = await cli.run(evaluation, { shell: TO_FULL_DISK });
    expect(evaluated.code).toBe(1);
    expect(evaluated.stderr).toContain("standard output is lost: ENOSPC");
  });
});

describe("a folder that cannot be written to any more", () => {
  test("a full disk is named, and the adapter that was there stays whole", async ({ skip }) => {
    const [folder, kept] = [cli.path("full"), cli.path("kept")];
    skip(
      spawnSync("unshare", ["-rm", "true"]).status !== 0,
      "a process may not mount a disk of its own here",
    );
    await train("first", ["--iters", "1"]);
    // A disk of 1 MiB, which goes with the process: what is on it at the end is copied.
    const [mount, fill] = [
      `mount -t tmpfs -o size=1m tmpfs ${folder}`,
      `cp ${cli.path("first")}/* ${folder}`,
    ];
    const script = `${mount} && ${fill} && "$0" "$@"; code=$?; cp -r ${folder} ${kept}; exit $code`;
    const shell = `mkdir ${folder}; exec unshare -rm /bin/sh -c '${script}' "$0" "$@"`;
    const words = ["--iters", "2", "--lora-r", "64", "--save-steps", "1"];
    const { code, stdout, stderr } = await train("full", words, { shell, env: { TMPDIR: cli.path(".") } });
    expect(code, stderr).toBe(1);
    expect(stdout).toMatch(
      /warning: Iter 1: not saved, the training goes on: [\s\S]*checkpoint-1.*\n {2}→ free some space/,
    );
    expect(stderr).toMatch(/error: .*full\/adapter_model\.safetensors[\s\S]*ENOSPC[\s\S]*free some space/);
    expect(stderr).toMatch(/Saved the adapter as it was after step 2 of 2 to \S+webgpu-lora-adapter-\w+\.\n/);
    expect(namesIn(kept)).toEqual(FILES);
    const [before, after] = [cli.path(`first/${WEIGHTS}`), `${kept}/${WEIGHTS}`].map((path) =>
      readFileSync(path),
    );
    expect(after?.equals(before as Buffer)).toBe(true);
  });

  test("where it is gone, the adapter is saved elsewhere", async () => {
    const folder = cli.path("gone");
    const onOutput = when("Iter 1:", (child) => {
      renameSync(folder, `${folder}-moved`);
      writeFileSync(folder, "a file now");
      child.kill("SIGINT");
    });
    const { code, stderr } = await train("gone", LONG, { onOutput, env: { TMPDIR: cli.path(".") } });
    expect(code).toBe(1);
    const elsewhere = /Saved the adapter as it was after step \d+ of 100000 to (\S+)\.\n/.exec(
      stderr,
    )?.[1] as string;
    expect(namesIn(elsewhere)).toEqual(FILES);
  });
});

describe("what the driver does", () => {
  test("a lost device: the adapter of a finished step is saved, exactly", async ({ skip }) => {
    const built = buildLosingDriver(cli.path("."));
    if (!built) return skip("lavapipe and a C compiler are needed");
    const env = built.environment;
    const lost = await train("lost", LONG, { env, onOutput: when("Iter 5:", built.driver.lose) });
    built.driver.recover();
    expect(lost.code, lost.stderr).toBe(4);
    const saved = /Saved the adapter as it was after step (\d+) of 100000 to (\S+)\.\n/.exec(lost.stderr);
    expect(saved?.[2]).toBe(cli.path("lost"));
    expect(lost.stderr).toMatch(/the device was lost/);
    const step = saved?.[1] as string;
    expect(Number(step)).toBeGreaterThanOrEqual(1);
    const onOutput = when("Saved adapter weights", (child) => child.kill("SIGTERM"));
    await train("again", [...LONG, "--save-steps", step], { env, onOutput });
    const weights = (folder: string) => readFileSync(cli.path(`${folder}/${WEIGHTS}`));
    expect(weights("lost").equals(weights(`again/checkpoint-${step}`))).toBe(true);
  });

  test("a device that is lost once: another one is asked for, and the run ends with the same bytes", async ({
    skip,
  }) => {
    const built = buildLosingDriver(cli.path("."));
    if (!built) return skip("lavapipe and a C compiler are needed");
    const words = ["--iters", "7", "--save-steps", "6", "--lora-dropout", "0.1"];
    await train("undisturbed", words, { env: built.environment });
    const env = { ...built.environment, LOSE_ONCE: "1" };
    const reaction = { said: "Iter 4:", file: built.environment.LOSE_DEVICE as string };
    const { code, stdout, stderr } = await train("lost-once", words, { env, reaction });
    built.driver.recover();
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/warning: .*the device was lost[\s\S]*the run goes on after step \d/);
    expect(stdout.match(/^Iter \d+: Train/gm)).toHaveLength(7);
    for (const file of [WEIGHTS, "checkpoint-6/state.safetensors"]) {
      const [whole, got] = ["undisturbed", "lost-once"].map((out) =>
        readFileSync(cli.path(`${out}/${file}`)),
      );
      expect(got?.equals(whole as Buffer), file).toBe(true);
    }
  });

  test("no memory: what was learnt is saved", async ({ skip }) => {
    const built = buildLosingDriver(cli.path("."));
    if (!built) return skip("lavapipe and a C compiler are needed");
    // Steps give back what an evaluation needed; the next one asks for it again.
    const long = { text: "Ben found 9 pink candles in the shop. ".repeat(60) };
    const valid = cli.write("memory-valid.jsonl", [long, long, long, long]);
    const words = [...LONG, "--eval-data", valid, "--eval-steps", "40", "--max-length", "256"];
    const onOutput = when("Iter 30:", built.driver.exhaust);
    const { code, stderr } = await train("memory", words, { env: built.environment, onOutput });
    built.driver.recover();
    expect(code, stderr).toBe(5);
    expect(stderr).toMatch(/Saved the adapter as it was after step \d+ of 100000 to .*memory\.\n/);
    expect(stderr).toMatch(/could not give[\s\S]*use a smaller model, batch or max_length/);
    expect(namesIn(cli.path("memory"))).toEqual(FILES);
  });
});
