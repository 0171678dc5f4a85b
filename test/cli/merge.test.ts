import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { BUNDLED_MODEL, fixturePath, readJsonFile } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const fixture = fixturePath("llama-tied");

test("a merged model does without the adapter what the model does with it; a loss map shows both", async () => {
  const data = cli.write("rows.jsonl", [
    { prompt: "Tom put", completion: " 9 pink candles in the barn." },
    { prompt: "Anna hid", completion: " 9 pink candles in the attic." },
  ]);
  const [adapter, out] = [cli.path("adapter"), cli.path("merged")];
  const model = ["--model", BUNDLED_MODEL];
  const trained = await cli.run([
    ...["train", ...model, "--data", data, "--output-dir", adapter],
    ...["--iters", "8", "--learning-rate", "1e-2"],
  ]);
  expect(trained, trained.stderr).toMatchObject({ code: 0 });
  const merged = await cli.run(["merge", ...model, "--adapter-path", adapter, "--save-path", out]);
  expect(merged, merged.stderr).toMatchObject({ code: 0 });
  expect(merged.stdout).toBe(`Merged ${adapter} into ${BUNDLED_MODEL}: 28 layers. Saved to ${out}.\n`);
  expect(readdirSync(out)).toEqual(readdirSync(BUNDLED_MODEL).filter((name) => name !== "README.md"));
  const lossOf = async (words: readonly string[]) => {
    const { stdout } = await cli.run(["eval", ...words, "--data", data, "--json"]);
    return (JSON.parse(stdout) as { loss: number }).loss;
  };
  const map = cli.path("map.html");
  const mapped = ["--adapter-path", adapter, "--loss-map", map, "--loss-map-rows", "2", "--streaming"];
  const [base, adapted] = [await lossOf(model), await lossOf([...model, ...mapped])];
  expect(adapted).toBeLessThan(base - 1);
  expect(Math.abs((await lossOf(["--model", out])) - adapted)).toBeLessThan(0.02); // bf16 has eight bits
  const page = readFileSync(map, "utf8");
  const tile = (name: string, loss: number) => `<dt>${name}</dt><dd><b>${loss.toFixed(3)}</b>`;
  expect(page).toContain(tile("base model", base));
  expect(page).toContain(tile("with adapters", adapted));
  expect(page.match(/<article>/g)).toHaveLength(2);
  expect(page).not.toMatch(/https?:/);
});

test("a classifier with a head of its own keeps its labels", async () => {
  const folder = fixturePath("tasks/bert-sequence");
  const out = cli.path("classifier");
  const words = ["--adapter-path", `${folder}/adapter`, "--task", "sequence-classification"];
  const { code, stderr } = await cli.run(["merge", "--model", folder, ...words, "--output-dir", out]);
  expect(stderr).not.toMatch(/error/);
  expect(code).toBe(0);
  const { id2label, architectures } = readJsonFile<Record<string, object>>(out, "config.json");
  expect(architectures).toEqual(["BertForSequenceClassification"]);
  expect(Object.keys(id2label ?? {}).length).toBeGreaterThan(1);
});

test("a second merge into a folder takes the place of the first, and leaves what is no part of a model", async () => {
  const out = cli.path("twice");
  const mergeInto = async (name: string) => {
    const model = fixturePath(name);
    const words = ["--adapter-path", `${model}/adapter`, "--output-dir", out];
    const { code, stderr } = await cli.run(["merge", "--model", model, ...words]);
    expect(code, stderr).toBe(0);
    return stderr;
  };
  await mergeInto("llama-gqa");
  const single = ["config.json", "generation_config.json", "model.safetensors"];
  expect(readdirSync(out)).toEqual(single);
  const stale = ["1_Pooling/config.json", "merges.txt", "modules.json", "pytorch_model.bin"];
  for (const name of [...stale, "notes.txt", "run/model.safetensors"]) cli.write(`twice/${name}`, []);
  const said = await mergeInto("llama-tied");
  expect(said).toContain(
    `Removed from ${out}: merges.txt, model.safetensors, modules.json, pytorch_model.bin, 1_Pooling/config.json.`,
  );
  const index = readJsonFile<{ weight_map: Record<string, string> }>(out, "model.safetensors.index.json");
  const shards = [1, 2, 3].map((i) => `model-0000${i}-of-00003.safetensors`);
  expect([...new Set(Object.values(index.weight_map))].sort()).toEqual(shards);
  const files = (names: readonly string[]) => names.filter((name) => name.includes("."));
  expect(files(readdirSync(out))).toEqual(
    ["config.json", "generation_config.json", ...shards, "model.safetensors.index.json", "notes.txt"].sort(),
  );
  expect(readdirSync(`${out}/run`)).toEqual(["model.safetensors"]);
  await mergeInto("llama-gqa");
  expect(files(readdirSync(out))).toEqual([...single, "notes.txt"].sort());
});

test("a tokenizer that was put into a folder without a model stays; weights do not", async () => {
  const out = cli.path("prepared");
  for (const name of ["tokenizer.json", "pytorch_model.bin"]) cli.write(`prepared/${name}`, []);
  const words = ["--adapter-path", `${fixture}/adapter`, "--output-dir", out];
  const { code, stderr } = await cli.run(["merge", "--model", fixture, ...words]);
  expect(code, stderr).toBe(0);
  expect(stderr).toContain(`Removed from ${out}: pytorch_model.bin.`);
  expect(readdirSync(out)).toContain("tokenizer.json");
});

test("a folder with an adapter is no place for a merged model: it would be applied twice", async () => {
  const folder = cli.path("adapter-folder");
  cpSync(`${fixture}/adapter`, folder, { recursive: true });
  const before = readdirSync(folder);
  const { code, stderr } = await cli.run([
    "merge",
    "--model",
    fixture,
    "--adapter-path",
    folder,
    "--output-dir",
    folder,
  ]);
  expect(code).toBe(1);
  expect(stderr).toContain(`${folder} holds an adapter (adapter_config.json)`);
  expect(readdirSync(folder)).toEqual(before);
});

test("bad input leaves nothing behind", async () => {
  const model = cli.path("model");
  cpSync(fixture, model, { recursive: true });
  const before = readFileSync(`${model}/config.json`, "utf8");
  const failing = async (words: readonly string[], code = 1) => {
    const result = await cli.run(["merge", "--model", model, ...words]);
    expect(result.code).toBe(code);
    return result.stderr;
  };
  const adapter = ["--adapter-path", `${fixture}/adapter`];
  expect(await failing([], 2)).toMatch(/--adapter-path/);
  expect(await failing([...adapter, "--output-dir", model])).toMatch(/the model's own folder\n/);
  expect(readFileSync(`${model}/config.json`, "utf8")).toBe(before);
  const foreign = ["--adapter-path", `${fixturePath("llama-gqa")}/adapter`];
  expect(await failing([...foreign, "--output-dir", cli.path("none")])).toMatch(/do not fit|no linear layer/);
  expect(existsSync(cli.path("none"))).toBe(false);
});
