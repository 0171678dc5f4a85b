import { byteLevelBytes, byteToken } from "../../src/io/tokenizer/pipeline/bytes.ts";
import type { Case } from "./cases.ts";

const SPLIT =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Small tokenizers with every byte: one as Qwen's, one as Llama 2's or Gemma's. */
export function tokenizerFiles({ tokenizer, config }: Case): Record<string, unknown> {
  const isGemma = String(config.model_type).startsWith("gemma");
  return tokenizer === "bytes" ? byteTokenizer() : spaceTokenizer(isGemma);
}

function byteTokenizer(): Record<string, unknown> {
  const specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
  const merges = ["Ġ t", "h e", "Ġt he", "i n", "in g", "Ġ a", "a n", "an d"];
  const json = {
    added_tokens: specials.map(special),
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: SPLIT }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
      ],
    },
    post_processor: null,
    decoder: { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false },
    model: bytePairs([...specials, ...alphabet()], merges, {}),
  };
  const config = {
    tokenizer_class: "PreTrainedTokenizerFast",
    eos_token: "<|im_end|>",
    chat_template: TEMPLATE,
  };
  return { "tokenizer.json": json, "tokenizer_config.json": config };
}

const TEMPLATE =
  "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}";

/** Merges are in the order of their pieces' ids, as they are where a SentencePiece model was converted. */
function spaceTokenizer(isGemma: boolean): Record<string, unknown> {
  const specials = ["<unk>", "<s>", "</s>"];
  const bytes = Array.from({ length: 256 }, (_, byte) => byteToken(byte));
  const letters = [..."▁etaoinshrdlucmfwypvbgk,."];
  const merges = ["▁ t", "h e", "▁t he", "i n", "in g", "▁ a", "a n", "an d", "▁ s", "e r"];
  const replace = { type: "Replace", pattern: { String: " " }, content: "▁" };
  const json = {
    added_tokens: specials.map(special),
    normalizer: isGemma
      ? replace
      : { type: "Sequence", normalizers: [{ type: "Prepend", prepend: "▁" }, replace] },
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
        ...(isGemma ? [] : [{ type: "Strip", content: " ", start: 1, stop: 0 }]),
      ],
    },
    model: bytePairs([...specials, ...bytes, ...letters], merges, {
      ...{ unk_token: "<unk>", byte_fallback: true, fuse_unk: true },
    }),
  };
  const roles = { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" };
  return {
    "tokenizer.json": json,
    "tokenizer_config.json": { tokenizer_class: "PreTrainedTokenizerFast", ...roles },
  };
}

function bytePairs(first: readonly string[], merges: readonly string[], more: object) {
  const pieces = [...first, ...merges.map((merge) => merge.replace(" ", ""))];
  const vocab = Object.fromEntries(pieces.map((piece, id) => [piece, id]));
  return { type: "BPE", dropout: null, unk_token: null, ...more, vocab, merges };
}

function special(content: string, id: number) {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

/** Byte-level BPE's characters: those below U+0144 that stand for one byte. */
function alphabet(): string[] {
  const characters = Array.from({ length: 0x144 }, (_, code) => String.fromCharCode(code));
  return characters.filter((character) => isByte(character));
}

function isByte(character: string): boolean {
  const bytes = byteLevelBytes(character);
  const code = character.charCodeAt(0);
  return (
    bytes.length === 1 && (bytes[0] === code ? (code > 0x20 && code < 0x7f) || code > 0xa0 : code >= 0x100)
  );
}
