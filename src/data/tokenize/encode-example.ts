import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { fail } from "../../util/fail.ts";
import type { ChatTemplate } from "../chat/chat-template.ts";
import { type ChatMask, encodeChat } from "../chat/encode-chat.ts";
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
}

/** How rows become tokens. */
export interface EncodeOptions extends ChatMask {
  readonly maxLength: number;
  readonly appendEos: boolean;
  /** Whether the ids of a long text are needed to its end. */
  readonly needsEnd: boolean;
  /** The template of chats, with tools and without. */
  readonly templateFor: (hasTools: boolean) => ChatTemplate;
}

/** Makes a function that encodes rows of all kinds. */
export function exampleEncoder(
  tokenizer: Tokenizer,
  options: EncodeOptions,
): (example: Example) => EncodedExample {
  let encodeText: ((example: TextExample | CompletionExample) => EncodedExample) | undefined;
  return (example) => {
    if (isTokens(example)) return encodeTokens(example, tokenizer);
    if (!isChat(example)) {
      encodeText ??= textEncoder(tokenizer, options); // a template writes its own special tokens
      return encodeText(example as TextExample | CompletionExample);
    }
    const template = options.templateFor(usesTools(example));
    const { trained, ending, ...encoded } = encodeChat(example, template, tokenizer, options);
    const endings = ending === undefined ? [] : [ending];
    return { ...encoded, isTrained: (at) => trained[at] === true, endings };
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

/** Texts of so many characters, and of so many for each token that is kept, are not counted to the end. */
const CHARACTERS_COUNTED = 2 ** 16;
const CHARACTERS_COUNTED_PER_TOKEN = 64;

function textEncoder(
  tokenizer: Tokenizer,
  { maxLength, appendEos, needsEnd, completionOnlyLoss }: EncodeOptions,
): (example: TextExample | CompletionExample) => EncodedExample {
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
      const most = Math.max(CHARACTERS_COUNTED, CHARACTERS_COUNTED_PER_TOKEN * maxLength);
      const isLong = !needsEnd && text.length > most;
      const ids = isLong ? tokenizer.encodeStart(text, maxLength + 1) : tokenizer.encode(text);
      return { ids: end(ids), isTrained: () => true, endings, isCut: isLong && ids.length > maxLength };
    }
    const { ids, promptLength, goesOver } = encodeCompletion(example, tokenizer);
    const first = completionOnlyLoss ? before.length + promptLength : 0;
    return {
      ids: end([...before, ...ids, ...after]),
      isTrained: (at) => at >= first,
      straddler: completionOnlyLoss && goesOver ? first : undefined,
      endings,
    };
  };
}

/**
 * The ids of prompt and completion, which are tokenised together, as a text is. Where a token goes over the seam (behind
 * a prompt that ends in a space, mostly) it is no longer of the prompt, which in use ends before it.
 */
function encodeCompletion(
  { prompt, completion }: CompletionExample,
  tokenizer: Tokenizer,
): { ids: number[]; promptLength: number; goesOver: boolean } {
  const promptIds = tokenizer.encode(prompt, { addSpecialTokens: false });
  const ids = tokenizer.encode(prompt + completion, { addSpecialTokens: false });
  const differs = promptIds.findIndex((id, i) => ids[i] !== id);
  return { ids, promptLength: differs < 0 ? promptIds.length : differs, goesOver: differs >= 0 };
}
