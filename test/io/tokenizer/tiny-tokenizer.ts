/** Two tokenizers small enough to be checked by eye, of the two kinds that most models have. */

const special = (id: number, content: string) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

const numbered = (tokens: readonly string[]) => Object.fromEntries(tokens.map((token, id) => [token, id]));

const BYTES = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);
const LETTERS = [..."abcdefghijklmnopqrstuvwxyz"];

/** Llama-2 style: "▁" put before the text, byte fallback, a first space stripped in decoding. Bytes are ids 3…258. */
export const LLAMA_JSON = {
  version: "1.0",
  added_tokens: [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
  normalizer: {
    type: "Sequence",
    normalizers: [
      { type: "Prepend", prepend: "▁" },
      { type: "Replace", pattern: { String: " " }, content: "▁" },
    ],
  },
  pre_tokenizer: null,
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [{ Sequence: { id: "A", type_id: 0 } }, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
  },
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
  model: {
    type: "BPE",
    unk_token: "<unk>",
    fuse_unk: true,
    byte_fallback: true,
    vocab: numbered(["<unk>", "<s>", "</s>", ...BYTES, "▁", ...LETTERS, "▁a", "▁b", "ab", "▁ab"]),
    merges: ["▁ a", "a b", "▁ b", "▁ ab", "▁a b"],
  },
};

/** `tokenizer_config.json` beside {@link LLAMA_JSON}. */
export const LLAMA_CONFIG = { bos_token: { content: "<s>" }, eos_token: "</s>" };

/** GPT-2's mapping of bytes to printable characters: the printable ones stand for themselves, the others move to 256…. */
export function byteAlphabet(): string[] {
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte < 173) || byte > 173;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

/** GPT-2 style: byte-level BPE; id 0 is "<|endoftext|>", byte `b` is id `b + 1`. */
export const GPT2_JSON = {
  version: "1.0",
  added_tokens: [special(0, "<|endoftext|>")],
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  post_processor: null,
  decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  model: {
    type: "BPE",
    unk_token: null,
    vocab: numbered(["<|endoftext|>", ...byteAlphabet(), "Ġa", "Ġb"]),
    merges: ["Ġ a", "Ġ b"],
  },
};

/** `tokenizer_config.json` beside {@link GPT2_JSON}. */
export const GPT2_CONFIG = { bos_token: "<|endoftext|>", eos_token: "<|endoftext|>" };
