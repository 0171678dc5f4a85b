import { fail } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";
import type { TokenizerParts } from "./schema/schema.ts";

/** How BERT splits text into words, by `do_lower_case` and its like in `tokenizer_config.json`. */
export function bertParts(config: JsonObject): TokenizerParts {
  return {
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars !== false,
      strip_accents: typeof config.strip_accents === "boolean" ? config.strip_accents : null,
      lowercase: config.do_lower_case !== false,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  };
}

/**
 * A WordPiece model.
 * @param vocabulary `vocab.txt`: a token on each line, its id being the line's number from 0
 * @param unknown the token for words that it lacks
 * @throws LoraError for a token that it has twice, or one that it lacks
 */
export function wordPieceModel(vocabulary: string, unknown: string): JsonObject {
  const vocab = readVocabulary(vocabulary);
  if (!vocab.has(unknown))
    fail(
      "vocab.txt",
      `lacks the special token ${unknown}`,
      "name one of its tokens as unk_token in tokenizer_config.json",
    );
  return {
    type: "WordPiece",
    unk_token: unknown,
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(vocab),
  };
}

function readVocabulary(text: string): Map<string, number> {
  const lines = text.replace(/\r?\n$/, "").split(/\r?\n/);
  const vocab = new Map(lines.map((token, id) => [token, id]));
  if (vocab.size < lines.length) {
    const twice = lines.find((token, id) => vocab.get(token) !== id);
    fail(
      "vocab.txt",
      `has the token ${JSON.stringify(twice)} twice`,
      "the line of a token is its id: take the file that belongs to the model",
    );
  }
  return vocab;
}
