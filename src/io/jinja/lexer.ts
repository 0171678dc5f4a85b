import { append } from "../../util/arrays.ts";
import { TemplateError } from "./errors.ts";
import { PYTHON_SPACE, strip } from "./python-text.ts";

/** A token of the kinds that the parser of @huggingface/jinja knows. */
export interface Token {
  readonly type: string;
  readonly value: string;
  /** Of the template, from 1. */
  readonly line: number;
}

/** What `{% generation %}` is called as a call block; no template can have a macro of such a name. */
export const GENERATION = "{% generation %}";

const OPERATORS: Readonly<Record<string, string>> = {
  "**": "ExponentiationBinaryOperator",
  "//": "MultiplicativeBinaryOperator",
  "==": "ComparisonBinaryOperator",
  "!=": "ComparisonBinaryOperator",
  "<=": "ComparisonBinaryOperator",
  ">=": "ComparisonBinaryOperator",
  "<": "ComparisonBinaryOperator",
  ">": "ComparisonBinaryOperator",
  "+": "AdditiveBinaryOperator",
  "-": "AdditiveBinaryOperator",
  "~": "AdditiveBinaryOperator",
  "*": "MultiplicativeBinaryOperator",
  "/": "MultiplicativeBinaryOperator",
  "%": "MultiplicativeBinaryOperator",
  "=": "Equals",
  "(": "OpenParen",
  ")": "CloseParen",
  "{": "OpenCurlyBracket",
  "}": "CloseCurlyBracket",
  "[": "OpenSquareBracket",
  "]": "CloseSquareBracket",
  ",": "Comma",
  ".": "Dot",
  ":": "Colon",
  "|": "Pipe",
};

const CLOSING: Readonly<Record<string, string>> = { "(": ")", "{": "}", "[": "]" };

