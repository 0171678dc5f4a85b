import { asText, type JsonObject } from "../../util/json.ts";
import type { NormalizerJson } from "./schema/normalizers.ts";
import type { TokenizerParts } from "./schema/schema.ts";
import { bertParts } from "./wordpiece.ts";

/** What a class of tokenizers does in transformers, where the files don't say it. */
export interface TokenizerClass {
  /** Texts of special tokens; null: the class has none unless a file names it. */
  readonly roles: Readonly<Record<string, string | null>>;
  /** `vocab.txt`, or `vocab.json` and `merges.txt`, of which the class can be made; absent where it needs tokenizer.json. */
  readonly vocabulary?: "WordPiece" | "BPE";
  /** How it splits text, by `tokenizer_config.json`. */
  readonly parts?: (config: JsonObject) => TokenizerParts;
  /** Which settings of `tokenizer_config.json` change how the text is split that tokenizer.json describes. */
  readonly overrides?: "all" | "add_prefix_space";
  /** What stands around texts: its own tokens, or none; absent where files say it (`add_bos_token` or tokenizer.json). */
  readonly frame?: "BERT" | "RoBERTa" | "none";
  /** Whether transformers takes only vocabulary and post-processor from tokenizer.json, and added tokens by the configs. */
  readonly rebuilds?: boolean;
  /** Whether special tokens are found as they stand, whatever flags a file gives them. */
  readonly plain?: boolean;
}

/** Takes tokenizer.json as it is: `TokenizersBackend`, once `PreTrainedTokenizerFast`, and any class that is not known. */
const AS_IT_IS: TokenizerClass = { roles: {} };

const END_OF_TEXT = "<|endoftext|>";
const NFC = { type: "NFC" } as const;
const QWEN2_SPLIT =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** Byte-level BPE: GPT-2's own expression splits the text before the bytes are encoded, unless another is given. */
function byteLevel(normalizer: NormalizerJson | null, split?: string) {
  return ({ add_prefix_space }: JsonObject): TokenizerParts => {
    const bytes = {
      type: "ByteLevel",
      add_prefix_space: add_prefix_space === true,
      trim_offsets: true,
      use_regex: split === undefined,
    } as const;
    return {
      normalizer,
      pre_tokenizer:
        split === undefined ? bytes : { type: "Sequence", pretokenizers: [splitAt(split), bytes] },
      decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    };
  };
}

function splitAt(regex: string) {
  return { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false } as const;
}

/** Llama 2's "▁" before words. Transformers 5 makes no difference between the first and later pieces where `legacy`. */
function llamaParts({ add_prefix_space, legacy }: JsonObject): TokenizerParts {
  const first = legacy === true ? "always" : "first";
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 } as const;
  return {
    normalizer: null,
    pre_tokenizer: {
      type: "Metaspace",
      replacement: "▁",
      prepend_scheme: add_prefix_space === false ? "never" : first,
      split: false,
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        ...(add_prefix_space === false ? [] : [strip]),
      ],
    },
  };
}

