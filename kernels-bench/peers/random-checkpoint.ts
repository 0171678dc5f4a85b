// A checkpoint of random weights in memory, for engines that read files.
import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { type TensorEntry, writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { repeatedHalves } from "../harness.ts";
import type { ModelSize } from "../models.ts";
import { configOf } from "../random-model.ts";

/** Small enough for activations that neither vanish nor overflow, and within f16's range, so that both formats hold the same numbers. */
const SCALE = 0.02;

/** A Llama of that size in bf16, for texts of up to `tokens`. Its tokenizer knows single bytes. */
export function randomCheckpoint(size: ModelSize, tokens: number): FileSource {
  const config = { ...configOf(size, tokens), model_type: "llama", eos_token_id: 0, bos_token_id: 0 };
  const json = (value: object) => new TextEncoder().encode(JSON.stringify(value));
  return memoryFiles(
    size.name,
    new Map([
      ["config.json", json(config)],
      ["model.safetensors", writeSafetensors(tensorsOf(size))],
      ["tokenizer.json", json(BYTES)],
      ["tokenizer_config.json", json({ tokenizer_class: "GPT2TokenizerFast", eos_token: END })],
    ]),
  );
}

const END = "<|endoftext|>";

/** GPT-2's letters for the 256 bytes: those that can be printed stand for themselves, the others for U+0100 and what follows. */
function byteLetters(): string[] {
  let next = 256;
  const isPrintable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}

/** tokenizer.json of a byte-level BPE without merges, split as GPT-2 splits. */
const BYTES = {
  version: "1.0",
  added_tokens: [
    {
      id: 0,
      content: END,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    },
  ],
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: "",
    end_of_word_suffix: "",
    fuse_unk: false,
    byte_fallback: false,
    vocab: Object.fromEntries([END, ...byteLetters()].map((token, id) => [token, id])),
    merges: [],
  },
};

function tensorsOf({
  hidden,
  intermediate,
  heads,
  kvHeads,
  headDim,
  vocab,
  layers,
}: ModelSize): TensorEntry[] {
  const layer = (path: string): TensorEntry[] => [
    norm(`${path}.input_layernorm.weight`, hidden),
    matrix(`${path}.self_attn.q_proj.weight`, heads * headDim, hidden),
    matrix(`${path}.self_attn.k_proj.weight`, kvHeads * headDim, hidden),
    matrix(`${path}.self_attn.v_proj.weight`, kvHeads * headDim, hidden),
    matrix(`${path}.self_attn.o_proj.weight`, hidden, heads * headDim),
    norm(`${path}.post_attention_layernorm.weight`, hidden),
    matrix(`${path}.mlp.gate_proj.weight`, intermediate, hidden),
    matrix(`${path}.mlp.up_proj.weight`, intermediate, hidden),
    matrix(`${path}.mlp.down_proj.weight`, hidden, intermediate),
  ];
  return [
    matrix("model.embed_tokens.weight", vocab, hidden),
    ...Array.from({ length: layers }, (_, i) => layer(`model.layers.${i}`)).flat(),
    norm("model.norm.weight", hidden),
  ];
}

function matrix(name: string, rows: number, columns: number): TensorEntry {
  const { codes } = repeatedHalves(rows * columns, name.length + rows, "bf16", SCALE);
  return { name, dtype: "BF16", shape: [rows, columns], data: new Uint8Array(codes.buffer) };
}

function norm(name: string, size: number): TensorEntry {
  const ones = new Uint16Array(size).fill(0x3f80);
  return { name, dtype: "BF16", shape: [size], data: new Uint8Array(ones.buffer) };
}
