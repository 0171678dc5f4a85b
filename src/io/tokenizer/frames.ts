import { fail } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";
import type { AddedTokenJson } from "./schema/added-tokens.ts";
import type { PostProcessorJson } from "./schema/post-processors.ts";
import type { TokenizerJson } from "./schema/schema.ts";
import type { RoleNames } from "./special-tokens.ts";
import type { TokenizerClass } from "./tokenizer-classes.ts";

/** What a frame is made by. */
export interface FrameParts {
  /** `tokenizer_config.json`. */
  readonly config: JsonObject;
  readonly names: RoleNames;
  readonly added: readonly AddedTokenJson[];
  /** The file that the tokenizer was made of, where it isn't tokenizer.json. */
  readonly madeOf: string | undefined;
  /** Whether the vocabulary has a token, or a file names it. */
  readonly isMeant: (token: string) => boolean;
}

/** What stands around a text: what the class says, `add_bos_token` and `add_eos_token`, or tokenizer.json. */
export function frameOf(
  json: TokenizerJson,
  traits: TokenizerClass,
  parts: FrameParts,
): PostProcessorJson | null {
  const { config, names, added, madeOf, isMeant } = parts;
  const find = (role: string) => added.find(({ content }) => content === names[role]);
  if (traits.frame === "BERT" || traits.frame === "RoBERTa") {
    const [cls, sep] = [find("cls_token"), find("sep_token")];
    if (madeOf !== undefined) checkFrame(madeOf, [cls, sep], isMeant);
    if (cls && sep) return traits.frame === "BERT" ? bertFrame(cls, sep) : robertaFrame(cls, sep);
  }
  if (madeOf === undefined) return traits.frame === "none" ? null : json.post_processor;
  const before = config.add_bos_token === true ? find("bos_token") : undefined;
  const after = config.add_eos_token === true ? find("eos_token") : undefined;
  return beginAndEnd(before ? [before] : [], after ? [after] : []);
}

const NAME_THEM =
  "name tokens of the vocabulary in tokenizer_config.json, as cls_token, sep_token and the like";

function checkFrame(
  file: string,
  tokens: readonly (AddedTokenJson | undefined)[],
  isMeant: FrameParts["isMeant"],
): void {
  if (tokens.includes(undefined))
    fail(file, "has texts between cls_token and sep_token, one of which is named null", NAME_THEM);
  const lacking = tokens.flatMap((token) => (token && !isMeant(token.content) ? [token.content] : []));
  if (lacking.length > 0) fail(file, `lacks the special tokens ${lacking.join(", ")}`, NAME_THEM);
}

function piece(type_id: number) {
  return {
    token: ({ content }: AddedTokenJson) => ({ SpecialToken: { id: content, type_id } }),
    text: (id: "A" | "B") => ({ Sequence: { id, type_id } }),
  };
}

function template(
  single: Template["single"],
  pair: Template["pair"],
  tokens: readonly AddedTokenJson[],
): PostProcessorJson {
  const special_tokens = Object.fromEntries(
    tokens.map(({ content, id }) => [content, { id: content, ids: [id], tokens: [content] }]),
  );
  return { type: "TemplateProcessing", single, pair, special_tokens };
}

type Template = Extract<PostProcessorJson, { type: "TemplateProcessing" }>;

/** `[CLS] A [SEP]`, and of a pair `[CLS] A [SEP] B [SEP]`. */
function bertFrame(cls: AddedTokenJson, sep: AddedTokenJson): PostProcessorJson {
  const [first, second] = [piece(0), piece(1)];
  const single = [first.token(cls), first.text("A"), first.token(sep)];
  return template(single, [...single, second.text("B"), second.token(sep)], [cls, sep]);
}

/** `<s> A </s>`, and of a pair `<s> A </s></s> B </s>`. */
function robertaFrame(cls: AddedTokenJson, sep: AddedTokenJson): PostProcessorJson {
  return {
    type: "RobertaProcessing",
    cls: [cls.content, cls.id],
    sep: [sep.content, sep.id],
    trim_offsets: true,
    add_prefix_space: false,
  };
}

/** The tokens for beginning and end around each text. */
function beginAndEnd(
  before: readonly AddedTokenJson[],
  after: readonly AddedTokenJson[],
): PostProcessorJson | null {
  if (before.length + after.length === 0) return null;
  const framed = (id: "A" | "B", type_id: number) => {
    const { token, text } = piece(type_id);
    return [...before.map(token), text(id), ...after.map(token)];
  };
  return template(framed("A", 0), [...framed("A", 0), ...framed("B", 1)], [...before, ...after]);
}
