import type { PreTokenizerJson } from "../../tokenizer/schema/pre-tokenizers.ts";
import type { TokenizerJson } from "../../tokenizer/schema/schema.ts";

/**
 * llama.cpp finds how a byte-level tokenizer splits a text by a name in the file (`tokenizer.ggml.pre`), of which its
 * program has the expressions (`llama-vocab.cpp`). Its converter tells the name by hashing the tokens of a test text; here
 * the expressions themselves are compared.
 */
interface Splitting {
  readonly pre: string;
  /** Other names of llama.cpp's for the same. */
  readonly aliases?: readonly string[];
  /** Whether a text begins with a token of its own, where the file doesn't say. */
  readonly begins?: boolean;
  /** Whether the tokenizers that split so compose letters first (NFC), which llama.cpp does not. */
  readonly composes?: boolean;
  /** The parts of `pre_tokenizer`, as {@link partOf} writes them. */
  readonly parts: readonly string[];
  /** Whether a piece that is a token is taken whole; either, unless given. */
  readonly ignoresMerges?: boolean;
}

const GPT2 = "bytes with GPT-2's expression";
const BYTES = "bytes";
const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const QWEN2 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const GPT4O =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const BYTE_LEVEL: readonly Splitting[] = [
  { pre: "gpt-2", parts: [GPT2], ignoresMerges: false },
  {
    ...{ pre: "llama-bpe", aliases: ["llama3", "llama-v3"], parts: [LLAMA3, BYTES] },
    ...{ ignoresMerges: true, begins: true },
  },
  { pre: "smaug-bpe", aliases: ["dbrx"], parts: [LLAMA3, BYTES], ignoresMerges: false },
  {
    ...{ pre: "qwen2", aliases: ["deepseek-r1-qwen"], parts: [QWEN2, BYTES] },
    ...{ ignoresMerges: false, composes: true },
  },
  { pre: "smollm", parts: ["digits", GPT2], ignoresMerges: false },
  { pre: "gpt-4o", parts: [GPT4O, BYTES], ignoresMerges: false },
];

/** The name of a byte-level tokenizer's way to split; undefined where llama.cpp has none that is known here. */
export function byteSplitting({ normalizer, pre_tokenizer, model }: TokenizerJson): string | undefined {
  if (model.type !== "BPE" || model.continuing_subword_prefix || model.end_of_word_suffix) return undefined;
  // llama.cpp normalises nothing: Unicode's composed letters, which NFC makes, are what texts are mostly written in.
  if (normalizer !== null && normalizer.type !== "NFC") return undefined;
  const parts = pre_tokenizer === null ? [] : partsOf(pre_tokenizer).map(partOf);
  return BYTE_LEVEL.find(
    (known) => String(known.parts) === String(parts) && known.ignoresMerges === model.ignore_merges,
  )?.pre;
}

/** The ways to split a text that are read, by llama.cpp's names. */
export const PRE_TOKENIZERS = BYTE_LEVEL.flatMap(({ pre, aliases = [] }) => [pre, ...aliases]);

/** How a `tokenizer.json` says what one of llama.cpp's names means; undefined for a name that is not known here. */
export function preTokenizerOf(name: string) {
  const found = BYTE_LEVEL.find(({ pre, aliases = [] }) => pre === name || aliases.includes(name));
  if (!found) return undefined;
  const { parts, ignoresMerges = false, begins = false, composes = false } = found;
  return {
    normalizer: composes ? { type: "NFC" } : null,
    preTokenizer: { type: "Sequence", pretokenizers: parts.map(partJson) },
    ignoresMerges,
    begins,
  };
}

/** A part as {@link partOf} names it. */
function partJson(part: string) {
  if (part === "digits") return { type: "Digits", individual_digits: true };
  if (part === GPT2 || part === BYTES)
    return { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: part === GPT2 };
  return { type: "Split", pattern: { Regex: part }, behavior: "Isolated", invert: false };
}

function partsOf(part: PreTokenizerJson): readonly PreTokenizerJson[] {
  return part.type === "Sequence" ? part.pretokenizers.flatMap(partsOf) : [part];
}

function partOf(part: PreTokenizerJson): string {
  if (part.type === "ByteLevel" && !part.add_prefix_space) return part.use_regex ? GPT2 : BYTES;
  if (part.type === "Digits" && part.individual_digits) return "digits";
  const isSplit = part.type === "Split" && part.behavior === "Isolated" && !part.invert;
  return (isSplit ? part.pattern.Regex : undefined) ?? JSON.stringify(part);
}

/**
 * How a SentencePiece tokenizer makes ▁ of blanks.
 * @returns whether one is put before a text; undefined for a tokenizer that does anything else
 */
export function spaceSplitting({
  normalizer,
  pre_tokenizer,
  model,
}: TokenizerJson): { readonly prefix: boolean } | undefined {
  if (model.type !== "BPE" || model.ignore_merges) return undefined;
  const steps =
    normalizer === null ? [] : normalizer.type === "Sequence" ? normalizer.normalizers : [normalizer];
  const written = steps.map((step) => JSON.stringify(step));
  const replace = JSON.stringify({ type: "Replace", pattern: { String: " " }, content: "▁" });
  const prepend = JSON.stringify({ type: "Prepend", prepend: "▁" });
  const splits = pre_tokenizer === null ? [] : partsOf(pre_tokenizer);
  if (written.length === 0 && splits.length === 1) return metaspace(splits[0] as PreTokenizerJson);
  const idle = splits.every(splitsNothing);
  if (idle && String(written) === String([replace])) return { prefix: false };
  return idle && String(written) === String([prepend, replace]) ? { prefix: true } : undefined;
}

/** After the normaliser there is no blank left. */
function splitsNothing(part: PreTokenizerJson): boolean {
  return part.type === "Split" && part.pattern.String === " ";
}

function metaspace(part: PreTokenizerJson): { readonly prefix: boolean } | undefined {
  if (part.type !== "Metaspace" || part.replacement !== "▁" || part.split) return undefined;
  return { prefix: part.prepend_scheme !== "never" };
}
