import { LoraError } from "../../../util/fail.ts";
import type { ModelJson } from "../../tokenizer/schema/models.ts";
import type { TokenizerJson } from "../../tokenizer/schema/schema.ts";
import type { SettledTokenizer } from "../../tokenizer/settle-tokenizer.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { byteSplitting, spaceSplitting } from "./splitting.ts";
import { type GgufMetadata, type GgufValue, gguf } from "./values.ts";

/** llama.cpp's kinds of tokens (`llama_token_type`). */
export const TOKEN_TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

type BytePairs = Extract<ModelJson, { type: "BPE" }>;

/** A token as llama.cpp stores it. */
interface StoredToken {
  readonly text: string;
  readonly type: number;
}

/** What a vocabulary is written from. */
export interface VocabularySource {
  readonly settled: SettledTokenizer;
  readonly tokenizer: Tokenizer;
  /** Rows of the model's embedding: as many tokens are listed. */
  readonly rows: number;
  /** A Jinja template. */
  readonly chatTemplate?: string | undefined;
}

/**
 * The keys `tokenizer.*` of a model: its vocabulary, special tokens and chat template, as llama.cpp's converter writes
 * them; but the order of SentencePiece's merges is kept as scores, where the converter has a placeholder unless there is a
 * `tokenizer.model`.
 * @throws LoraError of kind `unsupported` for a tokenizer that llama.cpp does not have
 */
export function vocabularyMetadata(source: VocabularySource): GgufMetadata {
  const { json } = source.settled;
  const { model } = json;
  if (model.type !== "BPE")
    return refuse(`its model is ${model.type}; llama.cpp's decoders have byte-pair encoding`);
  if (source.tokenizer.vocabSize > source.rows) {
    return refuse(`it has ${source.tokenizer.vocabSize} tokens, and the embedding only ${source.rows} rows`);
  }
  const entries = model.byte_fallback
    ? spacePieces(json, model, source.rows)
    : bytePieces(json, model, source.rows);
  return new Map([...entries, ...specialTokens(source)]);
}

/** @throws LoraError: llama.cpp would make other tokens of a text */
function refuse(what: string): never {
  const help =
    "keep the merged model in safetensors (merge without --gguf), which transformers and vLLM read";
  throw new LoraError("unsupported", "tokenizer", `llama.cpp has no such tokenizer: ${what}`, help);
}

/** Byte-level BPE, `gpt2` to llama.cpp. */
function bytePieces(json: TokenizerJson, model: BytePairs, rows: number): [string, GgufValue][] {
  const pre = byteSplitting(json) ?? refuse(describeSplitting(json));
  const tokens = listTokens(json, model, rows, (token) => ({ text: token, type: TOKEN_TYPES.normal }));
  return [
    ["tokenizer.ggml.model", gguf.string("gpt2")],
    ["tokenizer.ggml.pre", gguf.string(pre)],
    ["tokenizer.ggml.tokens", gguf.strings(tokens.map(({ text }) => text))],
    ["tokenizer.ggml.token_type", gguf.i32s(tokens.map(({ type }) => type))],
    ["tokenizer.ggml.merges", gguf.strings(model.merges.map(mergeLine))],
  ];
}

/** The space between the two parts is the only one: others are written as byte-level BPE writes a blank. */
function mergeLine([left, right]: readonly [string, string]): string {
  return [left, right].map((part) => part.replaceAll(" ", "Ġ")).join(" ");
}

/** BPE of SentencePiece, `llama` to llama.cpp: words begin with ▁, and what the vocabulary lacks is written in bytes. */
function spacePieces(json: TokenizerJson, model: BytePairs, rows: number): [string, GgufValue][] {
  const splitting = spaceSplitting(json) ?? refuse(describeSplitting(json));
  const tokens = listTokens(json, model, rows, (token) => {
    if (/^<0x[0-9A-F]{2}>$/.test(token)) return { text: token, type: TOKEN_TYPES.byte };
    return { text: token, type: token === model.unk_token ? TOKEN_TYPES.unknown : TOKEN_TYPES.normal };
  });
  return [
    ["tokenizer.ggml.model", gguf.string("llama")],
    ["tokenizer.ggml.pre", gguf.string("default")],
    ["tokenizer.ggml.tokens", gguf.strings(tokens.map(({ text }) => text))],
    ["tokenizer.ggml.scores", gguf.f32s(mergeScores(model, tokens))],
    ["tokenizer.ggml.token_type", gguf.i32s(tokens.map(({ type }) => type))],
    ["tokenizer.ggml.add_space_prefix", gguf.bool(splitting.prefix)],
  ];
}

