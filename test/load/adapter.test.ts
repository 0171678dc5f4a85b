import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { saveAdapter } from "../../src/index.node.ts";
import { type FileContent, type HubRepository, memoryFiles } from "../../src/io/files/files.ts";
import type { TensorEntry } from "../../src/io/formats/safetensors-writer.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { readParameters } from "../../src/nn/parameters.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { LoraError } from "../../src/util/fail.ts";
import { editedAdapter } from "../support/adapters.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";
import { openTestTask } from "../support/task-fixtures.ts";

const folder = fixturePath("llama-gqa");
const sequences = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));

/** Files that were written, as a source to read. */
function asSource(files: ReadonlyMap<string, FileContent>) {
  const encode = (content: FileContent) =>
    typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array);
  return memoryFiles("saved", new Map([...files].map(([name, content]) => [name, encode(content)])));
}

async function trainedFiles(dropout: number): Promise<Map<string, FileContent>> {
  const model = await openTestModel(folder);
  const adapter = attach(model, lora({ r: 4, alpha: 8, dropout, targetModules: ["q_proj", "down_proj"] }), {
    seed: 3,
  });
  const options = { maxSteps: 3, batchSize: 2, learningRate: 1e-2, seed: 5 };
  for await (const { skipped } of trainSequences(model, adapter.parameters, sequences, options))
    expect(skipped).toBe(false);
  const files = await adapterFiles(adapter);
  model.release();
  return files;
}

