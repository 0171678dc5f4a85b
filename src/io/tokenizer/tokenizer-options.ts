import { checkOptions, flag, integer, listOf, type Rules } from "../../util/options.ts";

/** Options of a tokenizer's `encode`. */
export interface EncodeOptions {
  /** The special tokens around a text, such as a leading BOS; true unless given. */
  addSpecialTokens?: boolean;
}

/** Options of a tokenizer's `decode`. */
export interface DecodeOptions {
  /** Leaves special tokens out of the text; true unless given. */
  skipSpecialTokens?: boolean;
}

/** Options of a tokenizer's `decodeStream`. */
export interface DecodeStreamOptions extends DecodeOptions {
  /** Tokens that are already on the screen, such as the prompt; without them a first space may be stripped. */
  after?: readonly number[];
}

const ENCODE_RULES: Rules<EncodeOptions> = { addSpecialTokens: flag() };
const DECODE_RULES: Rules<DecodeOptions> = { skipSpecialTokens: flag() };
const STREAM_RULES: Rules<DecodeStreamOptions> = {
  ...DECODE_RULES,
  after: listOf(integer({ min: 0 }), "a list of ids"),
};

/** Whether special tokens are added. @throws LoraError for an option that there is not */
export function addsSpecialTokens(options: EncodeOptions = {}): boolean {
  checkOptions("encode", options, ENCODE_RULES);
  return options.addSpecialTokens ?? true;
}

/** Whether special tokens are left out. @throws LoraError for an option that there is not */
export function skipsSpecialTokens(options: DecodeOptions = {}): boolean {
  checkOptions("decode", options, DECODE_RULES);
  return options.skipSpecialTokens ?? true;
}

/** The options with what holds where nothing is said. @throws LoraError for an option that there is not */
export function streamOptions(options: DecodeStreamOptions = {}): Required<DecodeStreamOptions> {
  checkOptions("decodeStream", options, STREAM_RULES);
  return { after: options.after ?? [], skipSpecialTokens: options.skipSpecialTokens ?? true };
}
