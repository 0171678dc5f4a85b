import { refuse } from "./errors.ts";
import type { Expression, Macro, Parameter } from "./nodes.ts";
import type { Scope } from "./scope.ts";
import { type Arguments, present, Tuple, Undefined, type Value } from "./values.ts";

/** Sets the parameters of a macro, or of the block of a call, in the scope of its body. */
export function bindParameters(
  name: string,
  { args, body }: Pick<Macro, "args" | "body">,
  given: Arguments,
  scope: Scope,
  evaluate: (expression: Expression, scope: Scope) => Value,
): void {
  const named = new Map(given.named);
  const names = args.map(nameOf);
  for (const [i, parameter] of args.entries()) {
    const key = names[i] as string;
    const value = i < given.positional.length ? given.positional[i] : named.get(key);
    if (i < given.positional.length && named.has(key)) refuse(`macro '${name}' got two values for '${key}'`);
    named.delete(key);
    scope.set(
      key,
      present(value, () => new Undefined(`parameter '${key}' was not provided`)),
    );
    if (value === undefined && parameter.type !== "Identifier")
      scope.set(key, evaluate(parameter.value, scope));
  }
  const caller = named.get("caller");
  if (caller !== undefined) scope.set("caller", caller);
  named.delete("caller");
  const rest = given.positional.slice(args.length);
  takeRest(name, "varargs", rest.length > 0, mentions(body, "varargs"));
  takeRest(name, "kwargs", named.size > 0, mentions(body, "kwargs"));
  scope.set("varargs", new Tuple(rest));
  scope.set("kwargs", named);
}

const nameOf = (parameter: Parameter) => (parameter.type === "Identifier" ? parameter : parameter.key).value;

/** A macro takes more than its parameters only where it has a use for them. */
function takeRest(name: string, rest: string, isGiven: boolean, isUsed: boolean): void {
  if (!isGiven || isUsed) return;
  refuse(
    `macro '${name}' takes no ${rest === "kwargs" ? "keyword argument" : "more arguments"} of that kind`,
  );
}

/** Whether a name occurs in a part of a template. */
function mentions(part: unknown, name: string): boolean {
  if (Array.isArray(part)) return part.some((item) => mentions(item, name));
  if (part instanceof Map) return [...part].some((entry) => mentions(entry, name));
  if (typeof part !== "object" || part === null) return false;
  const { type, value } = part as { type?: unknown; value?: unknown };
  return (
    (type === "Identifier" && value === name) || Object.values(part).some((item) => mentions(item, name))
  );
}
