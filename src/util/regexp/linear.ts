import { type Expression, leastWidth } from "./expression.ts";

/**
 * How an attempt to match the rest of an expression can fail: not at all, after a bounded number of steps, or after a
 * number that grows with the text.
 */
type Failure = "never" | "soon" | "late";

/** What is known of the rest of an expression. */
interface Rest {
  readonly failure: Failure;
  /** Ways through it, where what repeats without end counts once. */
  readonly ways: number;
}

const END: Rest = { failure: "never", ways: 1 };

/** More ways than this are no constant any more. */
const MOST_WAYS = 10_000;

class Unproven extends Error {}

/**
 * Whether it is certain that a backtracking engine takes no more steps for one attempt to match at a place than the
 * text has characters, times a constant. False where that is not so, or is not seen: here only sets are repeated without
 * end, and what comes behind such a repetition fails soon, so that it is worth no more to give back one character after
 * the other than to have read them.
 */
export function isLinear(expression: Expression): boolean {
  try {
    before(expression, END);
    return true;
  } catch (error) {
    if (error instanceof Unproven) return false;
    throw error;
  }
}

/** What is known of an expression and the rest behind it. @throws Unproven */
function before(node: Expression, rest: Rest): Rest {
  switch (node.kind) {
    case "set":
      return step(rest);
    case "sequence":
      return node.items.reduceRight((behind, item) => before(item, behind), rest);
    case "choice":
      return oneOf(node.branches.map((branch) => before(branch, rest)));
    case "group":
    case "atomic":
      return before(node.body, rest);
    case "look":
      if (before(node.body, END).failure === "late" || repeats(node.body)) throw new Unproven();
      return step(rest);
    case "repeat":
      return node.max === Infinity ? endless(node, rest) : counted(node, rest);
    case "reference":
      throw new Unproven();
  }
}

/** One character, or a look at a bounded number of them, and the rest. */
function step({ failure, ways }: Rest): Rest {
  return limited({ failure: failure === "late" ? "late" : "soon", ways: ways + 1 });
}

function oneOf(branches: readonly Rest[]): Rest {
  const failures = branches.map(({ failure }) => failure);
  const failure = (["never", "late"] as const).find((one) => failures.includes(one)) ?? "soon";
  return limited({ failure, ways: branches.reduce((sum, { ways }) => sum + ways, 0) });
}

function limited(rest: Rest): Rest {
  if (rest.ways > MOST_WAYS) throw new Unproven();
  return rest;
}

function endless({ body, min, lazy }: Extract<Expression, { kind: "repeat" }>, rest: Rest): Rest {
  if (body.kind !== "set" || lazy || rest.failure === "late") throw new Unproven();
  const loop: Rest = { failure: rest.failure === "never" ? "never" : "late", ways: rest.ways + 1 };
  return copies(body, min, loop);
}

function counted({ body, min, max, lazy }: Extract<Expression, { kind: "repeat" }>, rest: Rest): Rest {
  // Whether an empty round counts differs between engines.
  if (lazy || (max > min && leastWidth(body) === 0)) throw new Unproven();
  let behind = rest;
  for (let i = min; i < max; i++) behind = oneOf([before(body, behind), rest]);
  return copies(body, min, behind);
}

function copies(body: Expression, count: number, rest: Rest): Rest {
  let behind = rest;
  for (let i = 0; i < count; i++) behind = before(body, behind);
  return behind;
}

/** Whether something in an expression is repeated without end. */
function repeats(node: Expression): boolean {
  switch (node.kind) {
    case "sequence":
      return node.items.some(repeats);
    case "choice":
      return node.branches.some(repeats);
    case "repeat":
      return node.max === Infinity || repeats(node.body);
    case "group":
    case "atomic":
    case "look":
      return repeats(node.body);
    default:
      return false;
  }
}
