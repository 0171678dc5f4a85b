import { fail } from "./fail.ts";

/** The parts of Python's `re` syntax that JavaScript spells differently; escapes are taken whole, so as to skip them. */
const TOKENS = /\\.|\[\^?\]|\[|\]|\(\?P<|\(\?P=(\w+)\)|\{,/gs;

/** Flags for the whole expression, which Python allows at its start only. */
const LEADING_FLAGS = /^\(\?([aimsu]+)\)/;

/**
 * Compiles an expression of Python's `re`, as it stands in adapter configurations.
 * @param source the expression
 * @param embed puts the translated expression into a larger one, such as `^(?:…)$` for `re.fullmatch`
 * @throws LoraError where it is invalid or uses what JavaScript lacks (atomic groups, inline flags of a part).
 */
export function pythonRegExp(source: string, embed: (body: string) => string = (body) => body): RegExp {
  const [prefix, letters] = LEADING_FLAGS.exec(source) ?? ["", ""];
  const body = translate(source.slice(prefix.length));
  const flags = letters!.replace(/[^ims]/g, ""); // a, u: the classes of characters, which names do not need
  try {
    new RegExp(body); // by itself: an unbalanced bracket must not close one of the frame's
    return new RegExp(embed(body), flags);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return fail(`the pattern ${JSON.stringify(source)}`, reason, "it must be a regular expression");
  }
}

/** Python's `re.fullmatch`. @throws LoraError as {@link pythonRegExp} does. */
export function pythonFullMatch(source: string): (text: string) => boolean {
  const expression = pythonRegExp(source, (body) => `^(?:${body})$`);
  return (text) => expression.test(text);
}

/** Text as an expression that matches just this text. */
export function escapeRegExp(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

function translate(source: string): string {
  let inClass = false;
  return source.replace(TOKENS, (token, groupName: string | undefined) => {
    if (token === "]") inClass = false;
    if (token.startsWith("\\")) return inClass ? token : (ANCHORS[token] ?? token);
    if (inClass) return token;
    if (token.startsWith("[")) {
      inClass = true;
      return token.replace("]", "\\]"); // right after the opening bracket, Python takes it literally
    }
    if (groupName !== undefined) return `\\k<${groupName}>`;
    return SPELLINGS[token] ?? token;
  });
}

const ANCHORS: Readonly<Record<string, string>> = { "\\A": "^", "\\Z": "$" };
const SPELLINGS: Readonly<Record<string, string>> = { "(?P<": "(?<", "{,": "{0," };
