import { Budget } from "./budget.ts";
import { refuse, unsupported } from "./errors.ts";
import { Evaluator, isConstant } from "./evaluate.ts";
import { globalNames } from "./globals.ts";
import { GENERATION } from "./lexer.ts";
import { type LoopMemory, loopVariable } from "./loop.ts";
import { bindParameters } from "./macro.ts";
import type { Assignment, CallBlock, Expression, For, Macro, Statement } from "./nodes.ts";
import { Output, type TextSpan } from "./output.ts";
import { iterate } from "./python-values.ts";
import { Scope, unpack } from "./scope.ts";
import { toText } from "./show.ts";
import { Arguments, Instance, type List, Namespace, type Value } from "./values.ts";

/** How a part of a template ends: at its end, or on the way to the end or the next turn of a loop. */
type Flow = "on" | "break" | "continue";

/** A rendered template. */
export interface Rendered {
  readonly text: string;
  /** What stood in `{% generation %}` blocks, in order. */
  readonly generated: readonly TextSpan[];
}

/**
 * Runs the statements of a template with Python's values.
 * @param context what the template is about, by name
 */
export function interpret(
  statements: readonly Statement[],
  context: Map<string, Value>,
  now: Date,
): Rendered {
  return new Interpreter(now).run(statements, context);
}

class Interpreter {
  readonly #evaluator: Evaluator;
  readonly #output: Output;
  readonly #generated: TextSpan[] = [];
  #isGenerating = false;
  #loops = 0;

  constructor(now: Date) {
    const budget = new Budget();
    this.#evaluator = new Evaluator(budget, now);
    this.#output = new Output(budget);
  }

  run(statements: readonly Statement[], context: Map<string, Value>): Rendered {
    const names = new Scope(new Scope(undefined, globalNames(this.#evaluator)), context);
    this.#finish(this.#execute(statements, names));
    return { text: this.#output.text, generated: this.#generated };
  }

  #execute(statements: readonly Statement[], scope: Scope): Flow {
    for (const statement of statements) {
      const flow = this.#step(statement, scope);
      if (flow !== "on") return flow;
    }
    return "on";
  }

  #finish(flow: Flow): void {
    if (flow !== "on") refuse(`a {% ${flow} %} outside of a loop`);
  }

  #step(statement: Statement, scope: Scope): Flow {
    switch (statement.type) {
      case "If":
        return this.#execute(
          this.#evaluator.isTrue(statement.test, scope) ? statement.body : statement.alternate,
          scope,
        );
      case "For":
        return this.#loop(statement, scope);
      case "Set":
        this.#assign(statement, scope);
        break;
      case "Macro":
        scope.set(statement.name.value, this.#macro(statement.name.value, statement, scope));
        break;
      case "CallStatement":
        this.#call(statement, scope);
        break;
      case "FilterStatement": {
        const text = this.#capture(statement.body, new Scope(scope));
        this.#output.write(toText(this.#evaluator.applyFilter(statement.filter, text, scope)));
        break;
      }
      case "Break":
        return "break";
      case "Continue":
        return "continue";
      case "Comment":
        break;
      default:
        this.#output.write(toText(this.#evaluator.evaluate(statement, scope)));
    }
    return "on";
  }

  #loop(node: For, scope: Scope): Flow {
    const { loopvar, body, defaultBlock } = node;
    const items = this.#loopItems(node, scope);
    // What stands behind `else` is for a loop of which no turn came to its end, by `continue`, too.
    const memory: LoopMemory = { last: undefined };
    let isComplete = false;
    this.#loops++;
    for (let index = 0; index < items.length; index++) {
      this.#evaluator.budget.spend();
      // Every turn has names of its own: what one sets, the next does not see.
      const turn = new Scope(scope);
      this.#assignTo(loopvar, items[index] as Value, turn);
      turn.set("loop", loopVariable(items, index, this.#loops, memory));
      const flow = this.#execute(body, turn);
      isComplete ||= flow === "on";
      if (flow === "break") break;
    }
    this.#loops--;
    return isComplete ? "on" : this.#execute(defaultBlock, new Scope(scope));
  }

  /** What a loop goes over: of `for x in xs if test` the items that pass. */
  #loopItems({ loopvar, iterable }: For, scope: Scope): List {
    if (iterable.type !== "SelectExpression") return iterate(this.#evaluator.evaluate(iterable, scope));
    return iterate(this.#evaluator.evaluate(iterable.lhs, scope)).filter((item) => {
      const turn = new Scope(scope);
      this.#assignTo(loopvar, item, turn);
      return this.#evaluator.isTrue(iterable.test, turn);
    });
  }

  #assign({ assignee, value, body }: Assignment, scope: Scope): void {
    const assigned =
      value === null ? this.#capture(body, new Scope(scope)) : this.#evaluator.evaluate(value, scope);
    this.#assignTo(assignee, assigned, scope);
  }

  #assignTo(target: Expression, value: Value, scope: Scope): void {
    if (target.type === "Identifier") {
      if (isConstant(target.value)) refuse(`can't assign to '${target.value}'`);
      scope.set(target.value, value);
    } else if (target.type === "TupleLiteral") {
      const items = unpack(value, target.value.length);
      for (const [i, part] of target.value.entries()) this.#assignTo(part, items[i] as Value, scope);
    } else if (
      target.type === "MemberExpression" &&
      target.property.type === "Identifier" &&
      !target.computed
    ) {
      const holder = this.#evaluator.evaluate(target.object, scope);
      if (!(holder instanceof Namespace)) refuse("cannot assign attribute on non-namespace object");
      holder.values.set(target.property.value, value);
    } else unsupported(`setting a ${target.type}`);
  }

  #macro(name: string, node: Pick<Macro, "args" | "body">, scope: Scope): Instance {
    const call = (given: Arguments) => {
      const inside = new Scope(scope);
      bindParameters(name, node, given, inside, (value, at) => this.#evaluator.evaluate(value, at));
      return this.#capture(node.body, inside);
    };
    return new Instance("Macro", call, (asked) => (asked === "name" ? name : undefined));
  }

  #call({ call, callerArgs, body }: CallBlock, scope: Scope): void {
    if (call.callee.type === "Identifier" && call.callee.value === GENERATION) {
      this.#generate(body, new Scope(scope));
      return;
    }
    const caller = this.#macro("caller", { args: callerArgs ?? [], body }, scope);
    const { positional, named } = this.#evaluator.arguments(call.args, scope);
    const given = new Arguments(positional, new Map([...named, ["caller", caller]]));
    this.#output.write(toText(this.#evaluator.call(this.#evaluator.evaluate(call.callee, scope), given)));
  }

  /** What the assistant wrote. In a text that becomes a value, transformers itself counts from the wrong place. */
  #generate(body: readonly Statement[], scope: Scope): void {
    if (this.#isGenerating || this.#output.isCapturing) {
      unsupported("{% generation %} inside of a macro, a {% set %} block or another {% generation %}");
    }
    this.#isGenerating = true;
    const start = this.#output.length;
    this.#finish(this.#execute(body, scope));
    this.#generated.push([start, this.#output.length]);
    this.#isGenerating = false;
  }

  #capture(body: readonly Statement[], scope: Scope): string {
    const loops = this.#loops;
    this.#loops = 0;
    const text = this.#output.capture(() => this.#finish(this.#execute(body, scope)));
    this.#loops = loops;
    return text;
  }
}
