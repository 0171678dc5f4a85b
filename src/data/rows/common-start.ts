import { isObject } from "../../util/json.ts";

/**
 * How much of two texts is their common prompt, where none is given: what is the same at their beginning, but for a space at
 * its end, and never the whole of one. As TRL's `extract_prompt`, and never within a character.
 * @returns UTF-16 units
 */
export function commonText(a: string, b: string): number {
  const most = Math.min(a.length, b.length);
  let at = 0;
  while (at < most && a[at] === b[at]) at++;
  const isWhole = at === most;
  if (isWhole) at = Math.max(0, at - 1);
  const splits = at > 0 && isLow(a.charCodeAt(at)) && isHigh(a.charCodeAt(at - 1));
  if (splits || (at > 0 && isHigh(b.charCodeAt(at - 1)) && isLow(b.charCodeAt(at)))) at--;
  return !isWhole && a[at - 1] === " " ? at - 1 : at;
}

const isHigh = (unit: number) => (unit & 0xfc00) === 0xd800;
const isLow = (unit: number) => (unit & 0xfc00) === 0xdc00;

/** How many messages at the beginning of two chats are their common prompt; never all of one. */
export function commonMessages(a: readonly unknown[], b: readonly unknown[]): number {
  const most = Math.min(a.length, b.length);
  let at = 0;
  while (at < most && sameJson(a[at], b[at])) at++;
  return at === most ? Math.max(0, most - 1) : at;
}

/** Whether two JSON values are the same, in whatever order their keys stand. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, i) => sameJson(item, b[i]));
  }
  if (!isObject(a) || !isObject(b)) return a === b;
  const keys = Object.keys(a);
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && sameJson(a[key], b[key]))
  );
}
