import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { type LoraOptions, lora } from "../../src/adapters/lora/lora.ts";
import type { PeftLoraConfig } from "../../src/adapters/lora/lora-fields.ts";
import { type FileContent, memoryFiles } from "../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { createModel } from "../../src/load/create.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { openTestTask } from "../support/task-fixtures.ts";

const LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const CHOICE = [
  "target_modules",
  "exclude_modules",
  "layers_to_transform",
  "layers_pattern",
  "rank_pattern",
  "alpha_pattern",
] as const;
const NOTHING = { exclude_modules: null, layers_to_transform: null, layers_pattern: null };
const ALIKE = { rank_pattern: {}, alpha_pattern: {} };

const layerPaths = (layer: number) =>
  LINEARS.map(
    (name) =>
      `model.layers.${layer}.${/_proj/.test(name) && LINEARS.indexOf(name) < 4 ? "self_attn" : "mlp"}.${name}`,
  );

/** What is saved of an adapter's choice of layers; the layers; and what is saved after loading it. */
async function savedChoice(options: LoraOptions): Promise<Record<string, unknown> & { count: number }> {
  const open = () => openTestModel(fixturePath("llama-gqa"));
  const adapter = attach(await open(), lora({ r: 2, ...options }));
  const files = await adapterFiles(adapter);
  const again = await loadAdapter(await open(), asSource(files));
  expect(again.sites.map(({ module }) => module.path)).toEqual(
    adapter.sites.map(({ module }) => module.path),
  );
  expect(choiceOf(await adapterFiles(again))).toEqual(choiceOf(files));
  return { ...choiceOf(files), count: adapter.sites.length };
}

function choiceOf(files: ReadonlyMap<string, FileContent>): Record<string, unknown> {
  const config = JSON.parse(files.get("adapter_config.json") as string) as PeftLoraConfig;
  return Object.fromEntries(CHOICE.map((name) => [name, config[name]]));
}

function asSource(files: ReadonlyMap<string, FileContent>) {
  const encode = (content: FileContent) =>
    typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array);
  return memoryFiles("saved", new Map([...files].map(([name, content]) => [name, encode(content)])));
}

// PEFT 0.21.0: get_peft_model(llama-gqa, LoraConfig(...)).save_pretrained(...), and the number of its LoRA layers.
describe("an adapter's choice of layers is saved as PEFT saves it", () => {
  test.each<[LoraOptions, object]>([
    [
      { targetModules: ".*layers\\.0\\.self_attn\\.(q|v)_proj" },
      { target_modules: ".*layers\\.0\\.self_attn\\.(q|v)_proj", ...NOTHING, ...ALIKE, count: 2 },
    ],
    [
      { targetModules: "all-linear" },
      { target_modules: [...layerPaths(0), ...layerPaths(1)], ...NOTHING, ...ALIKE, count: 14 },
    ],
    [
      { targetModules: ["q_proj", "v_proj"] },
      { target_modules: ["q_proj", "v_proj"], ...NOTHING, ...ALIKE, count: 4 },
    ],
    [
      { targetModules: ["q_proj", "v_proj"], layersToTransform: [1] },
      { target_modules: ["q_proj", "v_proj"], ...NOTHING, layers_to_transform: [1], ...ALIKE, count: 2 },
    ],
    [
      { targetModules: ["q_proj", "v_proj"], excludeModules: ["layers.0.self_attn.q_proj"] },
      {
        target_modules: ["q_proj", "v_proj"],
        ...{ ...NOTHING, exclude_modules: ["layers.0.self_attn.q_proj"], ...ALIKE, count: 3 },
      },
    ],
    [
      {
        targetModules: ["q_proj", "v_proj"],
        ...{ excludeModules: ".*0.*q_proj", rankPattern: { q_proj: 3 }, alphaPattern: { v_proj: 5 } },
      },
      {
        target_modules: ["q_proj", "v_proj"],
        ...{ ...NOTHING, exclude_modules: ".*0.*q_proj", count: 3 },
        ...{ rank_pattern: { q_proj: 3 }, alpha_pattern: { v_proj: 5 } },
      },
    ],
  ])("%j", async (options, wanted) => {
    expect(await savedChoice(options)).toEqual(wanted);
  });
});

