import { cpSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();

test("generation_config.json says how tokens are chosen, and the command line says it better", async () => {
  const model = cli.path("model");
  cpSync(BUNDLED_MODEL, model, { recursive: true });
  const config = { do_sample: true, temperature: 1.5, top_k: 7, no_repeat_ngram_size: 3 };
  writeFileSync(`${model}/generation_config.json`, JSON.stringify(config));
  const words = ["generate", "--model", model, "--prompt", "In the", "--max-tokens", "12"];
  const own = await cli.run(words);
  expect(own.stderr).toContain("Sampling of the model's generation_config.json: temperature 1.5, top_k 7\n");
  expect(own.stderr).toContain("generation_config.json has no_repeat_ngram_size 3, not used here");
  const greedy = await cli.run([...words, "--temp", "0"]);
  expect(greedy.stderr).toContain("Sampling of the model's generation_config.json: top_k 7\n");
  expect([own.code, greedy.code]).toEqual([0, 0]);
  expect(greedy.stdout).not.toBe(own.stdout);
  const plain = await cli.run(["generate", "--model", BUNDLED_MODEL, ...words.slice(3)]);
  expect(plain.stdout).toBe(greedy.stdout);
  expect(plain.stderr).not.toContain("Sampling of");
}, 120_000);

test("prompts of a file are continued side by side, and printed as rows in their order", async () => {
  const words = ["generate", "--model", BUNDLED_MODEL, "--max-tokens", "8"];
  const lines = ["In the morning", "", "Tom", "The old house was"];
  const path = cli.write("prompts.txt", lines);
  const { code, stdout, stderr } = await cli.run([...words, "--prompts", path, "--batch-size", "2"]);
  expect(code, stderr).toBe(0);
  const rows = stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as { prompt: string; completion: string });
  expect(rows.map(({ prompt }) => prompt)).toEqual(lines.filter(Boolean));
  const alone = await cli.run([...words, "--prompt", "Tom"]);
  expect(`${rows[1]?.completion}\n`).toBe(alone.stdout);
  expect(stderr).toMatch(/^Prompts: 3, \d+ tokens\nGeneration: \d+ tokens, [\d.]+ tokens-per-sec/m);

  writeFileSync(cli.path("prompts.txt.gz"), gzipSync(lines.join("\n")));
  const packed = await cli.run([...words, "--prompts", cli.path("prompts.txt.gz"), "--batch-size", "2"]);
  expect(packed.stdout, packed.stderr).toBe(stdout);
  const piped = await cli.run([...words, "--prompts", "-", "--batch-size", "2"], { stdin: lines.join("\n") });
  expect(piped.stdout, piped.stderr).toBe(stdout);
  const rowsPiped = await cli.run([...words, "--prompts", "-"], { stdin: '{"prompt": "Tom"}\n' });
  expect(JSON.parse(rowsPiped.stdout)).toEqual(rows[1]);

  const asked = { messages: [{ role: "user", content: "Who?" }] };
  const template = cli.write("t.jinja", ["{% for m in messages %}{{ m.content }}\n{% endfor %}"]);
  const data = cli.write("prompts.jsonl", [
    { question: "Tom", completion: "is left alone" },
    { ...asked, question: null },
    {
      question: [
        { role: "user", content: "Who?" },
        { role: "assistant", content: "It" },
      ],
    },
  ]);
  const bad = await cli.run([...words, "--prompts", data, "--columns", "prompt=question"]);
  expect([bad.code, bad.stderr]).toEqual([1, expect.stringMatching(/prompts\.jsonl:2: "prompt" is null/)]);
  const chats = cli.write("chats.jsonl", [
    asked,
    { prompt: [...asked.messages, { role: "assistant", content: "It" }] },
  ]);
  const answered = await cli.run([...words, "--prompts", chats, "--chat-template", template]);
  expect(answered.code, answered.stderr).toBe(0);
  const [first, second] = answered.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as typeof asked);
  expect(first?.messages.map(({ role }) => role)).toEqual(["user", "assistant"]);
  expect(second?.messages.map(({ role }) => role)).toEqual(["user", "assistant"]);
  expect(second?.messages[1]?.content).toMatch(/^It./);

  const both = await cli.run([...words, "--prompts", path, "--prompt", "a"]);
  expect(both).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("prompt and prompts are both given"),
  });
  const idle = await cli.run([...words, "--prompt", "a", "--batch-size", "2"]);
  expect(idle).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("batch_size is given, which is for"),
  });
}, 120_000);

test("a model with layers stacked anew is trained, and stacked so again for its adapter", async () => {
  const data = cli.write("repeated.jsonl", [{ text: "Tom was tired." }, { text: "The old house" }]);
  const output = cli.path("repeated");
  const words = ["--data", data, "--max-steps", "2", "--lora-r", "2", "--output-dir", output];
  const replication = ["--layer-replication", "[[0, 3], [1, 4]]"];
  const trained = await cli.run(["train", "--model", BUNDLED_MODEL, ...words, ...replication]);
  expect(trained.code, trained.stderr).toBe(0);
  const generate = ["generate", "--model", BUNDLED_MODEL, "--prompt", "Tom", "--max-tokens", "4"];
  const { code, stdout, stderr } = await cli.run([...generate, "--adapter", output]);
  expect(code, stderr).toBe(0);
  expect(stderr).not.toContain("warning");
  expect(stdout).not.toBe((await cli.run(generate)).stdout);
  const made = ["--lora-rank", "4", "--to", "peft", "--output", cli.path("plain")];
  expect((await cli.run(["convert", output, ...made])).stderr).toContain("layer_replication is set");
}, 60_000);
