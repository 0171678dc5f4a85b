import { cpSync, writeFileSync } from "node:fs";
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