const SPACES = new RegExp(`[${PYTHON_SPACE}]+`, "y");
const OPENING = /\{%[-+]?|\{\{[-+]?|\{#[-+]?/g;
const RAW = new RegExp(`\\{%[-+]?[${PYTHON_SPACE}]*raw[${PYTHON_SPACE}]*-?%\\}`, "y");
const END_OF_RAW = new RegExp(
  `\\{%([-+]?)[${PYTHON_SPACE}]*endraw[${PYTHON_SPACE}]*(?:\\+%\\}|-%\\}[${PYTHON_SPACE}]*|%\\}\\n?)`,
  "g",
);
const END_OF_COMMENT = new RegExp(`\\+#\\}|-#\\}[${PYTHON_SPACE}]*|#\\}\\n?`, "g");
const END_OF_BLOCK = new RegExp(`\\+%\\}|-%\\}[${PYTHON_SPACE}]*|%\\}\\n?`, "y");
const END_OF_OUTPUT = new RegExp(`-\\}\\}[${PYTHON_SPACE}]*|\\}\\}`, "y");
const FLOAT = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?[eE][+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/y;
const INTEGER = /0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\da-fA-F])+|[1-9](?:_?\d)*|0(?:_?0)*/y;
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Nd}\p{M}_]*/uy;
const STRING = /'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\]|\\[\s\S])*"/y;
const OPERATOR = /\*\*|\/\/|[=!<>]=|[<>+\-~*/%=(){}[\],.:|]/y;

/**
 * The tokens of a template, cut as Jinja2 cuts it under `trim_blocks` and `lstrip_blocks`. The tokenizer of
 * @huggingface/jinja knows no `+`, no `raw` and no lines, strips inside of texts, and leaves `{% generation %}` out.
 * @throws TemplateError naming the line
 */
export function readTokens(template: string): Token[] {
  return new Lexer(template.replace(/\r\n?/g, "\n").replace(/\n$/, "")).read();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  /** Up to where the lines are counted. */
  #counted = 0;

  constructor(source: string) {
    this.#source = source;
  }

  read(): Token[] {
    // Jinja2 asks whether the text before a tag begins a line, which the end of the tag before it tells.
    let startsLine = true;
    while (this.#at < this.#source.length) {
      OPENING.lastIndex = this.#at;
      const opening = OPENING.exec(this.#source);
      if (opening === null) {
        this.#addText(this.#source.slice(this.#at));
        break;
      }
      this.#addText(stripped(this.#source.slice(this.#at, opening.index), opening[0], startsLine));
      this.#at = opening.index;
      if (opening[0].startsWith("{#")) this.#skipComment(opening[0]);
      else if (this.#match(RAW) !== undefined) this.#readRaw();
      else this.#readTag(opening[0]);
      startsLine = this.#source[this.#at - 1] === "\n";
    }
    return this.#tokens;
  }

  #skipComment(opening: string): void {
    END_OF_COMMENT.lastIndex = this.#at + opening.length;
    const end = END_OF_COMMENT.exec(this.#source) ?? this.#fail("a comment {# without its end #}");
    this.#at = end.index + end[0].length;
  }

  #readRaw(): void {
    const opening = this.#match(RAW) as string;
    this.#at += opening.length;
    if (opening.endsWith("-%}")) this.#at += this.#match(SPACES)?.length ?? 0;
    END_OF_RAW.lastIndex = this.#at;
    const end = END_OF_RAW.exec(this.#source) ?? this.#fail("a {% raw %} without its {% endraw %}");
    const text = this.#source.slice(this.#at, end.index);
    this.#addText(stripped(text, `{%${end[1]}`, this.#source[this.#at - 1] === "\n"));
    this.#at = end.index + end[0].length;
  }

  /** `{% … %}` or `{{ … }}`. */
  #readTag(opening: string): void {
    const isBlock = opening.startsWith("{%");
    const start = this.#at;
    this.#at += opening.length;
    const tag: Token[] = [this.#token(isBlock ? "OpenStatement" : "OpenExpression", opening.slice(0, 2))];
    const open: string[] = [];
    for (;;) {
      this.#at += this.#match(SPACES)?.length ?? 0;
      const end = open.length === 0 ? this.#match(isBlock ? END_OF_BLOCK : END_OF_OUTPUT) : undefined;
      if (end !== undefined) {
        tag.push(this.#token(isBlock ? "CloseStatement" : "CloseExpression", isBlock ? "%}" : "}}"));
        this.#at += end.length;
        break;
      }
      if (this.#at >= this.#source.length) {
        this.#at = start;
        this.#fail(`${opening} without its end`);
      }
      tag.push(this.#readInside(open));
    }
    append(this.#tokens, withTestsAsFilters(withGeneration(tag)));
  }

  /** The next token of a tag; `open` are the brackets that wait for their end. */
  #readInside(open: string[]): Token {
    const float = this.#match(FLOAT);
    if (float !== undefined) return this.#take("NumericLiteral", float, floatLiteral(float));
    const integer = this.#match(INTEGER);
    if (integer !== undefined) {
      const value = Number(integer.replaceAll("_", ""));
      if (!Number.isSafeInteger(value)) this.#fail(`the number ${integer}, which is beyond 2^53`);
      return this.#take("NumericLiteral", integer, String(value));
    }
    const name = this.#match(NAME);
    if (name !== undefined) return this.#take("Identifier", name, name);
    const string = this.#match(STRING);
    if (string !== undefined) return this.#take("StringLiteral", string, this.#unescape(string.slice(1, -1)));
    const operator = this.#match(OPERATOR) ?? this.#fail(`unexpected ${JSON.stringify(this.#character())}`);
    const closing = CLOSING[operator];
    if (closing !== undefined) open.push(closing);
    if (")}]".includes(operator)) {
      const expected = open.pop();
      if (expected === undefined) this.#fail(`unexpected ${operator}`);
      if (expected !== operator) this.#fail(`unexpected ${operator}, expected ${expected}`);
    }
    return this.#take(OPERATORS[operator] as string, operator, operator);
  }

  /** A string's text, whose escapes are those of Python. */
  #unescape(text: string): string {
    const escapes =
      /\\(?:([abfnrtv\\'"\n])|([0-7]{1,3})|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(x|u|U|N))/g;
    return text.replace(escapes, (_, letter?: string, octal?: string, ...rest: (string | undefined)[]) => {
      const [x, u, long, broken] = rest;
      if (broken !== undefined) this.#fail(`a broken escape \\${broken} in a string`);
      if (letter !== undefined) return LETTERS[letter] ?? letter;
      const code = octal !== undefined ? parseInt(octal, 8) : parseInt(x ?? u ?? (long as string), 16);
      return code > 0x10ffff ? this.#fail(`the escape \\U${long} in a string`) : String.fromCodePoint(code);
    });
  }

  #character(): string {
    return String.fromCodePoint(this.#source.codePointAt(this.#at) ?? 0);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#source)?.[0];
  }

  #take(type: string, text: string, value: string): Token {
    const token = this.#token(type, value);
    this.#at += text.length;
    return token;
  }

  #addText(text: string): void {
    if (text !== "") this.#tokens.push(this.#token("Text", text));
  }

  #token(type: string, value: string): Token {
    return { type, value, line: this.#lineHere() };
  }

  #lineHere(): number {
    for (; this.#counted < this.#at; this.#counted++) {
      if (this.#source[this.#counted] === "\n") this.#line++;
    }
    return this.#line;
  }

  #fail(what: string): never {
    const line = this.#source.slice(0, this.#at).split("\n").length;
    throw new TemplateError(`line ${line}: ${what}`);
  }
}

const LETTERS: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\n": "",
};

/** A float such that the parser, which looks for a point, sees one. */
function floatLiteral(text: string): string {
  const written = String(Number(text.replaceAll("_", "")));
  return /[.]/.test(written) ? written : written.replace(/^\d+/, "$&.0");
}

const LAST_LINE_BLANK = new RegExp(`^[${PYTHON_SPACE}]*$`);

/** The text before a tag without what the tag takes away. */
function stripped(text: string, opening: string, startsLine: boolean): string {
  if (opening.endsWith("-")) return strip(text, { left: false, right: true });
  if (opening.endsWith("+") || opening.startsWith("{{")) return text;
  const lineStart = text.lastIndexOf("\n") + 1;
  const begins = lineStart > 0 || startsLine;
  return begins && LAST_LINE_BLANK.test(text.slice(lineStart)) ? text.slice(0, lineStart) : text;
}

/** `{% generation %}` as what it is in transformers: a call block, whose body is a scope of its own. */
function withGeneration(tag: readonly Token[]): readonly Token[] {
  const [open, name, close] = tag as [Token, Token, Token];
  if (open.type !== "OpenStatement" || tag.length !== 3 || name.type !== "Identifier") return tag;
  const make = (type: string, value: string) => ({ type, value, line: name.line });
  if (name.value === "endgeneration") return [open, make("Identifier", "endcall"), close];
  if (name.value !== "generation") return tag;
  const call = [make("Identifier", "call"), make("Identifier", GENERATION)];
  return [open, ...call, make("OpenParen", "("), make("CloseParen", ")"), close];
}

/** A test with arguments, which the parser does not read, as a filter of the name `is divisibleby`. */
function withTestsAsFilters(tag: readonly Token[]): Token[] {
  const tokens: Token[] = [];
  const isName = (at: number, value?: string) =>
    tag[at]?.type === "Identifier" && (value === undefined || tag[at]?.value === value);
  for (let at = 0; at < tag.length; at++) {
    const token = tag[at] as Token;
    const name = isName(at + 1, "not") ? at + 2 : at + 1;
    if (isName(at, "is") && isName(name) && tag[name + 1]?.type === "OpenParen") {
      const test = tag.slice(at, name + 1).map(({ value }) => value);
      tokens.push({ ...token, type: "Pipe", value: "|" }, { ...token, value: test.join(" ") });
      at = name;
    } else tokens.push(token);
  }
  return tokens;
}
