import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { fail } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import type { ChatCompletionExample, ChatExample } from "../chat/chat-rows.ts";
import type { ChatTemplate } from "../chat/chat-template.ts";
import type { ChatMask } from "../chat/encode-chat.ts";
import type { ChatTools } from "../chat/late-chats.ts";
import type { ChatPart } from "../chat/shown-parts.ts";
import {
  type CompletionExample,
  type Example,
  isChat,
  type TextExample,
  usesTools,
} from "../rows/examples.ts";
import { isTokens, type TokensExample } from "../rows/token-rows.ts";
import { IGNORE_INDEX } from "../sequence.ts";
import { specialFrame } from "./special-frame.ts";

/** A row as tokens. */
export interface EncodedExample {
  readonly ids: readonly number[];
  /** Whether a token gives a loss, by its place. */
  readonly isTrained: (at: number) => boolean;
  /** The place of a token within which what is learnt begins, because its text is tokenised with what is before it. */
  readonly straddler?: number | undefined;
  /** Tokens that end what is learnt, beside those that end every text. */
  readonly endings: readonly number[];
  /** Of a chat, whether an answer is learnt without what ends it. */
  readonly isOpen?: boolean;
  /** Of a chat, which messages the template wrote. */
  readonly parts?: readonly ChatPart[];
  /** Whether these are the first ids only, one more than are kept. */
  readonly isCut?: boolean;
  /** Of such, whether something is learnt behind them. */
  readonly isTrainedBeyond?: boolean;
}

/** How rows become tokens. */
export interface EncodeOptions extends ChatMask {
  readonly maxLength: number;
  readonly appendEos: boolean;
  /** Whether the ids of a long text are needed to its end. */
  readonly needsEnd: boolean;
  /** The same of a long prompt with its completion, or of a chat. */
  readonly needsCompletion: boolean;
  /** The template of chats, with tools and without. */
  readonly templateFor: (hasTools: boolean) => ChatTemplate;
  /** What encodes chats. */
  readonly chats: () => ChatTools;
}

/** Makes a function that encodes rows of all kinds. */
export function exampleEncoder(
  tokenizer: Tokenizer,
  options: EncodeOptions,
): (example: Example) => EncodedExample {
  const needsAll = options.needsEnd || options.needsCompletion;
  let encodeText: ((example: TextExample | CompletionExample) => EncodedExample) | undefined;
  return (example) => {
    if (isTokens(example)) return encodeTokens(example, tokenizer);
    if (!isChat(example)) {
      encodeText ??= textEncoder(tokenizer, options); // a template writes its own special tokens
      return encodeText(example as TextExample | CompletionExample);
    }
    const template = options.templateFor(usesTools(example));
    const most = isLong(charactersOf(example), needsAll, options) ? options.maxLength + 1 : undefined;
    const { trained, ending, ...encoded } = options
      .chats()
      .encodeChat(example, template, tokenizer, options, most);
    const endings = ending === undefined ? [] : [ending];
    const isCut = encoded.ids.length === most;
    return { ...encoded, isTrained: (at) => trained[at] === true, endings, isCut };
  };
}

/** Tokens as they are: whoever made them has put in what belongs before and behind them. */
function encodeTokens({ input_ids, labels }: TokensExample, { eosTokenId }: Tokenizer): EncodedExample {
  return {
    ids: input_ids,
    isTrained: (at) => labels === undefined || labels[at] !== IGNORE_INDEX,
    endings: eosTokenId === undefined ? [] : [eosTokenId],
  };
}

/** Characters of a chat's messages, about: those of its texts. */
function charactersOf(example: ChatExample | ChatCompletionExample): number {
  const messages = "messages" in example ? example.messages : [...example.prompt, ...example.completion];
  const ofParts = (parts: readonly unknown[]) =>
    parts.reduce<number>((sum, part) => sum + (isObject(part) ? String(part.text ?? "").length : 0), 0);
  return messages.reduce((sum, { content }) => {
    return (
      sum + (typeof content === "string" ? content.length : Array.isArray(content) ? ofParts(content) : 0)
    );
  }, 0);
}

/** Texts of so many characters, and of so many for each token that is kept, are not counted to the end. */
const CHARACTERS_COUNTED = 2 ** 16;
const CHARACTERS_COUNTED_PER_TOKEN = 64;

/** Whether the first ids of so many characters tell what becomes of a row. */
const isLong = (characters: number, needsAll: boolean, { maxLength }: EncodeOptions) =>
  !needsAll && characters > Math.max(CHARACTERS_COUNTED, CHARACTERS_COUNTED_PER_TOKEN * maxLength);

function textEncoder(
  tokenizer: Tokenizer,
  options: EncodeOptions,
): (example: TextExample | CompletionExample) => EncodedExample {
  const { maxLength, appendEos, completionOnlyLoss, needsEnd, needsCompletion } = options;
  const { eosTokenId } = tokenizer;
  if (appendEos && eosTokenId === undefined) {
    fail("tokenizeExamples", "the tokenizer names no EOS token", "give it one, or pass appendEos: false");
  }
  const { before, after } = specialFrame(tokenizer);
  const endings = eosTokenId === undefined ? [] : [eosTokenId];
  const end = (ids: number[]) => (appendEos && ids.at(-1) !== eosTokenId ? [...ids, eosTokenId!] : ids);
  return (example) => {
    if ("text" in example) {
      const { text } = example;
      const isStart = isLong(text.length, options.needsEnd, options);
      const ids = isStart ? tokenizer.encodeStart(text, maxLength + 1) : tokenizer.encode(text);
      return { ids: end(ids), isTrained: () => true, endings, isCut: isStart && ids.length > maxLength };
    }
    const characters = example.prompt.length + example.completion.length;
    const most = isLong(characters, needsEnd || needsCompletion, options) ? maxLength + 1 : undefined;
    const { ids, promptLength, goesOver } = encodeCompletion(example, tokenizer, most);
    const first = completionOnlyLoss ? before.length + promptLength : 0;
    const isCut = ids.length === most;
    return {
      ids: isCut ? [...before, ...ids].slice(0, most) : end([...before, ...ids, ...after]),
      isCut,
      isTrainedBeyond: isCut && example.completion !== "",
      isTrained: (at) => at >= first,
      straddler: completionOnlyLoss && goesOver ? first : undefined,
      endings,
    };
  };
}

/**
 * The ids of prompt and completion, which are tokenised together, as a text is. Where a token goes over the seam (behind
 * a prompt that ends in a space, mostly) it is no longer of the prompt, which in use ends before it.
 * @param count so many ids are enough, where not all are needed
 */
function encodeCompletion(
  { prompt, completion }: CompletionExample,
  tokenizer: Tokenizer,
  count: number | undefined,
): { ids: number[]; promptLength: number; goesOver: boolean } {
  const encode = (text: string) =>
    count === undefined
      ? tokenizer.encode(text, { addSpecialTokens: false })
      : tokenizer.encodeWithOffsets(text, count).ids;
  const promptIds = encode(prompt);
  const ids = encode(prompt + completion);
  const differs = promptIds.findIndex((id, i) => ids[i] !== id);
  return { ids, promptLength: differs < 0 ? promptIds.length : differs, goesOver: differs >= 0 };
}
