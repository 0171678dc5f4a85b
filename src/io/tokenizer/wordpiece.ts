import { fail } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";
import { tokenName } from "./special-tokens.ts";

/** Names of special tokens in a WordPiece vocabulary, where `tokenizer_config.json` names no others. */
const SPECIAL = {
  pad_token: "[PAD]",
  unk_token: "[UNK]",
  cls_token: "[CLS]",
  sep_token: "[SEP]",
  mask_token: "[MASK]",
};

/**
 * The `tokenizer.json` that transformers would save for a BERT vocabulary.
 * @param vocabulary `vocab.txt`: a token on each line, its id being the line's number from 0
 * @param config `tokenizer_config.json`: `do_lower_case` and its like
 * @throws LoraError naming the special tokens that the vocabulary lacks, or a token that it has twice
 */
export function wordPieceTokenizer(vocabulary: string, config: JsonObject): JsonObject {
  const vocab = readVocabulary(vocabulary);
  const special = Object.entries(SPECIAL).map(([key, name]) => tokenName(config[key]) ?? name);
  const [, unknown = "", cls = "", sep = ""] = special;
  const missing = [unknown, cls, sep].filter((token) => !vocab.has(token));
  if (missing.length > 0) fail("vocab.txt", `lacks the special tokens ${missing.join(", ")}`);
  const template = (...items: readonly [string, number][]) =>
    items.map(([id, type_id]) =>
      id === "A" || id === "B" ? { Sequence: { id, type_id } } : { SpecialToken: { id, type_id } },
    );
  const first: [string, number][] = [
    [cls, 0],
    ["A", 0],
    [sep, 0],
  ];
  const ids = (token: string) => ({ id: token, ids: [vocab.get(token)], tokens: [token] });
  return {
    version: "1.0",
    added_tokens: special.filter((token) => vocab.has(token)).map((token) => addedToken(token, vocab)),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars !== false,
      strip_accents: config.strip_accents ?? null,
      lowercase: config.do_lower_case !== false,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: {
      type: "TemplateProcessing",
      single: template(...first),
      pair: template(...first, ["B", 1], [sep, 1]),
      special_tokens: { [cls]: ids(cls), [sep]: ids(sep) },
    },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: unknown,
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocab),
    },
  };
}

function readVocabulary(text: string): Map<string, number> {
  const lines = text.replace(/\r?\n$/, "").split(/\r?\n/);
  const vocab = new Map(lines.map((token, id) => [token, id]));
  if (vocab.size < lines.length) {
    const twice = lines.find((token, id) => vocab.get(token) !== id);
    fail("vocab.txt", `has the token ${JSON.stringify(twice)} twice`);
  }
  return vocab;
}

function addedToken(content: string, vocab: ReadonlyMap<string, number>): JsonObject {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return { id: vocab.get(content), content, special: true, ...flags };
}
