import { fail } from "../../util/fail.ts";
import { endOfString, skipBlanks } from "./scan.ts";

/**
 * The text of a JSON object with some of its members set, or removed where the new value is undefined. All else stays
 * character for character: parsing and writing again would turn `30.0` into `30`, which readers with typed fields
 * refuse, round whole numbers beyond 2^53 and fail at Python's `NaN` and `Infinity`. New members come last; a value
 * of several lines is indented as the object is.
 * @param text valid JSON, or what Python's `json` writes
 * @param changes the object's own members by key, new values as JSON.stringify takes them
 * @throws LoraError where the text holds no object
 */
export function editJson(text: string, changes: ReadonlyMap<string, unknown>): string {
  const { head, members, tail } = splitObject(text);
  const style = styleOf(head, members);
  const kept = members.filter(({ key }) => !(changes.has(key) && changes.get(key) === undefined));
  const edited = kept.map((member) =>
    changes.has(member.key) ? { ...member, value: valueText(changes.get(member.key), style.indent) } : member,
  );
  const there = new Set(members.map(({ key }) => key));
  const added = [...changes].flatMap(([key, value]) => {
    if (there.has(key) || value === undefined) return [];
    return [
      {
        label: JSON.stringify(key) + style.colon,
        value: valueText(value, style.indent),
        separator: style.separator,
      },
    ];
  });
  const all = [...edited, ...added];
  const body = all
    .map(({ label, value, separator }, i) => (i === 0 ? "" : separator) + label + value)
    .join("");
  return head + body + tail;
}

/** A member of an object as it stands in the text. */
interface Member {
  readonly key: string;
  /** The key with its quotes, the colon and the blanks before the value. */
  readonly label: string;
  readonly value: string;
  /** The comma and the blanks between the member before and this one; empty for the first. */
  readonly separator: string;
}

/** The text before the first member, the members, and the text behind the last. */
interface SplitObject {
  readonly head: string;
  readonly members: readonly Member[];
  readonly tail: string;
}

function splitObject(text: string): SplitObject {
  let at = skipBlanks(text, 0);
  if (text[at] !== "{") fail("JSON", "expected an object");
  let end = at + 1; // of what is sorted out already
  const members: Member[] = [];
  at = skipBlanks(text, end);
  const head = text.slice(0, at);
  while (text[at] === '"') {
    const endOfKey = endOfString(text, at);
    const value = skipBlanks(text, skipBlanks(text, endOfKey) + 1); // behind the colon
    const separator = members.length === 0 ? "" : text.slice(end, at);
    end = endOfValue(text, value);
    const key = JSON.parse(text.slice(at, endOfKey)) as string;
    members.push({ key, label: text.slice(at, value), value: text.slice(value, end), separator });
    const next = skipBlanks(text, end);
    at = text[next] === "," ? skipBlanks(text, next + 1) : next;
  }
  return { head, members, tail: text.slice(members.length === 0 ? at : end) };
}

/** The offset behind the value that begins at `at`; of numbers and words only the end matters, so NaN is one, too. */
function endOfValue(text: string, at: number): number {
  let depth = 0;
  let end = at;
  while (end < text.length) {
    const char = text[end] as string;
    if (char === '"') end = endOfString(text, end) - 1;
    else if ("{[".includes(char)) depth++;
    else if ("}]".includes(char) && --depth < 0) return end;
    else if (depth === 0 && ", \t\n\r".includes(char)) return end;
    end++;
    if (depth === 0 && '"}]'.includes(char)) return end;
  }
  return end;
}

/** How an object is laid out: what stands between members, between key and value, and before a line. */
interface Style {
  readonly separator: string;
  readonly colon: string;
  /** Undefined where the object is on one line. */
  readonly indent: string | undefined;
}

function styleOf(head: string, members: readonly Member[]): Style {
  const blanks = head.slice(head.indexOf("{") + 1);
  const indent = /\n([ \t]*)$/.exec(blanks)?.[1];
  const [first] = members;
  const colon = first ? first.label.slice(endOfString(first.label, 0)) : ": ";
  const separator = members[1]?.separator ?? (indent === undefined ? ", " : `,${blanks}`);
  return { separator, colon, indent };
}

function valueText(value: unknown, indent: string | undefined): string {
  if (indent === undefined) return JSON.stringify(value);
  return JSON.stringify(value, undefined, indent).replaceAll("\n", `\n${indent}`);
}
