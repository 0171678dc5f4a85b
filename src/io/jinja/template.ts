import { LoraError } from "../../util/fail.ts";
import { TemplateError } from "./errors.ts";
import { interpret, type Rendered } from "./interpreter.ts";
import { parseTemplate } from "./parse.ts";
import { fromJson } from "./python-values.ts";

/** A Jinja template that was read. */
export interface Template {
  /**
   * Renders it.
   * @param context JSON by name; a name that is undefined is not there
   * @param now what `strftime_now` tells, in the time zone of this machine
   * @throws LoraError for whatever Jinja2 refuses, what the template itself refuses, and what would not end
   */
  render(context: Readonly<Record<string, unknown>>, now?: Date): Rendered;
  /** Whether it marks what the assistant wrote by `{% generation %}`. */
  readonly marksGeneration: boolean;
}

/**
 * Reads a Jinja template, which then renders as Jinja2 renders it in Python, set up as transformers 5.18 sets it up for
 * chat templates: `trim_blocks`, `lstrip_blocks`, `break` and `continue`, `{% generation %}`, a `tojson` that leaves HTML
 * alone, `raise_exception` and `strftime_now`, and a sandbox in which nothing can be changed.
 *
 * The parser is that of @huggingface/jinja. Its interpreter has JavaScript's values instead of Python's (`None` is
 * written as nothing, `strip("\n")` strips everything, what a turn of a loop sets is there in the next): of 3,372
 * renderings by published templates 375 were other texts than Python's, and 241 failed. Here the values are Python's.
 * @param name the template's file or origin, for messages
 * @throws LoraError naming the line, for a mistake of syntax
 */
export function readTemplate(source: string, name: string): Template {
  const attempt = <T>(task: () => T): T => {
    try {
      return task();
    } catch (error) {
      throw explained(error, name);
    }
  };
  const statements = attempt(() => parseTemplate(source));
  return {
    render: (context, now = new Date()) =>
      attempt(() => {
        const given = Object.entries(context).filter(([, value]) => value !== undefined);
        return interpret(statements, new Map(given.map(([key, value]) => [key, fromJson(value)])), now);
      }),
    marksGeneration: /\{%[-+]?\s*generation\s*[-+]?%\}/.test(source),
  };
}

function explained(error: unknown, name: string): unknown {
  if (error instanceof RangeError)
    return new LoraError("input", name, "is nested or calls itself too deeply", OTHER);
  if (!(error instanceof TemplateError)) return error;
  const { message, raised, unsupported } = error;
  if (raised) return new LoraError("input", name, `refuses these messages: ${message}`, AS_WANTED);
  return new LoraError(unsupported ? "unsupported" : "input", name, message, OTHER);
}

const AS_WANTED = "give messages of the roles, and in the order, that the template is for";
const OTHER = "mend the template, or give another one";