describe("an adapter file", () => {
  test("of PEFT is written back byte for byte", async () => {
    const adapter = await loadAdapter(await openTestModel(folder), folderFiles(`${folder}/adapter`));
    const files = await adapterFiles(adapter);
    const bytes = files.get("adapter_model.safetensors") as Uint8Array;
    expect(Buffer.from(bytes).equals(readFileSync(`${folder}/adapter/adapter_model.safetensors`))).toBe(true);
  });

  test("takes the chat template along that is given", async () => {
    const adapter = await loadAdapter(await openTestModel(folder), folderFiles(`${folder}/adapter`));
    const files = await adapterFiles(adapter, { chatTemplate: "{{ messages }}" });
    expect(files.get("chat_template.jinja")).toBe("{{ messages }}");
  });

  test("is not written from values that are no numbers, and not loaded: each such tensor is named", async () => {
    const model = await openTestModel(folder);
    const adapter = attach(model, lora({ r: 2, targetModules: ["q_proj"] }));
    const good = await adapterFiles(adapter);
    const [first, , third] = adapter.parameters.entries;
    for (const [entry, value] of [
      [first!, Number.NaN] as const,
      [third!, Number.NEGATIVE_INFINITY] as const,
    ]) {
      const values = await entry.tensor.read();
      values[1] = value;
      entry.tensor.write(values);
    }
    await expect(adapterFiles(adapter)).rejects.toThrow(
      `saveAdapter: 2 problems:\n  - ${first!.name} holds NaN\n  - ${third!.name} holds -Infinity`,
    );
    adapter.release();
    const change = (entry: TensorEntry) => {
      if (!entry.name.includes(`${third!.name}.weight`)) return entry;
      return {
        ...entry,
        data: new Uint8Array(new Float32Array(entry.data.length / 4).fill(Infinity).buffer),
      };
    };
    await expect(loadAdapter(model, editedAdapter(good, { change }))).rejects.toThrow(
      `edited: 1 problem:\n  - ${third!.name} holds Infinity`,
    );
    model.release();
  });

  test("that is loaded back has the same bits", async () => {
    const files = await trainedFiles(0);
    const adapter = await loadAdapter(await openTestModel(folder), asSource(files));
    const again = await adapterFiles(adapter);
    expect(again.get("adapter_model.safetensors")).toEqual(files.get("adapter_model.safetensors"));
    const [values] = (await readParameters(adapter.parameters)).values();
    expect(values?.some((value) => value !== 0)).toBe(true);
  });

  test("of two runs with the same seed is the same, byte for byte, with dropout", async () => {
    expect(await trainedFiles(0.2)).toEqual(await trainedFiles(0.2));
  });

  test("for another model is refused with every tensor that does not fit", async () => {
    const files = folderFiles(`${folder}/adapter`);
    const other = await openTestModel(fixturePath("llama-tied"));
    await expect(loadAdapter(other, files)).rejects.toThrow(
      /14 problems:[\s\S]*q_proj: A \[4,32\], B \[32,4\] do not fit a layer of 24 → 24/,
    );
  });

  test("that is odd but can be read is told to be so", async () => {
    const files = await trainedFiles(0);
    const config = JSON.parse(files.get("adapter_config.json") as string) as object;
    const remarksOn = async (changes: object) => {
      files.set("adapter_config.json", JSON.stringify({ ...config, ...changes }));
      const warnings: string[] = [];
      const onWarning = (warning: string) => warnings.push(warning);
      const model = await openTestModel(folder);
      await loadAdapter(model, asSource(files), { onWarning });
      return warnings;
    };
    expect(await remarksOn({ rank_pattern: { nothing: 3 } })).toEqual([
      'adapter_config.json: the key "nothing" of rank_pattern matches no module',
    ]);
    expect(await remarksOn({ base_model_name_or_path: "/elsewhere/LLAMA-gqa/" })).toEqual([]);
    expect(await remarksOn({ base_model_name_or_path: "someone/other-model" })).toEqual([
      expect.stringMatching(
        /^the adapter was trained on someone\/other-model, and the model is .*llama-gqa:/,
      ),
    ]);
    const mapping = (type: string, name: string) => ({
      task_type: null,
      auto_mapping: {
        base_model_class: `${name}ForCausalLM`,
        parent_library: `transformers.models.${type}.modeling_${type}`,
      },
    });
    expect(await remarksOn(mapping("llama", "Llama"))).toEqual([]);
    await expect(remarksOn(mapping("qwen2", "Qwen2"))).rejects.toThrow(
      /^saved: is an adapter for Qwen2ForCausalLM, and .*llama-gqa is a llama model/,
    );
  });

  test("that changes nothing, and one of another revision, are told to be so", async () => {
    const model = await openTestModel(folder);
    const files = await adapterFiles(attach(model, lora({ r: 2, targetModules: ["q_proj"] })));
    const config = JSON.parse(files.get("adapter_config.json") as string) as object;
    const named = { ...config, base_model_name_or_path: "owner/base", revision: "v1" };
    files.set("adapter_config.json", JSON.stringify(named));
    const warningsOn = async (revision: string | undefined, commit?: string) => {
      const warnings: string[] = [];
      const onWarning = (warning: string) => warnings.push(warning);
      const other = { ...model.withAdapters([]), hub: { repo: "owner/base", revision, commit } };
      await loadAdapter(other, asSource(files), { onWarning });
      return warnings;
    };
    const idle = "the adapter has no effect: lora_B or lora_A is 0 in every layer";
    expect(await warningsOn("v1")).toEqual([idle]);
    expect(await warningsOn(undefined)).toEqual([
      "the adapter was trained on revision v1 of owner/base, and the model is of main: --revision v1 loads that one",
      idle,
    ]);
    const [trained, later] = ["a".repeat(40), "b".repeat(40)];
    files.set("adapter_config.json", JSON.stringify({ ...named, revision: trained }));
    expect(await warningsOn(undefined, trained)).toEqual([idle]);
    expect(await warningsOn(trained)).toEqual([idle]);
    const remarkOn = async (commit?: string) => (await warningsOn(undefined, commit))[0];
    expect(await remarkOn(later)).toMatch(
      /the model is of main, commit b{40}: --revision a{40} loads that one$/,
    );
    expect(await remarkOn()).toMatch(/and nothing tells which commit main was .*: --revision a{40} loads/);
  });

  test("names the commit of its base model, where that is known", async () => {
    const model = await openTestModel(folder);
    const saved = async (hub: HubRepository) => {
      const adapter = attach(Object.assign({}, model, model.withAdapters([]), { hub }), lora({ r: 1 }));
      const config = (await adapterFiles(adapter)).get("adapter_config.json") as string;
      const { base_model_name_or_path, revision } = JSON.parse(config) as Record<string, unknown>;
      return [base_model_name_or_path, revision];
    };
    const hub = { repo: "owner/base", revision: "v1" };
    expect(await saved(hub)).toEqual(["owner/base", "v1"]);
    expect(await saved({ ...hub, commit: "c0ffee" })).toEqual(["owner/base", "c0ffee"]);
  });

  test("for another task is refused, whether PEFT has a name for the task or notes the class", async () => {
    const model = async (name: string) => openTestTask(fixturePath(`tasks/${name}`));
    const adapter = (name: string) => folderFiles(fixturePath(`tasks/${name}/adapter`));
    await expect(loadAdapter(await model("bert-sequence"), adapter("bert-token"))).rejects.toThrow(
      /bert-token\/adapter: is an adapter for token-classification, and .* was loaded for sequence-classification/,
    );
    await expect(loadAdapter(await model("bert-token"), adapter("bert-masked"))).rejects.toThrow(
      "is an adapter for masked-lm",
    );
  });
});

