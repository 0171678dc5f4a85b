import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { type LoraOptions, lora } from "../../src/adapters/lora/lora.ts";
import { type FileSource, memoryFiles, readText } from "../../src/io/files/files.ts";
import { type CheckpointTensor, openCheckpoint } from "../../src/io/formats/checkpoint.ts";
import { readHeader } from "../../src/io/formats/safetensors.ts";
import { writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type LoadedModel, openTaskModel } from "../../src/load/model.ts";
import { companionFiles } from "../../src/load/model-folder.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { decodeBf16 } from "../../src/util/half.ts";
import { testDevice } from "../support/device.ts";
import { BUNDLED_MODEL, fixturePath, readJsonFile, readTensors } from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";
import { type TaskGolden, taskCase } from "../support/task-fixtures.ts";

/** A model of one file with all its weights in f32, so that merging rounds nothing away. */
async function widened(folder: string): Promise<FileSource> {
  const stored = folderFiles(folder);
  const { tensors, read } = await openCheckpoint(stored);
  const entries = [...tensors.values()].map(async (tensor) => {
    const { name, dtype, shape } = tensor;
    const bytes = (await read(tensor)).slice();
    const data = dtype === "BF16" ? new Uint8Array(decodeBf16(new Uint16Array(bytes.buffer)).buffer) : bytes;
    return { name, dtype: "F32" as const, shape, data };
  });
  const weights = writeSafetensors(await Promise.all(entries), { format: "pt" });
  const config = new Uint8Array(readFileSync(`${folder}/config.json`));
  const beside = await companionFiles(stored, "sentence-embedding"); // its pooling, where it has one
  const files = { "config.json": config, "model.safetensors": weights };
  return memoryFiles(folder, await wholeFiles(new Map([...beside, ...Object.entries(files)])));
}

const worst = (got: Float32Array, want: Float32Array) => {
  expect(got.length).toBe(want.length);
  return Math.max(...got.map((value, i) => Math.abs(value - (want[i] as number))));
};

const open = async (files: FileSource): Promise<LoadedModel> => openTaskModel(files, await testDevice());

/** The model in `files` with the adapter of a fixture merged into it. */
async function merged(files: FileSource, folder: string): Promise<FileSource> {
  const model = await open(files);
  const adapter = await loadAdapter(model, folderFiles(`${folder}/adapter`));
  const result = memoryFiles("merged", await wholeFiles(await mergedFiles(model, adapter, files)));
  model.release();
  return result;
}

const fixtures = ["families", "tasks"].flatMap((kind) =>
  readdirSync(fixturePath(kind)).map((name) => `${kind}/${name}`),
);

// Every family: its golden logits, by PEFT, come from a model without any adapter, too.
describe.each(["llama-gqa", ...fixtures])("%s", (name) => {
  const folder = fixturePath(name);

  test("merged, its logits are those with the adapter", async () => {
    const golden = readJsonFile<TaskGolden>(folder, "golden.json");
    const tensors = await readTensors(folder, "golden.safetensors");
    const model = await open(await merged(await widened(folder), folder));
    const logits = await taskCase(model, golden, tensors).logits();
    expect(worst(logits, tensors.get("adapter_logits")!)).toBeLessThan(1e-4);
    expect(worst(logits, tensors.get("base_logits")!)).toBeGreaterThan(1e-3);
    model.release();
  });
});

describe.each(["llama-gqa", "llama-tied", ...fixtures])("%s as transformers saved it", (name) => {
  const folder = fixturePath(name);

  test("keeps its config to the letter, its names and formats, and each tensor that is not adapted", async () => {
    const [base, files] = [folderFiles(folder), await merged(folderFiles(folder), folder)];
    expect(await readText(files, "config.json")).toBe(await readText(base, "config.json"));
    const [before, after] = [await openCheckpoint(base), await openCheckpoint(files)];
    const layout = ({ tensors }: typeof before) =>
      [...tensors.values()].map(({ name, dtype, shape, file }) => [name, dtype, shape, file]).sort();
    expect(layout(after)).toEqual(layout(before));
    const isSame = async (tensor: CheckpointTensor) => {
      const [a, b] = [await before.read(tensor), await after.read(after.tensors.get(tensor.name) ?? tensor)];
      return Buffer.compare(a, b) === 0;
    };
    const all = [...before.tensors.values()];
    const same = await Promise.all(all.map(isSame));
    const changed = all.filter((_, i) => !same[i]).map((tensor) => tensor.name);
    const adapted = [...(await readHeader(base, "adapter/adapter_model.safetensors")).tensors.keys()];
    // Each adapted layer has A and B; a head that was trained whole has its own tensors.
    const pairs = adapted.filter((key) => key.endsWith("lora_A.weight")).length;
    const whole = adapted.filter((key) => !/lora_[AB]/.test(key)).length;
    expect(changed.length).toBe(pairs + whole);
    expect(changed.filter((key) => /norm|embed|wte|wpe/i.test(key))).toEqual([]);
  });
});