const BYTE_LEVEL = { vocabulary: "BPE", overrides: "add_prefix_space", rebuilds: true } as const;
const GPT2: TokenizerClass = {
  ...BYTE_LEVEL,
  roles: { bos_token: END_OF_TEXT, eos_token: END_OF_TEXT, unk_token: END_OF_TEXT, pad_token: null },
  parts: byteLevel(null),
};
const GPT_NEOX: TokenizerClass = {
  ...BYTE_LEVEL,
  roles: { ...GPT2.roles, pad_token: "<|padding|>" },
  parts: byteLevel(NFC),
  frame: "none",
};
const ROBERTA: TokenizerClass = {
  ...BYTE_LEVEL,
  roles: {
    ...{ bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>", sep_token: "</s>" },
    ...{ pad_token: "<pad>", cls_token: "<s>", mask_token: "<mask>" },
  },
  parts: byteLevel(null),
  frame: "RoBERTa",
};
const QWEN2: TokenizerClass = {
  ...BYTE_LEVEL,
  roles: { eos_token: END_OF_TEXT, unk_token: END_OF_TEXT, pad_token: END_OF_TEXT },
  parts: byteLevel(NFC, QWEN2_SPLIT),
  plain: true,
};
const BERT: TokenizerClass = {
  roles: {
    ...{ unk_token: "[UNK]", sep_token: "[SEP]", pad_token: "[PAD]" },
    ...{ cls_token: "[CLS]", mask_token: "[MASK]" },
  },
  vocabulary: "WordPiece",
  parts: bertParts,
  overrides: "all",
  frame: "BERT",
  rebuilds: true,
};
const LLAMA: TokenizerClass = {
  roles: { unk_token: "<unk>", bos_token: "<s>", eos_token: "</s>" },
  parts: llamaParts,
  overrides: "add_prefix_space",
  rebuilds: true,
};
const GEMMA: TokenizerClass = {
  roles: {
    ...{ unk_token: "<unk>", bos_token: "<bos>", eos_token: "<eos>" },
    ...{ pad_token: "<pad>", mask_token: "<mask>" },
  },
  rebuilds: true,
};
const XLM_ROBERTA: TokenizerClass = { roles: ROBERTA.roles };

/** By `tokenizer_class` without `Fast`. */
const CLASSES: Readonly<Record<string, TokenizerClass>> = {
  GPT2Tokenizer: GPT2,
  GPTNeoXTokenizer: GPT_NEOX,
  RobertaTokenizer: ROBERTA,
  BartTokenizer: ROBERTA,
  LongformerTokenizer: ROBERTA,
  Qwen2Tokenizer: QWEN2,
  BertTokenizer: BERT,
  DistilBertTokenizer: BERT,
  ElectraTokenizer: BERT,
  MobileBertTokenizer: BERT,
  SqueezeBertTokenizer: BERT,
  LayoutLMTokenizer: BERT,
  LxmertTokenizer: BERT,
  LlamaTokenizer: LLAMA,
  GemmaTokenizer: GEMMA,
  XLMRobertaTokenizer: XLM_ROBERTA,
  CamembertTokenizer: XLM_ROBERTA,
};

/** The class of a model type, with which transformers takes a file's `tokenizer_class` to be the same or a mistake. */
const MODEL_TYPES: Readonly<Record<string, string>> = {
  gpt2: "GPT2Tokenizer",
  opt: "GPT2Tokenizer",
  gpt_neox: "GPTNeoXTokenizer",
  qwen2: "Qwen2Tokenizer",
  qwen3: "Qwen2Tokenizer",
  gemma: "GemmaTokenizer",
  gemma2: "GemmaTokenizer",
  gemma3_text: "GemmaTokenizer",
  bert: "BertTokenizer",
  distilbert: "BertTokenizer",
  roberta: "RobertaTokenizer",
  "xlm-roberta": "XLMRobertaTokenizer",
  mistral: "TokenizersBackend",
  phi3: "TokenizersBackend",
  olmo2: "TokenizersBackend",
  granite: "TokenizersBackend",
  stablelm: "TokenizersBackend",
};

/** Model types whose repositories name a wrong class (`MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS`). */
const NAMED_WRONGLY: readonly string[] = ["qwen2", "phi3"];

/**
 * The class of a folder's tokenizer as `AutoTokenizer` of transformers 5.18 finds it.
 * @param config `tokenizer_config.json`
 * @param modelConfig `config.json`
 */
export function tokenizerClass(
  config: JsonObject,
  modelConfig: JsonObject,
): { readonly name: string; readonly traits: TokenizerClass } {
  const type = asText(modelConfig.model_type) ?? "";
  const ofModel = Object.hasOwn(MODEL_TYPES, type) ? MODEL_TYPES[type] : undefined;
  const given = config.tokenizer_class ?? modelConfig.tokenizer_class;
  const named = typeof given === "string" ? given.replace(/Fast$/, "") : undefined;
  const isMistake = ofModel === "TokenizersBackend" || NAMED_WRONGLY.includes(type);
  const name = (isMistake ? ofModel : named) ?? named ?? ofModel ?? "TokenizersBackend";
  return { name, traits: (Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined) ?? AS_IT_IS };
}
