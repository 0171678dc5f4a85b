import { endOfString } from "./scan.ts";

/** Lists and objects in each other: no file that is read here has ten, and Rust's reader takes 127. */
export const DEEPEST = 500;

/**
 * Whether a text, valid JSON or not, opens more lists and objects in each other than anything needs. To be asked before
 * it is parsed: JSON.parse takes any depth with hundreds of bytes for each level, and what walks over its value recurses.
 */
export function nestsTooDeep(text: string): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at) - 1;
    else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      if (++depth > DEEPEST) return true;
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth--;
  }
  return false;
}

const [QUOTE, OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x22, 0x5b, 0x5d, 0x7b, 0x7d];