/**
 * SentencePiece joins the pair whose piece has the highest score: minus the place of a piece's first merge. What no merge
 * makes is below all of them.
 */
function mergeScores({ merges }: BytePairs, tokens: readonly StoredToken[]): number[] {
  const ranks = new Map<string, number>();
  for (const [left, right] of merges) if (!ranks.has(left + right)) ranks.set(left + right, ranks.size);
  return tokens.map(({ text, type }) => {
    if (type === TOKEN_TYPES.normal) return -(ranks.get(text) ?? ranks.size);
    return type === TOKEN_TYPES.byte || type === TOKEN_TYPES.unknown || type === TOKEN_TYPES.control
      ? 0
      : -1000;
  });
}

/** The tokens by id; rows of the embedding that have none are called `[PAD…]`, as the converter does. */
function listTokens(
  json: TokenizerJson,
  { vocab, unk_token }: BytePairs,
  rows: number,
  plain: (token: string) => StoredToken,
): StoredToken[] {
  const tokens = Array.from(
    { length: rows },
    (_, id): StoredToken => ({ text: `[PAD${id}]`, type: TOKEN_TYPES.unused }),
  );
  for (const [token, id] of Object.entries(vocab)) tokens[id] = plain(token);
  for (const { id, content, special } of json.added_tokens) {
    const type = special ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined;
    const text = special ? content : content.replaceAll("▁", " ");
    tokens[id] = content === unk_token ? plain(content) : { text, type };
  }
  return tokens;
}

function describeSplitting({ normalizer, pre_tokenizer }: TokenizerJson): string {
  const shown = JSON.stringify({ normalizer, pre_tokenizer });
  return `its way of splitting a text is none of llama.cpp's that are known here: ${shown}`;
}

function specialTokens({ settled, tokenizer, chatTemplate }: VocabularySource): [string, GgufValue][] {
  const { bosTokenId, eosTokenId, padTokenId, stopTokenIds } = tokenizer;
  const unknown = settled.json.model.type === "BPE" ? settled.json.model.unk_token : null;
  const unkTokenId = unknown === null ? undefined : vocabularyId(settled.json, unknown);
  const other = stopTokenIds.find((id) => id !== eosTokenId);
  const ids = { bos: bosTokenId, eos: eosTokenId, unknown: unkTokenId, padding: padTokenId, eot: other };
  const { begins, ends } = frameOf(tokenizer);
  return [
    ...Object.entries(ids).flatMap(([role, id]): [string, GgufValue][] =>
      id === undefined ? [] : [[`tokenizer.ggml.${role}_token_id`, gguf.u32(id)]],
    ),
    ["tokenizer.ggml.add_bos_token", gguf.bool(begins)],
    ["tokenizer.ggml.add_eos_token", gguf.bool(ends)],
    ...(chatTemplate === undefined
      ? []
      : [["tokenizer.chat_template", gguf.string(chatTemplate)] as [string, GgufValue]]),
  ];
}

function vocabularyId({ model }: TokenizerJson, token: string): number | undefined {
  return model.type === "BPE" && Object.hasOwn(model.vocab, token) ? model.vocab[token] : undefined;
}

/** What stands around a text: llama.cpp can put the begin of a text before it and its end behind, and nothing else. */
function frameOf(tokenizer: Tokenizer): { begins: boolean; ends: boolean } {
  const plain = tokenizer.encode("a", { addSpecialTokens: false });
  const framed = tokenizer.encode("a");
  const at = framed.findIndex((_, i) => plain.every((id, j) => framed[i + j] === id));
  const [before, after] = [framed.slice(0, at), framed.slice(at + plain.length)];
  const isOnly = (ids: readonly number[], id: number | undefined) =>
    ids.length === 0 || String(ids) === String(id);
  if (isOnly(before, tokenizer.bosTokenId) && isOnly(after, tokenizer.eosTokenId)) {
    return { begins: before.length > 0, ends: after.length > 0 };
  }
  return refuse(`it puts the tokens ${before} before a text and ${after} behind it`);
}
