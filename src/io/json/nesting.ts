import { endOfString } from "./scan.ts";

/** Lists and objects in each other: no file that is read here has ten, and Rust's reader takes 127. */
const DEEPEST = 500;
/** Lists and objects in all: the largest tokenizers have half a million merges, each of which is a list. */
const MOST_LISTS = 2 ** 20;
/** Values in all, about: a row of tokens that are numbers already has a million. */
const MOST_VALUES = 2 ** 23;

/**
 * What is wrong with the shape of a text, valid JSON or not, if it opens more lists and objects, or has more values, than
 * anything needs. To be asked before it is parsed: JSON.parse takes any depth and any number, with a hundred bytes or more for each
 * bracket, and what walks over its value recurses.
 */
export function shapeProblem(text: string): string | undefined {
  let depth = 0;
  let lists = 0;
  let commas = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if (code === COMMA) commas++;
    else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      if (++depth > DEEPEST) return `is nested deeper than ${DEEPEST} levels`;
      if (++lists > MOST_LISTS) return `has more than ${MOST_LISTS} lists and objects`;
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--;
  }
  return commas > MOST_VALUES ? `has more than ${MOST_VALUES} values` : undefined;
}

const [QUOTE, COMMA] = [0x22, 0x2c];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];
