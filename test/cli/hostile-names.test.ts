import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { processTerminal } from "../../src/cli/terminal.ts";
import { safetensorsOf } from "../io/helpers.ts";
import { fixturePath } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();

/** Clears the screen, writes red from right to left, and begins a line that looks like one of ours. */
const NAME = "a\u001b[2J\u009b31m\u202e\rb\nerror: all is well\u2028\u007f";
const ESCAPED = "a\\u001b[2J\\u009b31m\\u202e\\rb\\nerror: all is well\\u2028\\u007f";

/** Nothing in the output that a screen obeys but the ends of our own lines. */
function expectHarmless(output: string): void {
  expect(output.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\u2028\u2029]/u);
  expect(output).not.toMatch(/^error: all is well/m);
}

test("names of tensors in warnings and errors are harmless", async () => {
  const model = cli.path("model");
  cpSync(fixturePath("llama-gqa"), model, { recursive: true });
  const file = join(model, "model.safetensors");
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString("utf8", 8, 8 + length)) as Record<string, unknown>;
  const data = bytes.subarray(8 + length);
  const write = (entry: object) =>
    writeFileSync(file, safetensorsOf(JSON.stringify({ ...header, [NAME]: entry }), data));

  write({ dtype: "F32", shape: [0], data_offsets: [data.length, data.length] });
  const warned = await cli.run(["generate", "--model", model, "--prompt", "x"]);
  expect(warned.stderr).toContain(
    `a tensor is not used, since the model of config.json has no place for it: ${ESCAPED}`,
  );
  expectHarmless(warned.stdout + warned.stderr);

  write({ dtype: "F33", shape: [0], data_offsets: [data.length, data.length] });
  const { code, stderr } = await cli.run(["generate", "--model", model, "--prompt", "x"]);
  expect(stderr).toContain(`${ESCAPED}: dtype "F33" is unknown`);
  expectHarmless(stderr);
  expect(code).toBe(1);
});

test.each([
  ["columns of a table", "rows.csv", `"${NAME}",b`],
  ["keys of a row", "rows.jsonl", JSON.stringify({ [NAME]: 1 })],
  ["a row that is no JSON", "rows.jsonl", `{${NAME}}`],
])("%s are harmless", async (_, name, line) => {
  const data = cli.write(name, [line, "1,2"]);
  const words = [
    "train",
    "--model",
    fixturePath("llama-gqa"),
    "--data",
    data,
    "--output-dir",
    cli.path("out"),
  ];
  const { code, stdout, stderr } = await cli.run(words);
  expect(code).toBe(1);
  expectHarmless(stdout + stderr);
});

test("keys of a configuration are harmless", async () => {
  const config = cli.write("train.yaml", [`${JSON.stringify(NAME)}: 1`]);
  const { code, stderr } = await cli.run(["train", "-c", config]);
  expect(code).toBe(2);
  expect(stderr).toContain(`${ESCAPED.replace("\\u007f", "")}`);
  expectHarmless(stderr);
});

test.each([
  ["a screen", true, "red\\u001b[31m\tline\n"],
  ["a pipe", false, "red\u001b[31m\tline\n"],
])("what a model writes goes to %s without, or with, what a screen would obey", async (_, isTTY, wanted) => {
  const stdout = Object.assign(new PassThrough(), { isTTY });
  const streams = { stdout, stderr: new PassThrough() } as unknown as Parameters<typeof processTerminal>[0];
  processTerminal(streams).write("red\u001b[31m\tline\n");
  stdout.end();
  expect(await text(stdout)).toBe(wanted);
});
