import { type BlockType, tensorBytes } from "../../../src/io/formats/gguf/block-formats.ts";
import { TRANSCODED } from "../../../src/io/formats/gguf/transcode.ts";
import { type GgufValue, gguf as value } from "../../../src/io/formats/gguf/values.ts";
import { type GgufTensorSpec, ggufBytes } from "../../../src/io/formats/gguf/writer.ts";
import { type LoadedModel, openTaskModel } from "../../../src/load/model.ts";
import { resolveModel } from "../../../src/load/model-source.ts";
import { isLeaf, modules } from "../../../src/nn/module.ts";
import type { Random } from "../../../src/util/random.ts";
import { idleDevice } from "../idle-device.ts";
import { mutateBytes } from "../mutate-text.ts";
import { ensure, folderOf, type Target } from "../target.ts";

const NAME = "model.gguf";
/** One block of a k-quant is a row. */
const [HIDDEN, FFN, HEADS, KV_HEADS, HEAD_DIM, VOCAB] = [256, 32, 2, 1, 8, 264] as const;

const device = idleDevice();

type Entries = Map<string, GgufValue>;

function metadataOf(architecture: string, random: Random): Entries {
  const own = (name: string, entry: GgufValue): [string, GgufValue] => [`${architecture}.${name}`, entry];
  return new Map([
    ["general.architecture", value.string(architecture)],
    own("block_count", value.u32(1)),
    own("context_length", value.u32(64)),
    own("embedding_length", value.u32(HIDDEN)),
    own("feed_forward_length", value.u32(FFN)),
    own("attention.head_count", value.u32(HEADS)),
    own("attention.head_count_kv", value.u32(KV_HEADS)),
    own("attention.key_length", value.u32(HEAD_DIM)),
    own("attention.layer_norm_rms_epsilon", value.f32(1e-5)),
    own("rope.freq_base", value.f32(10_000)),
    ...(random.integer(2) === 0 ? tokensOf(random) : []),
  ]);
}

/** Bytes, letters and special tokens, in either of the two kinds of tokenizers. */
function tokensOf(random: Random): [string, GgufValue][] {
  const isSpaces = random.integer(2) === 0;
  const tokens = Array.from({ length: VOCAB }, (_, id) => {
    if (id < 3) return ["<unk>", "<s>", "</s>"][id] as string;
    if (id < 259 && isSpaces) return `<0x${(id - 3).toString(16).toUpperCase().padStart(2, "0")}>`;
    return String.fromCharCode(0x100 + id);
  });
  const types = tokens.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : id < 259 && isSpaces ? 6 : 1));
  return [
    ["tokenizer.ggml.model", value.string(isSpaces ? "llama" : "gpt2")],
    ["tokenizer.ggml.pre", value.string("qwen2")],
    ["tokenizer.ggml.tokens", value.strings(tokens)],
    ["tokenizer.ggml.token_type", value.i32s(types)],
    ["tokenizer.ggml.scores", value.f32s(tokens.map((_, id) => -id))],
    ["tokenizer.ggml.merges", value.strings([])],
    ["tokenizer.ggml.bos_token_id", value.u32(1)],
    ["tokenizer.ggml.eos_token_id", value.u32(2)],
  ];
}

function tensorsOf(architecture: string, random: Random): GgufTensorSpec[] {
  const matrix = (name: string, rows: number, columns: number): GgufTensorSpec => {
    const fitting = [...TRANSCODED, "F32" as const, "F16" as const, "BF16" as const].filter(
      (type) => tensorBytes(type, [rows, columns]) !== undefined,
    );
    return { name: `${name}.weight`, type: random.pick(fitting), shape: [rows, columns] };
  };
  const norm = (name: string): GgufTensorSpec => ({ name: `${name}.weight`, type: "F32", shape: [HIDDEN] });
  return [
    matrix("token_embd", VOCAB, HIDDEN),
    norm("blk.0.attn_norm"),
    matrix("blk.0.attn_q", HEADS * HEAD_DIM, HIDDEN),
    matrix("blk.0.attn_k", KV_HEADS * HEAD_DIM, HIDDEN),
    matrix("blk.0.attn_v", KV_HEADS * HEAD_DIM, HIDDEN),
    matrix("blk.0.attn_output", HIDDEN, HEADS * HEAD_DIM),
    norm("blk.0.ffn_norm"),
    matrix("blk.0.ffn_gate", FFN, HIDDEN),
    matrix("blk.0.ffn_up", FFN, HIDDEN),
    matrix("blk.0.ffn_down", HIDDEN, FFN),
    norm("output_norm"),
    ...(architecture === "llama" && random.integer(2) === 0 ? [matrix("output", VOCAB, HIDDEN)] : []),
  ];
}

