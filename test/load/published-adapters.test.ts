import { describe, expect, test } from "vitest";
import { empty } from "../../src/gpu/tensor.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import type { LoadedModel } from "../../src/load/model.ts";
import type { HfConfig } from "../../src/models/config-reader.ts";
import { planModel } from "../../src/models/families.ts";
import type { Weights } from "../../src/nn/weights.ts";
import { joinPath } from "../../src/nn/weights.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { testDevice } from "../support/device.ts";
import { sharedPath } from "../support/fixtures.ts";

const labels = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [i, `L${i}`]));
const BERT: HfConfig = {
  ...{ hidden_size: 768, intermediate_size: 3072, num_hidden_layers: 12, num_attention_heads: 12 },
};

/** Base models of the adapters' shapes; the vocabulary does not matter. */
const BASES: [adapter: string, sites: number, saved: number, config: HfConfig][] = [
  ["gpt2_tigrinya", 36, 0, { architectures: ["GPT2LMHeadModel"], n_embd: 768, n_layer: 12, n_head: 12 }],
  ["lazyystar_demo", 12, 0, { architectures: ["GPT2LMHeadModel"], n_embd: 768, n_layer: 12, n_head: 12 }],
  [
    "gemma3_270m_svg",
    72,
    0,
    {
      ...{ architectures: ["Gemma3ForCausalLM"], hidden_size: 640, intermediate_size: 2048 },
      ...{ num_hidden_layers: 18, num_attention_heads: 4, num_key_value_heads: 1, head_dim: 256 },
    },
  ],
  [
    "dayanidhi_emotion_distilbert",
    12,
    2,
    {
      architectures: ["DistilBertForSequenceClassification"],
      ...{ dim: 768, hidden_dim: 3072, n_layers: 6, n_heads: 12, id2label: labels(6) },
    },
  ],
  [
    "hareshjethani_bert",
    24,
    1,
    { architectures: ["BertForSequenceClassification"], ...BERT, id2label: labels(2) },
  ],
  [
    "whyiswmm_age_vit",
    24,
    1,
    { architectures: ["ViTForImageClassification"], ...BERT, image_size: 16, id2label: labels(10) },
  ],
];

/** A model whose tensors exist but hold nothing in particular. */
async function hollowModel(config: HfConfig): Promise<LoadedModel> {
  const device = await testDevice();
  const storages: ReturnType<typeof empty>["storage"][] = [];
  const at = (path: string): Weights => ({
    path,
    at: (name) => at(joinPath(path, name)),
    tensor(_, shape) {
      const tensor = device.memory.persistent(() => empty(device, shape));
      storages.push(tensor.storage);
      return tensor;
    },
    weight(name, shape) {
      return this.tensor(name, shape);
    },
  });
  const model = planModel(config.image_size === undefined ? { vocab_size: 64, ...config } : config).build(
    device,
    at(""),
  );
  const release = () => {
    for (const storage of storages) device.memory.release(storage);
  };
  return {
    ...model,
    name: "base",
    tokenizer: undefined,
    chatTemplates: new Map(),
    generation: {},
    images: undefined,
    initialised: [],
    release,
  };
}

const there = sharedPath("adapters");

describe.skipIf(!there)("published adapters", () => {
  test.each(BASES)(
    "%s goes onto a model of its shape, and is written back unchanged",
    async (name, sites, saved, config) => {
      const model = await hollowModel(config);
      const files = folderFiles(`${there}/${name}`);
      const adapter = await loadAdapter(model, files);
      expect([adapter.sites.length, adapter.saved.length]).toEqual([sites, saved]);
      const written = (await adapterFiles(adapter)).get("adapter_model.safetensors") as Uint8Array;
      const size = (await files.size("adapter_model.safetensors")) as number;
      const tensors = await files.read("adapter_model.safetensors", 0, size);
      // The published ViT has the names of transformers 4, so the order of the file differs.
      if (config.image_size === undefined)
        expect(Buffer.from(written).equals(Buffer.from(tensors))).toBe(true);
      else expect(Math.abs(written.length - size)).toBeLessThan(4096);
      adapter.release();
      model.release();
    },
  );

  test("a head with another number of labels is refused by name", async () => {
    const model = await hollowModel({
      architectures: ["BertForSequenceClassification"],
      ...BERT,
      id2label: labels(3),
    });
    await expect(loadAdapter(model, folderFiles(`${there}/hareshjethani_bert`))).rejects.toThrow(
      /2 problems:[\s\S]*classifier\.bias is \[2\], the model has \[3\]/,
    );
    model.release();
  });
});
