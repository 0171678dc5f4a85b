import type { AddedTokenJson } from "../schema/added-tokens.ts";
import { unsupported } from "./component.ts";
import type { Normalizer } from "./normalizers.ts";
import { PrefixIndex } from "./prefix-index.ts";
import { asOfUnicode16, WHITE_SPACE, WORD } from "./unicode.ts";

/** A part of a text, between two UTF-16 indices: an added token, or text. */
export interface TextPart {
  /** The added token's id. */
  readonly id?: number;
  readonly start: number;
  readonly end: number;
}

/** The added tokens of a file, which are found in a text before the model sees it. */
export class AddedTokens {
  private readonly ids = new Map<string, number>();
  private readonly tokens = new Map<number, AddedTokenJson>();
  /** What each id is decoded to: of a token that is looked for in normalised text its own normal form. */
  private readonly texts = new Map<number, string>();
  private readonly specials = new Set<string>();
  private readonly plain: TokenFinder;
  private readonly normalized: TokenFinder;

  constructor(tokens: readonly AddedTokenJson[], normalizer: Normalizer | undefined) {
    const named = tokens.map((token): NamedToken => {
      const name = token.normalized ? normalizer?.normalize(token.content) : undefined;
      return { name: name ?? token.content, token };
    });
    checkApart(named);
    for (const { name, token } of named) {
      this.ids.set(token.content, token.id);
      this.tokens.set(token.id, token);
      this.texts.set(token.id, name);
      if (token.special) this.specials.add(token.content);
    }
    this.plain = new TokenFinder(named.filter(({ token }) => !token.normalized));
    this.normalized = new TokenFinder(named.filter(({ token }) => token.normalized));
  }

  /** Where the tokens are that are looked for in the text as it is. */
  findPlain(text: string): TextPart[] {
    return this.plain.find(text);
  }

  /** Where the others are in normalised text. */
  findNormalized(text: string): TextPart[] {
    return this.normalized.find(text);
  }

  idOf(content: string): number | undefined {
    return this.ids.get(content);
  }

  textOf(id: number): string | undefined {
    return this.texts.get(id);
  }

  /** Asked with the text that a token is decoded to: a special token that normalising changes is none then. */
  isSpecial(text: string): boolean {
    return this.specials.has(text);
  }

  /** The content of a special token; undefined for any other. */
  specialContentOf(id: number): string | undefined {
    const token = this.tokens.get(id);
    return token?.special ? token.content : undefined;
  }

  get highestId(): number {
    return [...this.tokens.keys()].reduce((highest, id) => Math.max(highest, id), -1);
  }
}

/** A token with the text that it is found by. */
interface NamedToken {
  readonly name: string;
  readonly token: AddedTokenJson;
}

/** Two tokens that are one text when normalised: which of them the Rust library finds is left to chance. */
function checkApart(named: readonly NamedToken[]): void {
  const seen = new Map<string, string>();
  named.forEach(({ name, token }, i) => {
    if (!token.normalized) return;
    const content = JSON.stringify(token.content);
    const help = 'set its "normalized" to false';
    if (name === "")
      unsupported(`added_tokens[${i}]`, `${content}, of which normalising leaves nothing,`, help);
    const other = seen.get(name);
    if (other !== undefined) {
      unsupported(`added_tokens[${i}]`, `${content}, which normalizes to the same as ${other},`, help);
    }
    seen.set(name, content);
  });
}

const ENDS_WITH_WORD = new RegExp(`[${WORD}]$`, "v");
const STARTS_WITH_WORD = new RegExp(`^[${WORD}]`, "v");
const SPACE = new RegExp(`^[${WHITE_SPACE}]$`, "v");

class TokenFinder {
  private readonly index: PrefixIndex;
  private readonly tokens: readonly AddedTokenJson[];

  constructor(named: readonly NamedToken[]) {
    this.index = new PrefixIndex(named.map(({ name }, i) => [name, i]));
    this.tokens = named.map(({ token }) => token);
  }

  /** The whole text in parts. At each place the longest token counts; one that is then discarded hides shorter ones. */
  find(text: string): TextPart[] {
    const parts: TextPart[] = [];
    let covered = 0;
    let position = this.tokens.length === 0 ? text.length : 0;
    while (position < text.length) {
      let [end, found] = [-1, -1];
      this.index.search(text, position, (...longest) => {
        [end, found] = longest;
      });
      const token = this.tokens[found];
      if (!token) {
        position++;
        continue;
      }
      if (!token.single_word || standsAlone(text, position, end)) {
        const start = token.lstrip ? spaceBefore(text, position, covered) : position;
        // What is covered beyond `end` is white space: an earlier token took it.
        const stop = token.rstrip ? spaceBehind(text, Math.max(end, covered)) : end;
        if (covered < start) parts.push({ start: covered, end: start });
        parts.push({ id: token.id, start, end: stop });
        covered = stop;
      }
      position = end;
    }
    if (covered < text.length) parts.push({ start: covered, end: text.length });
    return parts;
  }
}

function standsAlone(text: string, start: number, end: number): boolean {
  // Two units hold any character.
  const before = asOfUnicode16(text.slice(Math.max(0, start - 2), start));
  return !ENDS_WITH_WORD.test(before) && !STARTS_WITH_WORD.test(asOfUnicode16(text.slice(end, end + 2)));
}

/** Where the white space before `end` begins, not before `covered`. */
function spaceBefore(text: string, end: number, covered: number): number {
  let start = end;
  while (start > covered && SPACE.test(text.charAt(start - 1))) start--;
  return Math.max(start, covered);
}

function spaceBehind(text: string, start: number): number {
  let end = start;
  while (end < text.length && SPACE.test(text.charAt(end))) end++;
  return end;
}
