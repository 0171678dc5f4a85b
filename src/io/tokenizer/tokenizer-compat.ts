/**
 * `@huggingface/tokenizers` 0.2.0 deviates from the Rust library in a few components (found by fuzzing both).
 * What can be said in other components is rewritten in the JSON here, before the library reads it;
 * the byte-fallback decoder is replaced.
 */

import {
  ByteFallbackDecoder,
  type Decoder,
  MetaspaceDecoder,
  SequenceDecoder,
} from "@huggingface/tokenizers";
import { isObject, type JsonObject } from "../../util/json.ts";

/** The same tokenizer, said in components in which the JavaScript library agrees with the Rust one. */
export function portableTokenizerJson(json: JsonObject): JsonObject {
  const parts = {
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    added_tokens: [],
  };
  const model = isObject(json.model) ? json.model : {};
  return {
    ...parts,
    ...json,
    // Files from before tokenizers 0.9 (GPT-2's own) do not name the type.
    model: { type: "merges" in model ? "BPE" : undefined, ...model },
    pre_tokenizer: portablePreTokenizer(json.pre_tokenizer),
    post_processor: portablePostProcessor(json.post_processor),
  };
}

/** RoBERTa has one kind of segment, 0, also in the second text of a pair; the library calls that one 1. */
function portablePostProcessor(json: unknown): unknown {
  if (!isObject(json)) return null;
  if (json.type === "Sequence" && Array.isArray(json.processors)) {
    return { ...json, processors: json.processors.map(portablePostProcessor) };
  }
  if (json.type !== "RobertaProcessing" || !Array.isArray(json.cls) || !Array.isArray(json.sep)) return json;
  const tokens: readonly unknown[][] = [json.cls, json.sep];
  const [cls, sep] = tokens.map(([id]) => ({ SpecialToken: { id, type_id: 0 } }));
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
  return {
    type: "TemplateProcessing",
    single: [cls, text("A"), sep],
    pair: [cls, text("A"), sep, sep, text("B"), sep],
    special_tokens: Object.fromEntries(tokens.map(([id, n]) => [String(id), { id, ids: [n], tokens: [id] }])),
  };
}

/** GPT-2's pattern as the Rust library compiles it; a `Split` gives `\s` its Unicode meaning (U+0085 in, U+FEFF out). */
const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const PUNCTUATION = "[\\p{P}\\x21-\\x2F\\x3A-\\x40\\x5B-\\x60\\x7B-\\x7E]";

function portablePreTokenizer(json: unknown): unknown {
  if (!isObject(json)) return null;
  switch (json.type) {
    case "Sequence":
      return sequence(
        ...(Array.isArray(json.pretokenizers) ? json.pretokenizers.map(portablePreTokenizer) : []),
      );
    case "ByteLevel":
      // A prefix space must be added before the split, which only the library's own component does.
      if (json.use_regex === false || json.add_prefix_space === true) return json;
      return sequence(split(GPT2_PATTERN), { ...json, use_regex: false });
    case "Digits":
      // Rust's char::is_numeric is all of N ("½", "²", "Ⅷ"); the library takes 0-9 only.
      return split(json.individual_digits === true ? "\\p{N}" : "\\p{N}+");
    case "Punctuation":
      // The library joins neighbouring marks whatever `behavior` says.
      return split(PUNCTUATION, json.behavior);
    case "Split":
      return portableSplit(json);
    case "Metaspace":
      return portableMetaspace(json);
    default:
      return json;
  }
}

function portableSplit(json: JsonObject): JsonObject {
  const pattern = isObject(json.pattern) ? json.pattern : {};
  const source = typeof pattern.String === "string" ? escapePattern(pattern.String) : pattern.Regex;
  return json.invert === true || typeof source !== "string" ? json : split(source, json.behavior);
}

/** The library knows no `MergedWith…` and `Contiguous`; a longer pattern, split off as a whole, says the same. */
function split(pattern: string, behavior: unknown = "Isolated"): JsonObject {
  const removed = String(behavior).toLowerCase() === "removed";
  return {
    type: "Split",
    pattern: { Regex: removed ? pattern : mergedPattern(pattern, String(behavior)) },
    behavior: removed ? "Removed" : "Isolated",
    invert: false,
  };
}

function mergedPattern(source: string, behavior: string): string {
  const other = `(?:(?!${source})[\\s\\S])*`;
  switch (behavior.toLowerCase()) {
    case "mergedwithprevious":
      return `${other}(?:${source})`;
    case "mergedwithnext":
      return `(?:${source})${other}`;
    case "contiguous":
      return `(?:${source})+`;
    default:
      return source;
  }
}

/** The library knows neither the old `add_prefix_space` nor `split` (on by default: a word never crosses a "▁"). */
function portableMetaspace(json: JsonObject): JsonObject {
  const replacement = typeof json.replacement === "string" ? json.replacement : "▁";
  const scheme = json.prepend_scheme ?? (json.add_prefix_space === false ? "never" : "always");
  const metaspace = { ...json, prepend_scheme: scheme };
  if (json.split === false) return metaspace;
  return sequence(metaspace, split(escapePattern(replacement), "MergedWithNext"));
}

function sequence(...pretokenizers: unknown[]): JsonObject {
  return { type: "Sequence", pretokenizers };
}

function escapePattern(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

/**
 * Byte fallback as the Rust library does it: a byte-order mark is text like any other, and a run of bytes
 * that is not UTF-8 as a whole becomes one U+FFFD for each byte.
 */
class ExactByteFallback extends ByteFallbackDecoder {
  override decode_chain(tokens: string[]): string[] {
    const pieces: string[] = [];
    let run: number[] = [];
    const endRun = () => {
      if (run.length > 0) pieces.push(decodeRun(run));
      run = [];
    };
    for (const token of tokens) {
      const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
      if (byte !== undefined) run.push(Number.parseInt(byte, 16));
      else {
        endRun();
        pieces.push(token);
      }
    }
    endRun();
    return pieces;
  }
}

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeRun(bytes: readonly number[]): string {
  try {
    return strictUtf8.decode(Uint8Array.from(bytes));
  } catch {
    return "\uFFFD".repeat(bytes.length);
  }
}

/** A first token loses all its leading "▁" (the library takes one), or none under the scheme "never". */
class ExactMetaspace extends MetaspaceDecoder {
  readonly strips: boolean;

  constructor(config: MetaspaceDecoder["config"]) {
    super(config as ConstructorParameters<typeof MetaspaceDecoder>[0]);
    const options: unknown = config;
    const { prepend_scheme: scheme, add_prefix_space: prefix } = isObject(options) ? options : {};
    this.strips = scheme === undefined ? prefix !== false : scheme !== "never";
  }

  override decode_chain(tokens: string[]): string[] {
    return tokens.map((token, i) => token.replaceAll(this.replacement, i === 0 && this.strips ? "" : " "));
  }
}

/** The same decoder with the parts that deviate replaced. */
export function exactDecoder(decoder: Decoder | null): Decoder | null {
  if (decoder instanceof ByteFallbackDecoder) return new ExactByteFallback({ type: "ByteFallback" });
  if (decoder instanceof MetaspaceDecoder) return new ExactMetaspace(decoder.config);
  if (decoder instanceof SequenceDecoder) {
    decoder.decoders = decoder.decoders.map((part) => exactDecoder(part) ?? part);
  }
  return decoder;
}