// PEFT 0.21.0, the same config: target_modules="all-linear" becomes these names, of 21 layers.
test("many layers of all-linear are saved by the ends of their paths", async () => {
  const sizes = { vocab_size: 16, hidden_size: 8, intermediate_size: 8, max_position_embeddings: 16 };
  const heads = { num_attention_heads: 2, num_key_value_heads: 2, num_hidden_layers: 3 };
  const config = { architectures: ["LlamaForCausalLM"], ...sizes, ...heads };
  const { model } = createModel(await testDevice(), config);
  const adapter = attach(model, lora({ r: 2, targetModules: "all-linear" }));
  expect(adapter.sites.length).toBe(21);
  expect(choiceOf(await adapterFiles(adapter)).target_modules).toEqual(LINEARS);
});

describe("layers are named one by one", () => {
  test("where PEFT refuses the expression, because it takes more than linear layers", async () => {
    const { target_modules, count } = await savedChoice({ targetModules: ".*layers\\.1\\..*" });
    expect(target_modules).toEqual(layerPaths(1));
    expect(count).toBe(7);
    const open = await savedChoice({ targetModules: ".*0\\.mlp\\..+" }); // act_fn lies there, too
    expect(open.target_modules).toEqual(layerPaths(0).slice(4));
  });

  test("where the expression takes what the engine has no module for, such as BERT's dropout", async () => {
    const choose = async (targetModules: string) => {
      const model = await openTestTask(fixturePath("tasks/bert-sequence"));
      const adapter = attach(model, lora({ targetModules }));
      return choiceOf(await adapterFiles(adapter)).target_modules;
    };
    const layer = "bert.encoder.layer.0.attention.self";
    const open = ".*0\\.attention\\.self\\..*";
    expect(await choose(open)).toEqual(["query", "key", "value"].map((name) => `${layer}.${name}`));
    const kept = ".*attention\\.self\\.(query|key)";
    expect(await choose(kept)).toBe(kept);
  });

  test("where a name is also one of a layer that the engine does without", async () => {
    const open = () => openTestTask(fixturePath("tasks/bert-embedding"));
    const adapter = attach(await open(), lora({ targetModules: ["dense"] }));
    const { target_modules } = choiceOf(await adapterFiles(adapter));
    expect(target_modules).toEqual(adapter.sites.map(({ module }) => module.path));
    expect(adapter.sites.length).toBeGreaterThan(2);
  });

  test("where the order of the patterns' keys would be lost", async () => {
    // PEFT takes the first key that matches, and sorts the keys on saving.
    const rankPattern = { v_proj: 3, "layers.0.self_attn.v_proj": 4 };
    const { rank_pattern } = await savedChoice({ targetModules: ["v_proj"], rankPattern });
    const paths = [0, 1].map((layer) => `^model\\.layers\\.${layer}\\.self_attn\\.v_proj`);
    expect(rank_pattern).toEqual({ [paths[0]!]: 3, [paths[1]!]: 3 });
  });
});

test("options that choose nothing or are no numbers are refused together", async () => {
  expect(() => lora({ rankPattern: { q: 0 }, alphaPattern: { v: Number.NaN } })).toThrow(
    /2 problems:[\s\S]*rankPattern\["q"\] is 0, wanted a whole number[\s\S]*alphaPattern\["v"\] is NaN, wanted a number/,
  );
  const model = await openTestModel(fixturePath("llama-gqa"));
  const none = lora({ targetModules: ["q_proj"], layersToTransform: [7] });
  expect(() => attach(model, none)).toThrow("leave no layer of targetModules");
});
