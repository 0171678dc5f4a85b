import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { loha } from "../../src/adapters/lycoris/loha.ts";
import { saveAdapter } from "../../src/index.node.ts";
import { parseGgufHeader } from "../../src/io/formats/gguf/header.ts";
import { openTaskModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const model = fixturePath("llama-gqa");
const adapter = join(model, "adapter");

const convert = async (...words: readonly string[]) => {
  const { code, stdout, stderr } = await cli.run(["convert", ...words]);
  expect(code, stderr).toBe(0);
  return stdout;
};

test("a GGUF adapter has llama.cpp's names, one alpha, and a Modelfile where Ollama's base is named", async () => {
  const out = cli.path("ollama/adapter.gguf");
  await convert(adapter, "--to", "gguf", "--output", out, "--model", model, "--ollama-from", "llama3.2:1b");
  expect(readFileSync(cli.path("ollama/Modelfile"), "utf8")).toBe(
    "FROM llama3.2:1b\nADAPTER ./adapter.gguf\n",
  );
  const file = readFileSync(out);
  const { metadata, tensors } = parseGgufHeader(file, file.length, out);
  expect(metadata.get("general.type")?.value).toBe("adapter");
  expect(metadata.get("adapter.type")?.value).toBe("lora");
  expect(metadata.get("general.architecture")?.value).toBe("llama");
  const { lora_alpha } = JSON.parse(readFileSync(join(adapter, "adapter_config.json"), "utf8"));
  expect(metadata.get("adapter.lora.alpha")?.value).toBe(lora_alpha);
  expect(tensors.get("blk.1.attn_k.weight.lora_a")?.shape).toEqual([4, 32]);
  expect(tensors.size).toBe(28);
  const merged = async (reference: string, name: string) => {
    const words = ["--model", model, "--adapter", reference, "--output-dir", cli.path(name)];
    const { code, stderr } = await cli.run(["merge", ...words]);
    expect(code, stderr).toBe(0);
    return readFileSync(cli.path(`${name}/model.safetensors`));
  };
  expect(await merged(out, "by-gguf")).toEqual(await merged(adapter, "own"));
}, 60_000);

test("another method's becomes LoRA of a rank, with its error; LoRA itself needs no model", async () => {
  const dora = fixturePath("methods/dora");
  const rank = ["--lora-rank", "4", "--model", model];
  const told = await convert(dora, "--to", "gguf", "--output", cli.path("dora.gguf"), ...rank);
  expect(told).toMatch(/from DoRA to gguf: 8 layers[\s\S]*LoRA of 8 layers of rank 4\.\n.* off by 29\.\d %/);
  const low = await convert(adapter, "--to", "peft", "--output", cli.path("low"), "--lora-rank", "0.9");
  expect(low).toMatch(/from LoRA to peft: 14 layers[\s\S]*of rank \d to 4\.\nThe change of a layer is off/);
  const { code, stderr } = await cli.run(["convert", dora, "--to", "mlx", "--output", cli.path("none")]);
  expect([code, existsSync(cli.path("none"))], stderr).toEqual([1, false]);
}, 60_000);

test("what PEFT saved as PiSSA becomes plain LoRA on the model as it is", async () => {
  const [pissa, out] = [fixturePath("starts/pissa"), cli.path("plain")];
  const told = await convert(pissa, "--to", "peft", "--output", out, "--model", model);
  expect(told).toMatch(
    /from pissa to peft: 6 layers[\s\S]*LoRA of 6 layers of rank 8\.\nThe beginning was computed again; .* may be off by 0\.00\d+ % .*median/,
  );
  const config = JSON.parse(readFileSync(join(out, "adapter_config.json"), "utf8"));
  expect([config.init_lora_weights, config.r, config.lora_alpha]).toEqual([true, 8, 16]);
}, 60_000);

test("a classifier's becomes LoRA with its head", async () => {
  const [base, folder] = [fixturePath("tasks/bert-sequence"), cli.path("loha")];
  const task = "sequence-classification";
  const opened = await openTaskModel(folderFiles(base), await testDevice(), { task });
  const head = attach(opened, loha({ r: 2, targetModules: ["query"], modulesToSave: ["classifier"] }), {
    seed: 3,
  });
  for (const { tensor } of head.parameters.entries)
    tensor.write(Float32Array.from({ length: tensor.size }, (_, i) => 0.1 * Math.cos(i)));
  await saveAdapter(head, folder);
  opened.release();
  const out = cli.path("of-loha");
  const words = ["--to", "peft", "--output", out, "--lora-rank", "4", "--model", base];
  expect(await convert(folder, ...words, "--task", task)).toMatch(/from LOHA to peft: 2 layers/);
  const config = JSON.parse(readFileSync(join(out, "adapter_config.json"), "utf8"));
  expect([config.task_type, config.modules_to_save]).toEqual(["SEQ_CLS", ["classifier", "score"]]);
}, 60_000);

test("what cannot be is refused, and nothing is written", async () => {
  const out = cli.path("nothing");
  const refusal = async (...words: readonly string[]) => {
    const { code, stderr } = await cli.run(["convert", ...words]);
    expect(code).not.toBe(0);
    return stderr;
  };
  expect(await refusal("a", "b", "--output", out)).toMatch(/2 adapters are given[\s\S]*to is missing/);
  expect(await refusal(adapter, "--to", "mlx", "--output", adapter)).toMatch(/holds an adapter already/);
  expect(await refusal(adapter, "--to", "gguf", "--output", out)).toMatch(/gguf makes a file: name it .gguf/);
  const other = ["--to", "gguf", "--output", `${out}.gguf`, "--model", "/nowhere"];
  expect(await refusal(adapter, ...other)).toMatch(/base model's config[\s\S]*no such folder/);
  expect(existsSync(out) || existsSync(`${out}.gguf`)).toBe(false);
}, 60_000);
