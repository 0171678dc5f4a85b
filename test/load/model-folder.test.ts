import { describe, expect, test } from "vitest";
import { memoryFiles } from "../../src/io/files/files.ts";
import { companionFiles, isModelFile } from "../../src/load/model-folder.ts";
import type { Task } from "../../src/models/model.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);

async function companions(files: Readonly<Record<string, string>>, task: Task): Promise<string[]> {
  const entries = Object.entries(files).map(([name, text]) => [name, utf8(text)] as const);
  const found = await companionFiles(memoryFiles("base", new Map(entries)), task);
  for (const [name, content] of found) expect(content, name).toEqual(utf8(files[name] as string));
  return [...found.keys()].sort();
}

const TOKENIZER = {
  "tokenizer.json": "{}",
  "tokenizer_config.json": "{}",
  "special_tokens_map.json": "{}",
  "added_tokens.json": "{}",
  "vocab.bpe": "a b",
  "merges.txt": "a b",
  "sentencepiece.bpe.model": "\0",
  "spiece.model": "\0",
  "chat_template.jinja": "{{ x }}",
  "additional_chat_templates/tool_use.jinja": "{{ y }}",
};

const SENTENCE = {
  "modules.json": JSON.stringify([
    { idx: 0, name: "0", path: "", type: "sentence_transformers.models.Transformer" },
    { idx: 1, name: "1", path: "1_Pooling", type: "sentence_transformers.models.Pooling" },
    { idx: 2, name: "2", path: "2_Normalize", type: "sentence_transformers.models.Normalize" },
  ]),
  "1_Pooling/config.json": "{}",
  "sentence_bert_config.json": "{}",
  "config_sentence_transformers.json": "{}",
};

const OTHERS = {
  "config.json": "{}",
  "model.safetensors": "",
  "README.md": "x",
  "onnx/model.onnx": "x",
  "pytorch_model.bin": "x",
  "adapter_config.json": "{}",
  "additional_chat_templates/notes.txt": "x",
};

describe("companionFiles", () => {
  test("tokenizer, templates and processor of any model; how to generate only of what generates", async () => {
    const files = {
      ...TOKENIZER,
      ...SENTENCE,
      ...OTHERS,
      "generation_config.json": "{}",
      "preprocessor_config.json": "{}",
    };
    const common = [...Object.keys(TOKENIZER), "preprocessor_config.json"];
    expect(await companions(files, "causal-lm")).toEqual([...common, "generation_config.json"].sort());
    expect(await companions(files, "token-classification")).toEqual(common.sort());
    expect(await companions(files, "sentence-embedding")).toEqual(
      [...common, ...Object.keys(SENTENCE)].sort(),
    );
  });

  test("the code that auto_map names, unless it lies in another repository", async () => {
    const auto_map = {
      AutoConfig: "configuration_x.XConfig",
      AutoModelForCausalLM: "modeling_x.XModel",
      AutoModel: "org/name--other.X",
    };
    const files = {
      "config.json": JSON.stringify({ auto_map }),
      "tokenizer_config.json": JSON.stringify({ auto_map: { AutoTokenizer: ["tokenization_x.Slow", null] } }),
      "configuration_x.py": "1",
      "modeling_x.py": "2",
      "tokenization_x.py": "3",
      "other.py": "4",
    };
    expect(await companions(files, "causal-lm")).toEqual([
      "configuration_x.py",
      "modeling_x.py",
      "tokenization_x.py",
      "tokenizer_config.json",
    ]);
  });

  test("a list of modules that leads out of the folder is refused", async () => {
    const files = { "modules.json": JSON.stringify([{ path: "../../secret" }]) };
    await expect(companions(files, "sentence-embedding")).rejects.toThrow(
      /modules\.json[\s\S]*leaves the folder/,
    );
  });
});

test("isModelFile: what is read with a model, and nothing else", () => {
  const own = [
    ...[
      "config.json",
      "model.safetensors",
      "model-00002-of-00010.safetensors",
      "model.safetensors.index.json",
    ],
    ...["pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"],
    ...[
      "generation_config.json",
      "processor_config.json",
      "1_Pooling/config.json",
      "2_Dense/model.safetensors",
    ],
    ...[...Object.keys(TOKENIZER), ...Object.keys(SENTENCE)],
  ];
  expect(own.filter((name) => !isModelFile(name))).toEqual([]);
  const foreign = [
    ...["README.md", "adapter_config.json", "adapter_model.safetensors", "labels.json", "training_args.bin"],
    ...[
      "model-backup.safetensors",
      "model.safetensors.old",
      "my_model.bin",
      "other/config.json",
      "model.gguf",
    ],
    ...["checkpoint-5/model.safetensors", "1_Pooling/notes.txt", "sub/1_Pooling/config.json", "train.jsonl"],
  ];
  expect(foreign.filter(isModelFile)).toEqual([]);
});
