import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { fail } from "../../util/fail.ts";

/** The special tokens that a tokenizer puts around a text. */
export interface SpecialFrame {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** Texts to find the frame with: a vocabulary may lack some of them. */
const PROBES = ["a", "e", "A", "0", ".", "\n", "|", "中", "a b", "the"];

/**
 * The special tokens that the tokenizer puts before and behind a text.
 * @throws LoraError where no text tells them apart, since no text gives a token
 */
export function specialFrame(tokenizer: Tokenizer): SpecialFrame {
  const frame = tokenizer.encode("");
  if (frame.length === 0) return { before: [], after: [] };
  for (const probe of PROBES) {
    const [first] = tokenizer.encode(probe, { addSpecialTokens: false });
    if (first === undefined || frame.includes(first)) continue;
    const at = tokenizer.encode(probe).indexOf(first);
    return { before: frame.slice(0, at), after: frame.slice(at) };
  }
  return fail("tokenizer.json", "no text has tokens of its own", "is its vocabulary complete?");
}

/**
 * The ids with which a model is asked to continue a prompt: what comes before a text, but nothing after it. An EOS
 * there, which some tokenizers add, would tell the model that the text is over.
 */
export function encodePrompt(tokenizer: Tokenizer, prompt: string): number[] {
  return [...specialFrame(tokenizer).before, ...tokenizer.encode(prompt, { addSpecialTokens: false })];
}
