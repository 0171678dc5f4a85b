// What the parser of @huggingface/jinja makes of a template. The package has these classes and does not export them.

/** A name, a literal, an operation. */
export type Expression =
  | { readonly type: "Identifier"; readonly value: string }
  | { readonly type: "IntegerLiteral" | "FloatLiteral"; readonly value: number }
  | { readonly type: "StringLiteral"; readonly value: string }
  | { readonly type: "ArrayLiteral" | "TupleLiteral"; readonly value: readonly Expression[] }
  | { readonly type: "ObjectLiteral"; readonly value: ReadonlyMap<Expression, Expression> }
  | Member
  | Call
  | {
      readonly type: "BinaryExpression";
      readonly operator: { readonly value: string };
      readonly left: Expression;
      readonly right: Expression;
    }
  | {
      readonly type: "UnaryExpression";
      readonly operator: { readonly value: string };
      readonly argument: Expression;
    }
  | { readonly type: "FilterExpression"; readonly operand: Expression; readonly filter: Filter }
  | {
      readonly type: "TestExpression";
      readonly operand: Expression;
      readonly negate: boolean;
      readonly test: Identifier;
    }
  | Select
  | {
      readonly type: "Ternary";
      readonly condition: Expression;
      readonly trueExpr: Expression;
      readonly falseExpr: Expression;
    };

export type Identifier = Extract<Expression, { readonly type: "Identifier" }>;

/** `object.property`, or `object[property]` where it is computed. */
export interface Member {
  readonly type: "MemberExpression";
  readonly object: Expression;
  readonly property: Expression | Slice;
  readonly computed: boolean;
}

/** `start:stop:step`. */
export interface Slice {
  readonly type: "SliceExpression";
  readonly start: Expression | undefined;
  readonly stop: Expression | undefined;
  readonly step: Expression | undefined;
}

/** `lhs if test`; behind `in` of a loop, the items of `lhs` for which `test` holds. */
export interface Select {
  readonly type: "SelectExpression";
  readonly lhs: Expression;
  readonly test: Expression;
}

export interface Call {
  readonly type: "CallExpression";
  readonly callee: Expression;
  readonly args: readonly Argument[];
}

/** The name of a filter, with its arguments where there are some. */
export type Filter = Identifier | Call;

interface Keyword {
  readonly type: "KeywordArgumentExpression";
  readonly key: Identifier;
  readonly value: Expression;
}

/** What stands between the parentheses of a call. */
export type Argument =
  | Expression
  | Keyword
  | { readonly type: "SpreadExpression"; readonly argument: Expression }
  | { readonly type: "KeywordSpreadExpression"; readonly argument: Expression };

/** What stands between the parentheses of a macro: a name, with its default where it has one. */
export type Parameter = Identifier | Keyword;

/** A part of a template's text: an expression is written into it. */
export type Statement =
  | Expression
  | {
      readonly type: "If";
      readonly test: Expression;
      readonly body: readonly Statement[];
      readonly alternate: readonly Statement[];
    }
  | For
  | Assignment
  | Macro
  | CallBlock
  | { readonly type: "FilterStatement"; readonly filter: Filter; readonly body: readonly Statement[] }
  | { readonly type: "Break" | "Continue" | "Comment" };

export interface For {
  readonly type: "For";
  readonly loopvar: Expression;
  readonly iterable: Expression;
  readonly body: readonly Statement[];
  readonly defaultBlock: readonly Statement[];
}

/** `{% set assignee = value %}`, or a block whose text is the value. */
export interface Assignment {
  readonly type: "Set";
  readonly assignee: Expression;
  readonly value: Expression | null;
  readonly body: readonly Statement[];
}

export interface Macro {
  readonly type: "Macro";
  readonly name: Identifier;
  readonly args: readonly Parameter[];
  readonly body: readonly Statement[];
}

/** `{% call(callerArgs) call %}`. */
export interface CallBlock {
  readonly type: "CallStatement";
  readonly call: Call;
  readonly callerArgs: readonly Parameter[] | null;
  readonly body: readonly Statement[];
}
