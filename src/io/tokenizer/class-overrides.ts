import { fail } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import type { PreTokenizerJson } from "./schema/pre-tokenizers.ts";
import type { TokenizerJson } from "./schema/schema.ts";
import type { RoleNames } from "./special-tokens.ts";
import type { TokenizerClass } from "./tokenizer-classes.ts";

/** What the class changes in the way in which tokenizer.json splits text. */
export function obeyClass(
  json: TokenizerJson,
  traits: TokenizerClass,
  config: JsonObject,
  roles: RoleNames,
): TokenizerJson {
  const { model } = json;
  if (traits.overrides === "all" && traits.parts && model.type === "WordPiece") {
    const unk_token = roles.unk_token ?? model.unk_token;
    if (!Object.hasOwn(model.vocab, unk_token)) {
      const help = `name a token of the vocabulary, such as ${model.unk_token}`;
      fail(
        "tokenizer_config.json",
        `unk_token is ${JSON.stringify(unk_token)}, which the vocabulary lacks`,
        help,
      );
    }
    const [prefix, longest] = [{ continuing_subword_prefix: "##" }, { max_input_chars_per_word: 100 }];
    return {
      ...json,
      ...traits.parts(config),
      model: { ...model, unk_token, ...prefix, ...longest },
    };
  }
  if (traits.overrides !== "add_prefix_space") return json;
  if (traits.vocabulary === "BPE") {
    const prefix = config.add_prefix_space === true;
    return { ...json, pre_tokenizer: json.pre_tokenizer && withPrefixSpace(json.pre_tokenizer, prefix) };
  }
  const stated = config.add_prefix_space;
  const isOther = typeof stated === "boolean" && stated !== putsSpaceBefore(json);
  return isOther && model.type === "BPE" && model.byte_fallback
    ? { ...json, ...traits.parts?.(config) }
    : json;
}

function withPrefixSpace(part: PreTokenizerJson, add_prefix_space: boolean): PreTokenizerJson {
  if (part.type === "ByteLevel") return { ...part, add_prefix_space };
  if (part.type !== "Sequence") return part;
  return {
    ...part,
    pretokenizers: part.pretokenizers.map((inner) => withPrefixSpace(inner, add_prefix_space)),
  };
}

/** Whether a SentencePiece tokenizer begins a text with a space that isn't there. */
function putsSpaceBefore({ normalizer, pre_tokenizer }: TokenizerJson): boolean {
  const holds = (part: unknown, test: (part: JsonObject) => boolean): boolean =>
    Array.isArray(part)
      ? part.some((inner) => holds(inner, test))
      : isObject(part) && (test(part) || Object.values(part).some((inner) => holds(inner, test)));
  return (
    holds(normalizer, ({ type }) => type === "Prepend") ||
    holds(pre_tokenizer, ({ type, prepend_scheme }) => type === "Metaspace" && prepend_scheme !== "never")
  );
}
