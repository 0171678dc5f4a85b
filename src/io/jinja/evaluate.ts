import { append } from "../../util/arrays.ts";
import type { Budget } from "./budget.ts";
import { refuse } from "./errors.ts";
import { applyFilter } from "./filters.ts";
import type { Machine } from "./machine.ts";
import { attributeOf, itemOf, sliceOf } from "./members.ts";
import type { Argument, Call, Expression, Filter, Member } from "./nodes.ts";
import { negate, operate } from "./operators.ts";
import { isTrue, iterate, keyOf } from "./python-values.ts";
import type { Scope } from "./scope.ts";
import { applyTest } from "./tests.ts";
import {
  Arguments,
  Float,
  Instance,
  isDict,
  isText,
  plain,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Names that are values; no template can give them another. */
const CONSTANTS: Readonly<Record<string, Value>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};

/** Whether a name is that of a value, which nothing can be set to. */
export const isConstant = (name: string) => Object.hasOwn(CONSTANTS, name);

/** The filter that the lexer makes of a test with arguments. */
const TEST = /^is (not )?(\S+)$/;

/** Evaluates expressions. */
export class Evaluator implements Machine {
  readonly budget: Budget;
  readonly now: Date;

  constructor(budget: Budget, now: Date) {
    this.budget = budget;
    this.now = now;
  }

  filter(name: string, value: Value, given: Arguments): Value {
    const [, not, test] = TEST.exec(name) ?? [];
    if (test !== undefined) return this.test(test, value, given) === (not === undefined);
    return applyFilter(name, value, given, this);
  }

  test(name: string, value: Value, given: Arguments): boolean {
    return applyTest(name, value, given, this);
  }

  evaluate(node: Expression, scope: Scope): Value {
    this.budget.spend();
    switch (node.type) {
      case "Identifier":
        return isConstant(node.value) ? (CONSTANTS[node.value] as Value) : scope.get(node.value);
      case "IntegerLiteral":
      case "StringLiteral":
        return node.value;
      case "FloatLiteral":
        return new Float(node.value);
      case "ArrayLiteral":
        return node.value.map((item) => this.evaluate(item, scope));
      case "TupleLiteral":
        return new Tuple(node.value.map((item) => this.evaluate(item, scope)));
      case "ObjectLiteral":
        return new Map(
          [...node.value].map(([key, value]) => [
            keyOf(this.evaluate(key, scope)),
            this.evaluate(value, scope),
          ]),
        );
      case "MemberExpression":
        return this.#member(node, scope);
      case "CallExpression":
        return this.call(this.evaluate(node.callee, scope), this.arguments(node.args, scope));
      case "FilterExpression":
        return this.applyFilter(node.filter, this.evaluate(node.operand, scope), scope);
      case "TestExpression": {
        const holds = this.test(node.test.value, this.evaluate(node.operand, scope), new Arguments());
        return holds !== node.negate;
      }
      case "UnaryExpression": {
        const value = this.evaluate(node.argument, scope);
        return node.operator.value === "not" ? !isTrue(value) : negate(node.operator.value, value);
      }
      case "BinaryExpression":
        return this.#binary(node, scope);
      case "Ternary":
        return this.evaluate(this.isTrue(node.condition, scope) ? node.trueExpr : node.falseExpr, scope);
      case "SelectExpression":
        if (this.isTrue(node.test, scope)) return this.evaluate(node.lhs, scope);
        return new Undefined("the inline if-expression was false and has no else");
    }
  }

  isTrue(node: Expression, scope: Scope): boolean {
    return isTrue(this.evaluate(node, scope));
  }

  call(called: Value, given: Arguments): Value {
    if (called instanceof Undefined) return refuse(called.why);
    const call = called instanceof Instance ? called.call : undefined;
    return call ? call(given) : refuse(`'${typeName(called)}' object is not callable`);
  }

  applyFilter(filter: Filter, value: Value, scope: Scope): Value {
    if (filter.type === "Identifier") return this.filter(filter.value, value, new Arguments());
    return this.filter(filterName(filter), value, this.arguments(filter.args, scope));
  }

  /** As Python does it: all positional ones before the first that has a name. */
  arguments(nodes: readonly Argument[], scope: Scope): Arguments {
    const positional: Value[] = [];
    for (const node of nodes) {
      if (node.type === "SpreadExpression") append(positional, iterate(this.evaluate(node.argument, scope)));
      else if (node.type !== "KeywordArgumentExpression" && node.type !== "KeywordSpreadExpression") {
        positional.push(this.evaluate(node, scope));
      }
    }
    const named = new Map<string, Value>();
    for (const node of nodes) {
      if (node.type === "KeywordArgumentExpression")
        named.set(node.key.value, this.evaluate(node.value, scope));
      if (node.type === "KeywordSpreadExpression") {
        for (const [key, value] of this.#mapping(node.argument, scope)) named.set(String(key), value);
      }
    }
    return new Arguments(positional, named);
  }

  #mapping(node: Expression, scope: Scope) {
    const value = this.evaluate(node, scope);
    return isDict(value) ? value : refuse(`argument after ** must be a mapping, not ${typeName(value)}`);
  }

  #member({ object, property, computed }: Member, scope: Scope): Value {
    const holder = this.evaluate(object, scope);
    if (property.type === "SliceExpression") {
      const bounds = [property.start, property.stop, property.step];
      return sliceOf(
        holder,
        bounds.map((bound) => (bound === undefined ? null : this.evaluate(bound, scope))),
        this.budget,
      );
    }
    if (computed) {
      const key = this.evaluate(property, scope);
      if (isText(holder)) this.budget.text(plain(holder).length);
      return itemOf(holder, key, this.budget);
    }
    if (property.type === "IntegerLiteral") return itemOf(holder, property.value, this.budget);
    return attributeOf(holder, (property as { readonly value: string }).value, this.budget);
  }

  #binary(node: Extract<Expression, { readonly type: "BinaryExpression" }>, scope: Scope): Value {
    const operator = node.operator.value;
    const left = this.evaluate(node.left, scope);
    if (operator === "and") return isTrue(left) ? this.evaluate(node.right, scope) : left;
    if (operator === "or") return isTrue(left) ? left : this.evaluate(node.right, scope);
    return operate(operator, left, this.evaluate(node.right, scope), this.budget);
  }
}

function filterName({ callee }: Call): string {
  return callee.type === "Identifier" ? callee.value : refuse("a filter is called by its name");
}
