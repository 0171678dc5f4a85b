import { largest } from "../../../util/arrays.ts";
import type { PostProcessorJson } from "../schema/post-processors.ts";
import { type Makers, make, unsupported } from "./component.ts";

/** Ids, and which segment each is of (`token_type_ids`). */
export interface Encoding {
  readonly ids: readonly number[];
  readonly segments: readonly number[];
}

/** Puts the special tokens around one text or two. */
export type PostProcessor = (texts: readonly Encoding[], addSpecialTokens: boolean) => readonly Encoding[];

type Json<Name extends PostProcessorJson["type"]> = Extract<PostProcessorJson, { readonly type: Name }>;

const POST_PROCESSORS: Makers<PostProcessorJson, PostProcessor> = {
  BertProcessing: bert,
  // It moves offsets only, which nothing here asks for.
  ByteLevel: () => (texts) => texts,
  RobertaProcessing: roberta,
  Sequence: sequence,
  TemplateProcessing: template,
};

/** A post-processor as its JSON describes it. */
export function makePostProcessor(json: PostProcessorJson, path: string): PostProcessor {
  return make(POST_PROCESSORS, json, path);
}

/** `count` ids of one segment. */
export const encodingOf = (ids: readonly number[], segment: number): Encoding => ({
  ids,
  segments: ids.map(() => segment),
});

function sequence(json: Json<"Sequence">, path: string): PostProcessor {
  // Behind one that frames the texts, the Rust library no longer knows which of the parts is which.
  const framing = json.processors.filter(({ type }) => type !== "ByteLevel").map(({ type }) => type);
  if (framing.length > 1) unsupported(path, `a sequence of ${framing.join(" and ")}`);
  const processors = json.processors.map((part, i) => makePostProcessor(part, `${path}.processors[${i}]`));
  return (texts, special) => processors.reduce((parts, processor) => processor(parts, special), texts);
}

/** `[CLS] A [SEP]`, and of a pair `[CLS] A [SEP] B [SEP]`. */
function bert({ cls: [, cls], sep: [, sep] }: Json<"BertProcessing">): PostProcessor {
  return (texts, special) =>
    special
      ? texts.map((text, i) =>
          joined([...(i === 0 ? [encodingOf([cls], 0)] : []), text, encodingOf([sep], i)]),
        )
      : texts;
}

/** `<s> A </s>`, and of a pair `<s> A </s></s> B </s>`; there is only segment 0. */
function roberta({ cls: [, cls], sep: [, sep] }: Json<"RobertaProcessing">): PostProcessor {
  return (texts, special) =>
    texts.map(({ ids }, i) => encodingOf(special ? [i === 0 ? cls : sep, ...ids, sep] : ids, 0));
}

/** Several parts as one. */
export function joined(parts: readonly Encoding[]): Encoding {
  return { ids: parts.flatMap(({ ids }) => ids), segments: parts.flatMap(({ segments }) => segments) };
}

/** How often a template may have a text. */
const MOST_TEXTS = 10;

function template(json: Json<"TemplateProcessing">, path: string): PostProcessor {
  const texts = [json.single, json.pair].map((pieces) => pieces.filter(({ Sequence }) => Sequence).length);
  if (largest(texts) > MOST_TEXTS) unsupported(path, `a template with a text ${largest(texts)} times`);
  return (texts, special) =>
    (texts.length > 1 ? json.pair : json.single).flatMap(({ Sequence, SpecialToken }) => {
      if (SpecialToken && special) {
        return [encodingOf(json.special_tokens[SpecialToken.id]?.ids ?? [], SpecialToken.type_id)];
      }
      const text = Sequence && texts[Sequence.id === "A" ? 0 : 1];
      return text ? [encodingOf(text.ids, Sequence.type_id)] : [];
    });
}
