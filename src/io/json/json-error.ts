import { skipBlanks } from "./scan.ts";

const PUNCTUATION = "{}[],:";
const LITERAL = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
const CHARACTER = /[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;

/** Token kinds that begin a value: brackets, (s)tring, (l)iteral. */
const VALUE = "{[sl";

/** Offset of the first token that makes `text` invalid JSON. Engines differ in whether they tell it. */
export function jsonErrorOffset(text: string): number {
  const open: string[] = [];
  let allowed = VALUE;
  let at = skipBlanks(text, 0);
  while (at < text.length) {
    const { kind, end } = readToken(text, at, allowed.includes("k"));
    if (kind === "" || !allowed.includes(kind)) return at;
    if (kind === "{" || kind === "[") open.push(kind);
    if (kind === "}" || kind === "]") open.pop();
    allowed = allowedAfter(kind, open.at(-1));
    at = skipBlanks(text, end);
  }
  return text.length;
}

/** The token at `at` and the offset after it; its kind is empty where there is none. */
function readToken(text: string, at: number, keyExpected: boolean): { kind: string; end: number } {
  const char = text[at]!;
  if (PUNCTUATION.includes(char)) return { kind: char, end: at + 1 };
  if (char === '"') {
    const end = endOfValidString(text, at);
    return end === undefined ? { kind: "", end: at } : { kind: keyExpected ? "k" : "s", end };
  }
  const end = matchEnd(LITERAL, text, at);
  return end === undefined ? { kind: "", end: at } : { kind: "l", end };
}

/** Offset after the closing quote; undefined where the string is broken. Reads by the character: one pattern for
 * a whole string could exhaust the engine's stack. */
function endOfValidString(text: string, at: number): number | undefined {
  let end: number | undefined = at + 1;
  while (end !== undefined && text[end] !== '"') end = matchEnd(CHARACTER, text, end);
  return end === undefined ? undefined : end + 1;
}

function matchEnd(sticky: RegExp, text: string, at: number): number | undefined {
  sticky.lastIndex = at;
  return sticky.test(text) ? sticky.lastIndex : undefined;
}

/** Kinds that may follow `kind` inside the bracket `inside`; k is an object's key. */
function allowedAfter(kind: string, inside: string | undefined): string {
  if (kind === "{") return "k}";
  if (kind === "[") return `${VALUE}]`;
  if (kind === "k") return ":";
  if (kind === ":") return VALUE;
  if (kind === ",") return inside === "{" ? "k" : VALUE;
  if (inside === undefined) return "";
  return inside === "{" ? ",}" : ",]";
}
