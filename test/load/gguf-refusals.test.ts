import { beforeAll, describe, expect, test } from "vitest";
import { CASES } from "../../scripts/llama-cpp/cases.ts";
import { randomCheckpoint } from "../../scripts/llama-cpp/random-checkpoint.ts";
import type { BlockType } from "../../src/io/formats/gguf/block-formats.ts";
import { readGgufHeader } from "../../src/io/formats/gguf/header.ts";
import { type GgufValue, gguf } from "../../src/io/formats/gguf/values.ts";
import { ggufBytes } from "../../src/io/formats/gguf/writer.ts";
import { openModel } from "../../src/load/model.ts";
import { asModel, resolveModel } from "../../src/load/model-source.ts";
import { filesOf } from "../io/helpers.ts";
import { testDevice } from "../support/device.ts";
import { exportGguf, GGUF_NAME, ggufSource } from "../support/gguf-models.ts";

const device = await testDevice();
const caseOf = (name: string) => CASES.find((each) => each.name === name) ?? CASES[0];
const written = new Map<string, Uint8Array>();

beforeAll(async () => {
  for (const name of ["llama", "qwen2"]) {
    const each = caseOf(name);
    if (each) written.set(name, await exportGguf(device, randomCheckpoint(device, each)));
  }
});

type Edits = {
  /** undefined takes an entry away. */
  readonly metadata?: Readonly<Record<string, GgufValue | undefined>>;
  readonly tensors?: Readonly<
    Record<string, { name?: string; type?: BlockType; shape?: number[]; data?: Uint8Array } | undefined>
  >;
};

/** A model's file with changes, and the error of opening it. */
async function refusal(name: string, { metadata = {}, tensors = {} }: Edits): Promise<string> {
  const bytes = written.get(name) as Uint8Array;
  const header = await readGgufHeader(filesOf({ [GGUF_NAME]: bytes }), GGUF_NAME);
  const entries = new Map(header.metadata);
  for (const [key, value] of Object.entries(metadata)) {
    if (value) entries.set(key, value);
    else entries.delete(key);
  }
  const kept = [...header.tensors.values()].flatMap(({ begin, end, ...spec }) => {
    if (spec.name in tensors && tensors[spec.name] === undefined) return [];
    return [{ ...spec, data: bytes.slice(begin, end), ...tensors[spec.name] }];
  });
  const before = device.memory.stats.used;
  const open = async () => (await openModel(await ggufSource(ggufBytes(entries, kept)), device)).release();
  const error = await open().then(
    () => new Error("it was opened"),
    (error: Error) => error,
  );
  expect(device.memory.stats.used).toBe(before);
  return error.message;
}