describe("a checkpoint of bf16 shards", () => {
  const folder = fixturePath("llama-tied");

  test("keeps its format and its shards; values are rounded once", async () => {
    const golden = readJsonFile<TaskGolden>(folder, "golden.json");
    const tensors = await readTensors(folder, "golden.safetensors");
    const files = await merged(folderFiles(folder), folder);
    const names = ["model-00001-of-00003.safetensors", "model.safetensors.index.json"];
    for (const name of names) expect(await files.size(name)).toBeGreaterThan(0);
    expect((await files.size(names[0]!))!).toBe(await folderFiles(folder).size(names[0]!));
    expect(await files.size("model.safetensors")).toBeUndefined();
    const model = await open(files);
    const logits = await taskCase(model, golden, tensors).logits();
    const moved = worst(tensors.get("adapter_logits")!, tensors.get("base_logits")!);
    expect(worst(logits, tensors.get("adapter_logits")!)).toBeLessThan(0.05 * moved);
  });

  test("the model in memory is as before, and so is the adapter", async () => {
    const model = await open(folderFiles(folder));
    const golden = readJsonFile<TaskGolden>(folder, "golden.json");
    const tensors = await readTensors(folder, "golden.safetensors");
    const adapter = await loadAdapter(model, folderFiles(`${folder}/adapter`));
    const { used } = model.device.memory.stats;
    await wholeFiles(await mergedFiles(model, adapter, folderFiles(folder)));
    expect(model.device.memory.stats.used).toBe(used);
    const { logits } = taskCase(model, golden, tensors);
    expect(worst(await logits(), tensors.get("adapter_logits")!)).toBeLessThan(1e-4);
    adapter.enable(false);
    expect(worst(await logits(), tensors.get("base_logits")!)).toBeLessThan(1e-4);
  });
});

test.each([Number.NaN, 3.3e38, Number.POSITIVE_INFINITY])(
  "weights with NaN or Infinity are not written: B holds %s",
  async (value) => {
    const folder = fixturePath("llama-gqa");
    const model = await open(folderFiles(folder));
    const adapter = await loadAdapter(model, folderFiles(`${folder}/adapter`));
    const { lora_B: B } = adapter.sites[3]?.tensors ?? {};
    B?.write(new Float32Array(B.size).fill(value));
    const files = await mergedFiles(model, adapter, folderFiles(folder));
    await expect(wholeFiles(files)).rejects.toThrow(
      /layers\.0\.self_attn\.o_proj\.weight would hold NaN or Infinity/,
    );
    model.release();
  },
);

describe("a new head on a decoder", () => {
  const labels = ["no", 'y"es', "peut-être"];

  /** The bundled model with this text as its config, as a classifier with a new head. */
  async function mergedClassifier(configText: string, options: LoraOptions = {}): Promise<FileSource> {
    const names = ["model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    const files = new Map(
      names.map((name) => [name, new Uint8Array(readFileSync(`${BUNDLED_MODEL}/${name}`))]),
    );
    files.set("config.json", new TextEncoder().encode(configText));
    const source = memoryFiles("demo", files);
    const model = await openTaskModel(source, await testDevice(), {
      task: "sequence-classification",
      labels,
    });
    const adapter = attach(model, lora({ r: 1, ...options }));
    const result = memoryFiles("merged", await wholeFiles(await mergedFiles(model, adapter, source)));
    model.release();
    return result;
  }

  test("its config tells the class, the labels, and which token fills rows; the rest stays to the letter", async () => {
    const text = readFileSync(`${BUNDLED_MODEL}/config.json`, "utf8");
    const bare = text
      .replace('  "pad_token_id": 0,\n', '  "num_labels": 7,\n')
      .replace("500000", "500000.0")
      .replace("0.04", "4.0e-02");
    const merged = await mergedClassifier(bare);
    const added = `,
  "id2label": {
    "0": "no",
    "1": "y\\"es",
    "2": "peut-être"
  },
  "label2id": {
    "no": 0,
    "y\\"es": 1,
    "peut-être": 2
  },
  "pad_token_id": 0
}`;
    const wanted = bare
      .replace("LlamaForCausalLM", "LlamaForSequenceClassification")
      .replace('  "num_labels": 7,\n', "")
      .replace(/\n\}/, added);
    expect(await readText(merged, "config.json")).toBe(wanted);
  });

  test.each([true, false])(
    "the head is in the result, in the config's number format: trained %s",
    async (trainHead) => {
      const merged = await mergedClassifier(readFileSync(`${BUNDLED_MODEL}/config.json`, "utf8"), {
        trainHead,
      });
      const { tensors } = await openCheckpoint(merged);
      expect(tensors.get("score.weight")).toMatchObject({ dtype: "BF16", shape: [3, 128] });
      expect(tensors.has("lm_head.weight")).toBe(false);
      const reopened = await openTaskModel(merged, await testDevice());
      expect(reopened).toMatchObject({ task: "sequence-classification", labels, initialised: [] });
      reopened.release();
    },
  );
});
