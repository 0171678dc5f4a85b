import { afterEach, expect, test } from "vitest";
import { runTrialsOnRay } from "../../src/cli/sweep/ray-trials.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { fakeProgram } from "./fake-program.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();

afterEach(() => {
  delete process.env.WEBGPU_LORA_PYTHON;
});

/** Follows two trials through a Python process that answers so. @returns the exit code, and what was told */
async function follow(answers: readonly object[]): Promise<{ code: number; told: string; ends: number }> {
  const lines = answers.map((answer) => `console.log(JSON.stringify(${JSON.stringify(answer)}));`);
  const check = `
    const { resource, commands } = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    if (resource !== "webgpu" || commands[1].slice(2, 5).join() !== "train,--config,s/trial-4/trial.json") process.exit(9);
    if (process.argv.at(-1) !== "head:6379" || commands[0].at(-1) !== "m") process.exit(8);
  `;
  const script = `import { createRequire } from "node:module"; const require = createRequire(import.meta.url);\n${check}${lines.join("\n")}`;
  process.env.WEBGPU_LORA_PYTHON = fakeProgram(cli.path("ray"), script);
  let [told, ends] = ["", 0];
  const tell = (line: string) => {
    told += `${line}\n`;
  };
  const trials = [3, 4].map((index) => ({ index, values: { lora_r: index }, folder: `s/trial-${index}` }));
  const terminal = { print: tell, note: tell } as Terminal;
  const onEnd = () => {
    ends++;
  };
  const sweep = { trials, total: 5, flags: ["--model", "m"], terminal, onEnd };
  return { code: await runTrialsOnRay("head:6379", sweep), told, ends };
}

const FINISHED = { index: 1, code: 0, tail: "" };

test("follows trials to their ends, in whatever order", async () => {
  const { code, told, ends } = await follow([{ resources: 1 }, FINISHED, { ...FINISHED, index: 0 }]);
  expect([code, ends]).toEqual([0, 2]);
  expect(told).toMatch(
    /Trial 3 of 5: lora_r 3\nTrial 4 of 5: lora_r 4\nTrial 4 is finished.\nTrial 3 is finished/,
  );
});

test("tells what a trial that failed has printed, and that no node takes any", async () => {
  const failed = { index: 0, code: 1, tail: "error: m: no such folder\n  → check the path" };
  const { code, told } = await follow([{ resources: 0 }, FINISHED, failed]);
  expect(code).toBe(1);
  expect(told).toMatch(
    /No node offers webgpu yet: the trials wait; a node offers it by ray start --resources/,
  );
  expect(told).toMatch(/warning: trial 3 ended with 1\nerror: m: no such folder\n/);
});

test.each([
  [{ error: "no Ray cluster answers at head:6379: refused" }, /no Ray cluster answers.*\n.*ray start --head/],
  [{ error: "python3 cannot import ray: none" }, /cannot import ray.*\n.*pip install ray/],
  [{ resources: 1 }, /has ended/],
])("%o ends the sweep with a remedy", async (answer, message) => {
  await expect(follow([answer])).rejects.toThrow(message);
});