describe("a GGUF base is refused", () => {
  test.each<[string, Edits, string]>([
    [
      "of another architecture",
      { metadata: { "general.architecture": gguf.string("mamba") } },
      '"mamba"; read are llama, qwen2',
    ],
    ["that is an adapter", { metadata: { "general.type": gguf.string("adapter") } }, "give it as --adapter"],
    ["that is a part of a model", { metadata: { "split.count": gguf.u32(3) } }, "one of 3 files of a model"],
    [
      "with experts",
      { metadata: { "llama.expert_count": gguf.u32(8) } },
      "llama.expert_count is 8; supported is 0",
    ],
    [
      "with a setting that is not known",
      { metadata: { "llama.attention.scale": gguf.f32(0.1) } },
      "llama.attention.scale is not known",
    ],
    [
      "scaled in another way",
      { metadata: { "llama.rope.scaling.type": gguf.string("ntk") } },
      "supported are none, linear and yarn",
    ],
    [
      "without a size",
      { metadata: { "llama.embedding_length": undefined } },
      "llama.embedding_length is missing, expected a number",
    ],
    [
      "with a text for a number",
      { metadata: { "llama.block_count": gguf.string("3") } },
      'llama.block_count is "3", expected a number',
    ],
    [
      "with layers of different heads",
      { metadata: { "llama.attention.head_count_kv": gguf.i32s([2, 1, 2]) } },
      "differs from layer to layer",
    ],
    [
      "with another vocabulary than its embedding's",
      { metadata: { "llama.vocab_size": gguf.u32(299) } },
      "llama.vocab_size is 299, and token_embd.weight has 300 rows",
    ],
    [
      "with fewer layers than it says",
      { metadata: { "llama.block_count": gguf.u32(4) } },
      "block_count is 4, and there are tensors of 3 layers",
    ],
    [
      "with heads that do not fit",
      { metadata: { "llama.attention.head_count": gguf.u32(5) } },
      "64 rows cannot be shared among 5 heads",
    ],
    [
      "with a tensor that it has no place for",
      { tensors: { "blk.0.ffn_up.weight": { name: "blk.0.ffn_gate_inp.weight" } } },
      "llama has no blk.0.ffn_gate_inp.weight",
    ],
    [
      "without a tensor",
      { tensors: { "blk.1.ffn_down.weight": undefined } },
      "blk.1.ffn_down.weight [64, 160] is missing\n  → the file's metadata and tensors do not belong together",
    ],
    [
      "with a tensor of another shape",
      { tensors: { "blk.1.attn_norm.weight": { shape: [32], data: new Uint8Array(128) } } },
      "blk.1.attn_norm.weight is [32], the config wants [64]",
    ],
    [
      "with a type that is not read",
      {
        tensors: {
          "blk.0.ffn_up.weight": { type: "TQ2_0", shape: [160, 256], data: new Uint8Array(160 * 66) },
        },
      },
      "blk.0.ffn_up.weight is TQ2_0; read are F32",
    ],
    [
      "of old quantised layouts",
      { metadata: { "general.quantization_version": gguf.u32(1) } },
      "general.quantization_version is 1; supported is 2",
    ],
    [
      "with fewer scores than tokens",
      { metadata: { "tokenizer.ggml.scores": gguf.f32s([1, 2]) } },
      "has 2 entries for 300 tokens",
    ],
    [
      "with a special token beyond its tokens",
      { metadata: { "tokenizer.ggml.eos_token_id": gguf.u32(300) } },
      "eos_token_id is 300, and there are 300 tokens",
    ],
    [
      "with another tokenizer",
      { metadata: { "tokenizer.ggml.model": gguf.string("t5") } },
      'tokenizer.ggml.model is "t5"; read are gpt2 and llama',
    ],
    [
      "with a key of tokenizers that is not known",
      { metadata: { "tokenizer.ggml.suppress_tokens": gguf.i32s([1]) } },
      "tokenizer.ggml.suppress_tokens is not known",
    ],
  ])("%s", async (_, edits, message) => {
    expect(await refusal("llama", edits)).toContain(message);
  });

  test("that splits texts in a way that is not known", async () => {
    const pre = { "tokenizer.ggml.pre": gguf.string("falcon") };
    const message = await refusal("qwen2", { metadata: pre });
    expect(message).toContain(
      'tokenizer.ggml.pre is "falcon"; the known ways to split a text are gpt-2, llama-bpe',
    );
  });

  test("with everything that is wrong at once", async () => {
    const message = await refusal("qwen2", {
      metadata: {
        ...{ "qwen2.logit_scale": gguf.f32(2), "tokenizer.ggml.pre": gguf.string("falcon") },
        ...{ "qwen2.block_count": gguf.u32(9), "tokenizer.ggml.merges": gguf.strings(["ab"]) },
      },
      tensors: { "blk.0.attn_q.weight": { name: "blk.0.attn_sinks.weight" } },
    });
    expect(message).toContain("5 problems");
  });
});

