import { expect, test } from "vitest";
import { CASES } from "../../scripts/llama-cpp/cases.ts";
import { randomCheckpoint, stir } from "../../scripts/llama-cpp/random-checkpoint.ts";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { FileSource } from "../../src/io/files/files.ts";
import { ggufArchitecture, permuteRows } from "../../src/io/formats/gguf/architectures.ts";
import { readGgufHeader } from "../../src/io/formats/gguf/header.ts";
import { readGgufTensor } from "../../src/io/formats/gguf/tensors.ts";
import { type GgufType, ggufModel } from "../../src/load/gguf-model.ts";
import { mergedTensors } from "../../src/load/merge.ts";
import { openModel } from "../../src/load/model.ts";
import { modelfile } from "../../src/load/ollama.ts";
import type { HfConfig } from "../../src/models/config-reader.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { filesOf } from "../io/helpers.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath } from "../support/fixtures.ts";

const device = await testDevice();
const NAME = "model.gguf";

async function exported(files: FileSource, type?: GgufType) {
  const model = await openModel(files, device);
  const adapter = attach(model, lora({ r: 2, targetModules: "all-linear" }));
  stir(adapter);
  const merged = await mergedTensors(model, adapter, files);
  const { size, content } = await ggufModel(model, adapter, files, { type });
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  const bytes = concatBytes(chunks);
  expect(bytes.length).toBe(size);
  const source = filesOf({ [NAME]: bytes });
  const header = await readGgufHeader(source, NAME);
  const read = (name: string) => {
    const tensor = header.tensors.get(name);
    if (!tensor) throw new Error(name);
    return readGgufTensor(source, NAME, tensor);
  };
  const values = async (name: string) => {
    const tensor = merged.tensors.find((tensor) => tensor.name === name);
    return tensor?.values();
  };
  const text = modelfile(model, { from: `./${NAME}` });
  const release = () => {
    adapter.release();
    model.release();
  };
  return { header, read, values, text, release };
}

const layers = (config: HfConfig) => Number(config.num_hidden_layers);

test.each(CASES.map((each) => [each.name, each] as const))("%s becomes a GGUF model", async (_, each) => {
  const { header, read, values, release } = await exported(randomCheckpoint(device, each), "f32");
  const architecture = ggufArchitecture(String(each.config.model_type));
  if (!architecture) throw new Error(each.name);
  const { metadata, tensors } = header;
  expect(metadata.get("general.architecture")?.value).toBe(architecture.name);
  expect(metadata.get(`${architecture.name}.block_count`)?.value).toBe(layers(each.config));
  expect(metadata.get("tokenizer.ggml.tokens")?.value).toHaveLength(300);
  const tied = each.config.tie_word_embeddings ?? architecture.name.startsWith("gemma");
  expect(tensors.has("output.weight")).toBe(!tied);

  const embedding = await values("model.embed_tokens.weight");
  expect(await read("token_embd.weight")).toEqual(embedding);
  const norm = await values("model.layers.1.input_layernorm.weight");
  const shifted = norm?.map((value) => value + architecture.normOffset);
  expect(await read("blk.1.attn_norm.weight")).toEqual(shifted);
  const k = await values("model.layers.1.self_attn.k_proj.weight");
  if (k) {
    const rows = tensors.get("blk.1.attn_k.weight")?.shape[0] ?? 0;
    const heads = Number(each.config.num_key_value_heads);
    const moved = architecture.name === "llama" ? permuteRows(k, { rows, heads, direction: "out" }) : k;
    expect(await read("blk.1.attn_k.weight")).toEqual(moved);
  }
  release();
});

test("matrices have the format that is asked for, and vectors are F32", async () => {
  const [first] = CASES;
  if (!first) throw new Error("no case");
  for (const [type, stored] of [
    ["f16", "F16"],
    ["bf16", "BF16"],
    ["q8_0", "Q8_0"],
  ] as const) {
    const { header, text, release } = await exported(randomCheckpoint(device, first), type);
    const { tensors } = header;
    expect(tensors.get("blk.0.attn_q.weight")?.type).toBe(stored);
    expect(tensors.get("blk.0.attn_norm.weight")?.type).toBe("F32");
    expect(text).toBe('FROM ./model.gguf\nPARAMETER stop "</s>"\n');
    release();
  }
});

test("the keys are those that llama.cpp reads", async () => {
  const gemma = CASES.find(({ name }) => name === "gemma3_text");
  if (!gemma) throw new Error("no case");
  const { header, release } = await exported(randomCheckpoint(device, gemma));
  const plain = [...header.metadata].filter(([, { kind }]) => kind !== "array");
  const near = (value: unknown) => (typeof value === "number" ? Number(value.toPrecision(6)) : value);
  expect(Object.fromEntries(plain.map(([key, { value }]) => [key, near(value)]))).toEqual({
    "general.architecture": "gemma3",
    "general.type": "model",
    "general.name": "gemma3_text",
    "gemma3.block_count": 7,
    "gemma3.context_length": 256,
    "gemma3.embedding_length": 64,
    "gemma3.feed_forward_length": 160,
    "gemma3.attention.head_count": 4,
    "gemma3.attention.head_count_kv": 2,
    "gemma3.attention.key_length": 24,
    "gemma3.attention.value_length": 24,
    "gemma3.attention.layer_norm_rms_epsilon": 1e-6,
    "gemma3.attention.sliding_window": 16,
    "gemma3.vocab_size": 300,
    "gemma3.rope.freq_base": 1_000_000,
    "gemma3.rope.freq_base_swa": 10_000,
    "gemma3.rope.dimension_count": 24,
    "general.file_type": 1,
    "general.quantization_version": 2,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.pre": "default",
    "tokenizer.ggml.add_space_prefix": false,
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
    "tokenizer.ggml.add_bos_token": true,
    "tokenizer.ggml.add_eos_token": false,
  });
  release();
});

test("what llama.cpp does not have is refused by name", async () => {
  const refusal = async (files: FileSource) => {
    const model = await openModel(files, device);
    const adapter = attach(model, lora({ r: 1 }));
    const error = await ggufModel(model, adapter, files).catch((error: Error) => error.message);
    adapter.release();
    model.release();
    return error;
  };
  expect(await refusal(folderFiles(fixturePath("families/granite")))).toMatch(
    /granite cannot be written as GGUF; supported are llama, mistral, qwen2/,
  );
  expect(await refusal(folderFiles(fixturePath("families/qwen2")))).toMatch(
    /a sliding window of 5 positions: llama.cpp's qwen2 sees everything/,
  );
  expect(await refusal(folderFiles(fixturePath("families/gemma")))).toMatch(/has no tokenizer/);
  expect(await refusal(folderFiles("models/demo"))).toMatch(
    /llama.cpp has no such tokenizer: its way of splitting a text is none of llama.cpp's/,
  );
});
