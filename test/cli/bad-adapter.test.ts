// Adapters that are wrong, each as a user meets it: everything is listed at once, and nothing is written.
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { FileContent } from "../../src/io/files/files.ts";
import { adapterFiles } from "../../src/load/adapter.ts";
import { createRandom } from "../../src/util/random.ts";
import { type AdapterEdit, editedAdapter } from "../support/adapters.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const TIED = fixturePath("llama-tied");
/** A model as Hugging Face's cache has it, so that its repository and its commit are known. */
const [OWN, OTHER] = ["ab".repeat(20), "cd".repeat(20)];
const snapshot = () => cli.path(`models--owner--base/snapshots/${OWN}`);

let files: ReadonlyMap<string, FileContent>;
beforeAll(async () => {
  const base = fixturePath("llama-gqa");
  cpSync(base, snapshot(), { recursive: true });
  const model = await openTestModel(base);
  const adapter = attach(model, lora({ r: 2, targetModules: ["q_proj", "v_proj"] }));
  for (const { name, tensor } of adapter.parameters.entries) {
    const random = createRandom(1).fork(name);
    tensor.write(Float32Array.from({ length: tensor.size }, () => random.uniform() - 0.5));
  }
  files = await adapterFiles(adapter);
  model.release();
});

/** Writes the adapter with changes. */
async function write(name: string, edit: AdapterEdit): Promise<string> {
  const config = { base_model_name_or_path: "owner/base", revision: OWN, ...edit.config };
  const source = editedAdapter(files, { ...edit, config });
  for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
    const place = join(cli.path(name), file);
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, await source.read(file, 0, (await source.size(file)) as number));
  }
  return cli.path(name);
}

/** What a command says that has to fail, and to leave no output. */
async function failing(words: readonly string[]): Promise<string> {
  const out = cli.path("out");
  const { code, stderr } = await cli.run([...words, "--output-dir", out]);
  expect(stderr).toContain("error: ");
  expect(code).toBe(1);
  expect(existsSync(out)).toBe(false);
  return stderr;
}
const merging = (adapter: string, ...more: string[]) =>
  failing(["merge", "--model", snapshot(), "--adapter", adapter, ...more]);

const isOf = (layer: number, end: string) => (name: string) =>
  name.endsWith(`layers.${layer}.self_attn.${end}`);
const [Q_B, V_B] = [isOf(0, "q_proj.lora_B.weight"), isOf(1, "v_proj.lora_B.weight")];
const zeros = (size: number) => new Uint8Array(4 * size);

test("a missing half, a shape that contradicts r, and a tensor of no method, in one file", async () => {
  const adapter = await write("torn", {
    tensors: (name) => !Q_B(name),
    change: (entry) => (V_B(entry.name) ? { ...entry, shape: [16, 3], data: zeros(48) } : entry),
    add: { "model.layers.0.mlp.up_proj.diff": [4] },
  });
  const message = await merging(adapter);
  expect(message).toMatch(/3 problems:/);
  expect(message).toMatch(/lora_A without lora_B: model\.layers\.0\.self_attn\.q_proj/);
  expect(message).toMatch(/layers\.1\.self_attn\.v_proj.*\[2,32\].*\[16,3\]/);
  expect(message).toMatch(/layers\.0\.mlp\.up_proj\.diff/);
});

test("a module that the model has not, NaN, another base and no effect, in one file", async () => {
  const adapter = await write("foreign", {
    config: { base_model_name_or_path: "someone/else", revision: OTHER },
    change(entry) {
      const data = entry.name.includes("lora_B") ? zeros(entry.data.length / 4) : entry.data.slice();
      if (entry.name.endsWith("layers.0.self_attn.q_proj.lora_A.weight")) data.fill(0xff, 0, 4);
      return { ...entry, data };
    },
    add: {
      "model.layers.9.self_attn.q_proj.lora_A.weight": [2, 32],
      "model.layers.9.self_attn.q_proj.lora_B.weight": [32, 2],
    },
  });
  const message = await merging(adapter);
  expect(message).toMatch(/4 problems:/);
  expect(message).toMatch(/layers\.9\.self_attn\.q_proj is no linear layer of the model/);
  expect(message).toMatch(/layers\.0\.self_attn\.q_proj\.lora_A holds NaN/);
  expect(message).toMatch(/someone\/else/);
  expect(message).toMatch(/no effect/);
});

test("another commit of the base is told before anything is written, and a quantised base is refused", async () => {
  const adapter = await write("later", { config: { revision: OTHER } });
  const message = await merging(adapter, "--quantization", "int8");
  expect(message).toMatch(
    new RegExp(`warning: .*${OTHER.slice(0, 7)}[\\s\\S]*error: merge: .*quantised.*\\n.*--dequantize`),
  );
});

test("one adapter given twice", async () => {
  const adapter = await write("good", {});
  const { code, stderr } = await cli.run([
    ...["generate", "--model", snapshot(), "--prompt", "a"],
    ...["--adapter", adapter, `${adapter}=0.5`],
  ]);
  expect(stderr).toMatch(/good is given twice/);
  expect(code).toBe(1);
});

test("modules_to_save of one of a tied pair, where both are to change as one", async () => {
  const data = cli.write("rows.jsonl", [{ text: "a" }]);
  const words = ["train", "--model", TIED, "--data", data, "--ensure-weight-tying"];
  expect(
    await failing([...words, "--modules-to-save", "lm_head", "--target-modules", "embed_tokens"]),
  ).toMatch(
    /of model\.embed_tokens and lm_head, which are one matrix, one is a target and one is trained whole/,
  );
});

test("a method that the task can't have", async () => {
  const data = cli.write("labelled.jsonl", [
    { text: "good", label: "yes" },
    { text: "bad", label: "no" },
  ]);
  const words = ["train", "--task", "sequence-classification", "--method", "prompt_tuning"];
  const more = ["--num-virtual-tokens", "2", "--model", fixturePath("tasks/bert-sequence"), "--data", data];
  expect(await failing([...words, ...more])).toMatch(
    /is for models that predict the next token, and this one is for sequence-classification/,
  );
});