test("an adapter for which there is no memory is not left on the model", async () => {
  const model = await openTestModel(folder);
  const { used } = model.device.memory.stats;
  const files = folderFiles(`${folder}/adapter`);
  vi.spyOn(model.device, "check").mockRejectedValueOnce(new LoraError("out-of-memory", "memory", "no more"));
  await expect(loadAdapter(model, files)).rejects.toThrow("no more");
  expect(model.device.memory.stats.used).toBe(used);
  const adapter = await loadAdapter(model, files);
  expect(adapter.attached).toBe(true);
  model.release();
});

describe("the names of a classifier's classes", () => {
  test("are saved with the adapter, and go where an adapter without any takes its place", async () => {
    const out = mkdtempSync(join(tmpdir(), "webgpu-lora-labels-"));
    const names = () =>
      readdirSync(out)
        .filter((name) => name.endsWith(".json"))
        .sort();
    try {
      const classifier = await openTestTask(fixturePath("tasks/bert-sequence"));
      const own = attach(classifier, lora({ r: 2, targetModules: ["query"] }));
      await saveAdapter(own, out);
      expect(names()).toEqual(["adapter_config.json", "labels.json"]);
      const { labels } = classifier as unknown as { labels: string[] };
      expect(JSON.parse(readFileSync(join(out, "labels.json"), "utf8"))).toEqual(labels);
      const model = await openTestModel(folder);
      await saveAdapter(attach(model, lora({ r: 2 })), out);
      expect(names()).toEqual(["adapter_config.json"]);
      for (const { release } of [classifier, model]) release();
    } finally {
      rmSync(out, { recursive: true });
    }
  });
});

describe("attach", () => {
  test("leaves the model's function unchanged until it is trained", async () => {
    const model = await openTestModel(folder);
    const adapter = attach(model, lora({ targetModules: "all-linear" }));
    expect(adapter.sites.length).toBe(14);
    const values = await readParameters(adapter.parameters);
    for (const [name, tensor] of values) {
      const zeros = tensor.every((value) => value === 0);
      expect(zeros, name).toBe(name.endsWith("lora_B"));
    }
    const A = values.get("model.layers.0.self_attn.q_proj.lora_A")!;
    expect(Math.max(...A.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(32)); // PEFT: U(−1/√in, 1/√in)
    expect(Math.max(...A)).toBeGreaterThan(0.9 / Math.sqrt(32));
  });

  test("adapts all linear layers where no targets are given", async () => {
    const adapter = attach(await openTestModel(folder), lora());
    expect(adapter.sites.length).toBe(14);
    expect(adapter.method.options).toMatchObject({ r: 16, alpha: 32, dropout: 0 });
  });

  test("refuses bad options, targets that match nothing, and a second adapter", async () => {
    const model = await openTestModel(folder);
    expect(() => lora({ r: 0, dropout: 1 })).toThrow(
      /2 problems:[\s\S]*r is 0, wanted a whole number of at least 1[\s\S]*dropout is 1/,
    );
    expect(() => attach(model, lora({ targetModules: ["q_proj", "query"] }))).toThrow(
      /"query" matches no module[\s\S]*there are: embed_tokens, q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj, lm_head/,
    );
    attach(model, lora());
    expect(() => attach(model, lora())).toThrow('the model has an adapter "default" already');
  });

  test("release puts the base model back and frees the memory", async () => {
    const model = await openTestModel(folder);
    const before = model.device.memory.stats.used;
    const adapter = attach(model, lora());
    adapter.release();
    expect(model.device.memory.stats.used).toBe(before);
    expect(() => adapter.enable(true)).toThrow("released");
    attach(model, lora()).release();
    model.release();
  });
});