/** Other values for an entry: of its kind or of another, or none. */
function changeEntry(entries: Entries, random: Random): void {
  const key = random.pick([...entries.keys()]);
  const numbers = [0, 1, 3, 8, 255, 1024, 2 ** 31, 2 ** 32 - 1];
  const others = [
    () => value.u32(random.pick(numbers)),
    () => value.f32(random.pick([0, -1, Number.NaN, 1e30, 0.5])),
    () =>
      value.string(
        random.pick(["", "llama", "gemma", "gemma2", "gemma3", "phi3", "qwen3", "none", "gpt2", "default"]),
      ),
    () => value.i32s([random.pick(numbers.slice(0, 5)), 2]),
    () => value.strings(["a", "a", "<s>"]),
    () => value.bool(random.integer(2) === 0),
  ];
  if (random.integer(5) === 0) entries.delete(key);
  else entries.set(key, random.pick(others)());
}

const NAMES = [
  "rope_freqs.weight",
  "rope_factors_long.weight",
  "blk.0.attn_q.bias",
  "blk.1.ffn_up.weight",
  "w",
];

function changeTensor(tensors: GgufTensorSpec[], random: Random): void {
  const at = random.integer(tensors.length);
  const { name, type, shape } = tensors[at] as GgufTensorSpec;
  const kind = random.integer(4);
  if (kind === 0) tensors.splice(at, 1);
  else if (kind === 1) tensors[at] = { name: random.pick(NAMES), type, shape };
  else if (kind === 2) tensors[at] = { name, type: "F32", shape: [random.integer(9), ...shape.slice(1)] };
  else
    tensors[at] = { name, type: random.pick(["F32", "F16", "Q8_0", "IQ1_S"] satisfies BlockType[]), shape };
}

/** Whole models in GGUF, with changed entries, tensors or bytes: what is loaded has its weights, and frees them. */
export const ggufModel: Target = {
  make(random) {
    const architecture = random.pick(["llama", "gemma"]);
    const entries = metadataOf(architecture, random);
    const tensors = tensorsOf(architecture, random);
    for (let left = random.integer(3); left > 0; left--) changeEntry(entries, random);
    for (let left = random.integer(2); left > 0; left--) changeTensor(tensors, random);
    const unique = [...new Map(tensors.map((tensor) => [tensor.name, tensor])).values()];
    const stored = unique.flatMap((tensor) => {
      const bytes = tensorBytes(tensor.type, tensor.shape);
      if (bytes === undefined) return [];
      // Random scales are often no numbers: mostly zeros.
      const isRandom = random.integer(12) === 0;
      const data = Uint8Array.from({ length: bytes }, () => (isRandom ? random.integer(256) : 0));
      return [{ ...tensor, data }];
    });
    const file = ggufBytes(entries, stored);
    return new Map([[NAME, random.integer(4) === 0 ? mutateBytes(file, random) : file]]);
  },
  async read(input) {
    let loaded: LoadedModel | undefined;
    try {
      const files = await resolveModel(NAME, async () => folderOf(input));
      loaded = await openTaskModel(files, device);
      const sizes = [...modules(loaded.root)]
        .filter(isLeaf)
        .flatMap(({ tensors }) => Object.values(tensors).map(({ words: { size } }) => size));
      ensure(sizes.length > 0 && sizes.every((size) => size > 0), () => "it has no weights");
    } finally {
      loaded?.release();
    }
    ensure(device.memory.stats.used === 0, () => `${device.memory.stats.used} bytes stay in use`);
  },
};