describe("where a GGUF file is looked for", () => {
  const folder = (names: readonly string[]) =>
    filesOf(Object.fromEntries(names.map((name) => [name, written.get("llama")])));
  const [one, two] = ["a.gguf", "b.GGUF"];

  test("the only one of a folder is its model, beside what projects images", async () => {
    const files = await asModel(folder([one, "mmproj-a.gguf", "README.md"]));
    expect(files.label).toMatch(/a\.gguf$/);
    expect(await files.list?.()).toContain(one); // by which a run knows its base again
    expect(await files.size(one)).toBe(written.get("llama")?.length);
    await expect(asModel(folder([one, two]))).rejects.toThrow(
      /has 2 GGUF files that may be meant: name one of these\n.* memory\/a\.gguf\n.* memory\/b\.GGUF/,
    );
    const plain = folder(["model.safetensors", one]);
    expect(await asModel(plain)).toBe(plain);
  });

  test.each([
    ["x.gguf", ".", "x.gguf"],
    ["models/x.gguf", "models", "x.gguf"],
    ["/x.gguf", "/", "x.gguf"],
    ["https://host/some/x.gguf", "https://host/some", "x.gguf"],
    ["owner/name:q4/x.gguf", "owner/name", "q4/x.gguf"],
    ["owner/name@v1:x.gguf", "owner/name@v1", "x.gguf"],
    ["C:\\models\\x.gguf", "C:\\models", "x.gguf"],
  ])("%s", async (reference, place, name) => {
    const asked: string[] = [];
    const resolve = async (where: string) => {
      asked.push(where);
      return filesOf({ [name]: written.get("llama") });
    };
    const files = await resolveModel(reference, resolve);
    expect(asked).toEqual([place]);
    expect(files.label).toContain(name);
  });

  describe("in a repository of the hub, which tells its files when it is asked", () => {
    const NAMES = ["M-Q4_K_M.gguf", "M-Q4_K_S.gguf", "UD/M.q4_k_xl.gguf", "Q8_0/M-Q8_0-00001-of-00002.gguf"];
    const BESIDE = ["README.md", "mmproj-M-f16.gguf", "imatrix_M.gguf", "Q8_0/M-Q8_0-00002-of-00002.gguf"];
    const hub = (names: readonly string[], revision?: string) => async (place: string) => {
      const { size, read } = folder(names.filter((name) => name.endsWith("f")));
      const label = revision === undefined ? "owner/name" : `owner/name@${revision}`;
      expect(place).toBe(label);
      return {
        label,
        size,
        read,
        hub: { repo: "owner/name", revision },
        index: async () => [...names, ...BESIDE],
      };
    };
    const labelOf = async (reference: string, names = NAMES, revision?: string) =>
      (await resolveModel(reference, hub(names, revision))).label;

    test("the only one is the model", async () => {
      expect(await labelOf("owner/name", ["a.gguf"])).toBe("owner/name:a.gguf");
      expect(await labelOf("owner/name", [])).toBe("owner/name"); // which then lacks a config.json
    });

    test.each([
      ["owner/name:Q4_K_M", "owner/name:M-Q4_K_M.gguf", undefined],
      ["owner/name@v1:q4_k_s", "owner/name@v1:M-Q4_K_S.gguf", "v1"],
      ["owner/name:Q4_K_XL", "owner/name:UD/M.q4_k_xl.gguf", undefined],
      ["owner/name:Q8_0", "owner/name:Q8_0/M-Q8_0-00001-of-00002.gguf", undefined], // and the file says that it is split
    ])("%s is %s", async (reference, label, revision) => {
      expect(await labelOf(reference, NAMES, revision)).toBe(label);
    });

    test("one of several is to be named, as each is spelled", async () => {
      const each = NAMES.map((name) => `\n  → owner/name:${name}`).join("");
      await expect(labelOf("owner/name")).rejects.toThrow(
        `owner/name: has 4 GGUF files that may be meant: name one of these${each}`,
      );
      await expect(labelOf("owner/name:Q4_K")).rejects.toThrow(
        `none of its GGUF files is Q4_K: name one of these${each}`,
      );
      await expect(labelOf("owner/name:Q4_K", [])).rejects.toThrow("has no GGUF file Q4_K, nor any other");
    });
  });
});
