import { parse } from "@huggingface/jinja";
import { TemplateError } from "./errors.ts";
import { GENERATION, readTokens, type Token } from "./lexer.ts";
import type { Statement } from "./nodes.ts";

/**
 * The statements of a template.
 * @throws TemplateError naming the line
 */
export function parseTemplate(template: string): readonly Statement[] {
  const tokens = readTokens(template);
  const progress = { line: 1 };
  const watched = tokens.map((token) => new WatchedToken(token, progress));
  try {
    return parse(watched).body as unknown as readonly Statement[];
  } catch (error) {
    throw new TemplateError(describe(error, progress.line, tokens));
  }
}

/** A token that notes that it was read: the parser does not say where it is when it fails. */
class WatchedToken {
  readonly value: string;
  readonly #token: Token;
  readonly #progress: { line: number };

  constructor(token: Token, progress: { line: number }) {
    this.value = token.value;
    this.#token = token;
    this.#progress = progress;
  }

  get type(): Parameters<typeof parse>[0][number]["type"] {
    this.#progress.line = Math.max(this.#progress.line, this.#token.line);
    return this.#token.type as Parameters<typeof parse>[0][number]["type"];
  }
}

function describe(error: unknown, line: number, tokens: readonly Token[]): string {
  if (error instanceof RangeError) return `line ${line}: is nested too deeply`;
  // The parser reads beyond the last token where a block has no end.
  if (error instanceof TypeError || !(error instanceof Error)) return describeOpenBlock(tokens);
  return `line ${line}: ${error.message.replace(/^Parser Error: /, "")}`;
}

const BLOCKS = ["if", "for", "macro", "call", "filter"];

function describeOpenBlock(tokens: readonly Token[]): string {
  const open: Token[] = [];
  for (const [i, token] of tokens.entries()) {
    if (tokens[i - 1]?.type !== "OpenStatement") continue;
    if (BLOCKS.includes(token.value)) open.push(token);
    if (token.value.startsWith("end")) open.pop();
  }
  const last = open.at(-1);
  if (last === undefined) return `line ${tokens.at(-1)?.line ?? 1}: the template ends inside of a block`;
  const name = tokens[tokens.indexOf(last) + 1]?.value === GENERATION ? "generation" : last.value;
  return `line ${last.line}: {% ${name} %} has no {% end${name} %}`;
}
