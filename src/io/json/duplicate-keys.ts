import { endOfString } from "./scan.ts";

/** A key that an object of a JSON text has for the second time. */
export interface DuplicateKey {
  /** The key after those of the objects around it, as `a.b`; of many the innermost four. */
  readonly path: string;
  /** Where it stands in the text. */
  readonly offset: number;
}

/**
 * The keys that occur twice in one object. JSON.parse keeps the last of them in silence, so two readers can see two
 * different files. `text` must be valid JSON. A `tokenizer.json` of 30 MB takes as long as JSON.parse needs for it.
 */
export function* duplicateKeys(text: string): Generator<DuplicateKey> {
  const outer: Scope[] = [];
  let scope: Scope = { seen: undefined, key: undefined };
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case OPEN_OBJECT:
      case OPEN_ARRAY:
        outer.push(scope);
        scope = { seen: text.charCodeAt(at) === OPEN_OBJECT ? new Set() : undefined, key: undefined };
        break;
      case CLOSE_OBJECT:
      case CLOSE_ARRAY:
        scope = outer.pop() as Scope;
        break;
      case COMMA:
        scope.key = undefined;
        break;
      case QUOTE: {
        const end = endOfString(text, at);
        if (scope.seen && scope.key === undefined) {
          scope.key = stringValue(text, at, end);
          if (scope.seen.has(scope.key)) yield { path: pathOf([...outer.slice(-3), scope]), offset: at };
          scope.seen.add(scope.key);
        }
        at = end - 1;
      }
    }
  }
}

const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY, COMMA, QUOTE] = [
  ...[0x7b, 0x7d, 0x5b, 0x5d, 0x2c, 0x22],
] as const;

interface Scope {
  /** Keys of the object so far; undefined in an array. */
  readonly seen: Set<string> | undefined;
  /** The key whose value is being scanned; undefined before a key. */
  key: string | undefined;
}

function pathOf(scopes: readonly Scope[]): string {
  return scopes.flatMap(({ key }) => (key === undefined ? [] : [key])).join(".");
}

function stringValue(text: string, at: number, end: number): string {
  const inner = text.slice(at + 1, end - 1);
  return inner.includes("\\") ? JSON.parse(text.slice(at, end)) : inner;
}
