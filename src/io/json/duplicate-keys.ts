/**
 * Paths of keys that occur twice in one object, as `a.b`. JSON.parse keeps the last of them in silence, so two
 * readers can see two different files. `text` must be valid JSON.
 */
export function duplicateKeys(text: string): string[] {
  const duplicates: string[] = [];
  const stack: Scope[] = [];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    const scope = stack.at(-1);
    if (char === "{" || char === "[") stack.push({ seen: char === "{" ? new Set() : undefined, key: "" });
    else if (char === "}" || char === "]") stack.pop();
    else if (char === ",") scope!.key = "";
    else if (char === '"') {
      const end = endOfString(text, at);
      if (scope?.seen && scope.key === "") noteKey(stack, JSON.parse(text.slice(at, end)), duplicates);
      at = end - 1;
    }
  }
  return duplicates;
}

interface Scope {
  /** Keys of the object so far; undefined in an array. */
  readonly seen: Set<string> | undefined;
  /** The key whose value is being scanned, with a mark in front so that it is never empty; empty before a key. */
  key: string;
}

function noteKey(stack: readonly Scope[], key: string, duplicates: string[]): void {
  const scope = stack.at(-1)!;
  scope.key = `.${key}`;
  if (scope.seen!.has(key)) duplicates.push(pathOf(stack));
  scope.seen!.add(key);
}

/** The innermost keys suffice: nesting in a hostile file can be a million deep. */
function pathOf(stack: readonly Scope[]): string {
  const keys = stack.slice(-4).map((outer) => outer.key);
  return keys.join("").slice(1);
}

/** Index after the closing quote of the string that opens at `at`. */
export function endOfString(text: string, at: number): number {
  let end = at + 1;
  while (text[end] !== '"') end += text[end] === "\\" ? 2 : 1;
  return end + 1;
}
