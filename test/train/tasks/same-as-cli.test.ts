import { cpSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  attach,
  decodeImage,
  evaluate,
  type LoadedModel,
  loadTaskModel,
  lora,
  saveAdapter,
  train,
} from "../../../src/index.node.ts";
import { useCli } from "../../cli/run-cli.ts";
import { testDevice } from "../../support/device.ts";
import { BUNDLED_MODEL, fixturePath } from "../../support/fixtures.ts";
import { LETTERS, writeTaskModel } from "../../support/task-model.ts";

const cli = useCli();
const SETTINGS = ["--iters", "3", "--batch-size", "2", "--seed", "5", "--lora-r", "2", "--eval-steps", "0"];
const OPTIONS = { maxSteps: 3, batchSize: 2, seed: 5 };

interface Config {
  r: number;
  lora_alpha: number;
  lora_dropout: number;
  target_modules: string[] | string;
}

/** Trains by the command line; what `adapter_config.json` says of the adapter is what the library is asked for. */
async function byCli(task: string, model: string, data: string, more: readonly string[] = []) {
  const out = cli.path(`${task}-cli`);
  const words = ["--task", task, "--model", model, "--data", data];
  const trained = await cli.run(["train", ...words, "--output-dir", out, ...SETTINGS, ...more]);
  expect(trained, trained.stderr + trained.stdout).toMatchObject({ code: 0 });
  const judged = await cli.run(["eval", ...words, "--adapter-path", out, "--json"]);
  expect(judged, judged.stderr).toMatchObject({ code: 0 });
  const config = JSON.parse(readFileSync(`${out}/adapter_config.json`, "utf8")) as Config;
  const { r, lora_alpha: alpha, lora_dropout: dropout, target_modules: targetModules } = config;
  return {
    bytes: readFileSync(`${out}/adapter_model.safetensors`),
    figures: JSON.parse(judged.stdout) as Record<string, unknown>,
    method: lora({ r, alpha, dropout, targetModules }),
  };
}

/** Trains by the library with `learn`, and judges what came of it. */
async function byLibrary<M extends LoadedModel>(
  model: M,
  method: ReturnType<typeof lora>,
  learn: (model: M, adapter: ReturnType<typeof attach>) => AsyncIterable<unknown>,
) {
  const adapter = attach(model, method, { seed: OPTIONS.seed });
  for await (const _ of learn(model, adapter));
  const folder = cli.path(`${model.task}-library`);
  await saveAdapter(adapter, folder);
  return readFileSync(`${folder}/adapter_model.safetensors`);
}

test("sequence classification, with a new head", async () => {
  const path = writeTaskModel(cli.path("bert-masked"), "bert-masked");
  const rows = LETTERS.slice(0, 6).map((letter, i) => ({
    text: `${i % 2 ? "good" : "bad"} film ${letter}`,
    label: i % 2 ? "pos" : "neg",
  }));
  const expected = await byCli("sequence-classification", path, cli.write("rows.jsonl", rows));
  const device = await testDevice();
  const head = { task: "sequence-classification", labels: ["neg", "pos"], seed: OPTIONS.seed } as const;
  const model = await loadTaskModel(path, { device, ...head });
  const bytes = await byLibrary(model, expected.method, (of, adapter) => train(of, adapter, rows, OPTIONS));
  expect(bytes.equals(expected.bytes)).toBe(true);
  const { loss, accuracy, f1, confusion } = await evaluate(model, rows);
  expect(expected.figures).toMatchObject({ loss, accuracy, f1, confusion });
  model.release();
});

test("token classification", async () => {
  const path = writeTaskModel(cli.path("bert-token"), "bert-token");
  const tags = ["B-THING", "O"];
  const rows = LETTERS.slice(0, 6).map((letter) => ({ words: ["film", letter], tags }));
  const lines = rows.map(({ words, tags }) => ({ tokens: words, tags }));
  const data = cli.write("tokens.jsonl", lines);
  const expected = await byCli("token-classification", path, data);
  const head = { task: "token-classification", labels: tags, seed: OPTIONS.seed } as const;
  const model = await loadTaskModel(path, { device: await testDevice(), ...head });
  const bytes = await byLibrary(model, expected.method, (of, adapter) => train(of, adapter, rows, OPTIONS));
  expect(bytes.equals(expected.bytes)).toBe(true);
  const { loss, entities } = await evaluate(model, rows);
  expect(expected.figures).toMatchObject({ loss, entities });
  model.release();
});

test("images", async () => {
  const path = cli.path("vit");
  cpSync(fixturePath("tasks/vit"), path, { recursive: true });
  const files = { colour: ["alpha.png", "colour.jpg", "colour.png"], grey: ["grey.png"] };
  for (const [label, names] of Object.entries(files))
    for (const name of names) cpSync(fixturePath(`images/${name}`), cli.path(`pictures/${label}/${name}`));
  const expected = await byCli("image-classification", path, cli.path("pictures"));
  const labels = Object.keys(files);
  const head = { task: "image-classification", labels, seed: OPTIONS.seed } as const;
  const model = await loadTaskModel(path, { device: await testDevice(), ...head });
  const rows = Object.entries(files).flatMap(([label, names]) =>
    names.map((name) => {
      const bytes = new Uint8Array(readFileSync(fixturePath(`images/${name}`)));
      return { image: () => decodeImage(bytes, name), label };
    }),
  );
  const bytes = await byLibrary(model, expected.method, (of, adapter) => train(of, adapter, rows, OPTIONS));
  expect(bytes.equals(expected.bytes)).toBe(true);
  const { loss, accuracy } = await evaluate(model, rows);
  expect(expected.figures).toMatchObject({ loss, accuracy });
  model.release();
});

const PAIRS = [
  { prompt: "Tom put", chosen: " 9 pink candles in the barn.", rejected: " 3 red lamps." },
  { prompt: "Ivan counted", chosen: " 3 red lamps on the stairs.", rejected: " no lamps." },
  { prompt: "same", chosen: " a", rejected: " a" },
  { prompt: "Where", chosen: " is it?", rejected: " are 3 red lamps." },
];

test("dpo, at its own rate, and kto, whose pairs are taken apart", async () => {
  const data = cli.write("pairs.jsonl", PAIRS);
  const device = await testDevice();
  for (const [name, flags] of [
    ["dpo", ["--beta", "0.3", "--precompute-ref-log-probs"]],
    ["kto", []],
  ] as const) {
    const expected = await byCli(name, BUNDLED_MODEL, data, flags);
    const model = await loadTaskModel(BUNDLED_MODEL, { device, task: "causal-lm" });
    const bytes = await byLibrary(model, expected.method, (of, adapter) =>
      name === "dpo"
        ? train(of, adapter, PAIRS, { ...OPTIONS, task: { name, beta: 0.3, precomputeRefLogProbs: true } })
        : train(of, adapter, PAIRS, { ...OPTIONS, task: name }),
    );
    expect(bytes.equals(expected.bytes), name).toBe(true);
    const { loss, terms, metrics } = await evaluate(model, PAIRS, { task: name });
    expect(expected.figures, name).toMatchObject({ loss, terms, ...metrics });
    model.release();
  }
});
