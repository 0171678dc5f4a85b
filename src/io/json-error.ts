const TOKEN =
  /[ \t\n\r]*(?:([{}[\],:])|("(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y;

/** Token kinds that begin a value: brackets, (s)tring, (l)iteral. */
const VALUE = "{[sl";

/** Offset of the first token that makes `text` invalid JSON. Engines differ in whether they tell it. */
export function jsonErrorOffset(text: string): number {
  const open: string[] = [];
  let allowed = VALUE;
  let at = 0;
  while (at < text.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    const start = at + /^[ \t\n\r]*/.exec(text.slice(at, at + 10_000))![0].length;
    if (!match) return start;
    const kind = match[1] ?? (match[2] === undefined ? "l" : allowed.includes("k") ? "k" : "s");
    if (!allowed.includes(kind)) return start;
    if (kind === "{" || kind === "[") open.push(kind);
    if (kind === "}" || kind === "]") open.pop();
    allowed = allowedAfter(kind, open.at(-1));
    at = TOKEN.lastIndex;
  }
  return text.length;
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
