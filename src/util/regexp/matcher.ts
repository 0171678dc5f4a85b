import { type CharacterSet, characterSet } from "./character-set.ts";
import { type Expression, ExpressionError } from "./expression.ts";
import { compile, OP, type Program } from "./program.ts";

/** Steps that may be taken: shared by all that one caller matches, so that no file can hold it up. */
export interface Budget {
  steps: number;
}

/**
 * Runs an expression in time that grows with its size times the text's. It goes the way that a backtracking engine goes
 * and finds the same matches, but no way twice: what has failed at a place fails there again (Davis, Servant and Lee
 * 2021, "Using selective memoization to defeat regular expression denial of service"). Where an expression refers to
 * its groups, that does not hold; then only the budget bounds the time.
 */
export class Matcher {
  readonly #program: Program;
  readonly #sets: readonly CharacterSet[];
  readonly #budget: Budget;

  /** @throws ExpressionError where the expression is too large */
  constructor(expression: Expression, budget: Budget = { steps: Infinity }) {
    this.#program = compile(expression);
    this.#sets = this.#program.sets.map(characterSet);
    this.#budget = budget;
  }

  /**
   * The match that begins at the text's start: the end of the whole, and begin and end of each group in turn (−1 where
   * it has not matched); undefined where there is none.
   * @throws ExpressionError where the budget is spent
   */
  matchStart(text: string): { readonly end: number; readonly slots: readonly number[] } | undefined {
    const run = new Run(this.#program, this.#sets, text, this.#budget);
    const end = run.match(0, 0);
    return end < 0 ? undefined : { end, slots: run.slots };
  }

  /**
   * All matches from left to right, as `String.matchAll` finds them.
   * @param from where to begin
   * @throws ExpressionError where the budget is spent, or the text is too long for the expression
   */
  *matches(text: string, from = 0): Generator<readonly [start: number, end: number]> {
    const run = new Run(this.#program, this.#sets, text, this.#budget);
    for (let at = from; at <= text.length; ) {
      const end = run.match(0, at);
      if (end >= 0) yield [at, end];
      at = end > at ? end : at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
    }
  }
}

/** Bytes of what a run remembers. */
const MOST_BYTES = 2 ** 26;

/** What is known of one text. */
class Run {
  readonly #program: Program;
  readonly #sets: readonly CharacterSet[];
  readonly #text: string;
  readonly #budget: Budget;
  readonly slots: number[];
  /** A bit for each split at each place: it has failed there, or is under way, so that going there again leads nowhere. */
  readonly #visited: Uint32Array;
  /** For splits of parts that have matched from a place on: where the part ended. */
  readonly #ends = new Map<number, number>();
  /** What to try next: triples of the path's length, position and instruction; or, to restore a slot, its value and −1 − slot. */
  readonly #stack: number[] = [];
  /** Splits that have been passed and have not failed. */
  readonly #path: number[] = [];
  readonly #remembers: boolean;

  constructor(program: Program, sets: readonly CharacterSet[], text: string, budget: Budget) {
    const words = Math.ceil((program.splits * (text.length + 1)) / 32);
    if (4 * words > MOST_BYTES) throw new ExpressionError(`a text of ${text.length} characters`);
    this.#program = program;
    this.#sets = sets;
    this.#text = text;
    this.#budget = budget;
    this.slots = Array(program.slots).fill(-1);
    this.#visited = new Uint32Array(words);
    this.#remembers = !program.hasReferences;
  }

  /** Runs the part that begins at an instruction; gives where its match ends, or −1. */
  match(entry: number, start: number): number {
    const { code, splits, repeatsNothing } = this.#program;
    const [text, stack, path, budget] = [this.#text, this.#stack, this.#path, this.#budget];
    const [stackBase, pathBase] = [stack.length, path.length];
    const isPart = entry !== 0;
    const marked: number[] = [];
    let [pc, at] = [entry, start];
    for (;;) {
      if (--budget.steps < 0) throw new ExpressionError("too many steps");
      const { op, a, b, id } = code[pc]!;
      let next = pc + 1; // −1: this way leads nowhere
      switch (op) {
        case OP.SET: {
          const point = text.codePointAt(at);
          if (point === undefined || !this.#sets[a]!.has(point)) next = -1;
          else at += point > 0xffff ? 2 : 1;
          break;
        }
        case OP.SET_BEFORE: {
          const point = pointBefore(text, at);
          if (point === undefined || !this.#sets[a]!.has(point)) next = -1;
          else at -= point > 0xffff ? 2 : 1;
          break;
        }
        case OP.SPLIT: {
          const key = at * splits + id;
          const end = isPart ? this.#ends.get(key) : undefined;
          if (end !== undefined) return this.#accept(end, stackBase, pathBase, isPart, marked);
          if (this.#isVisited(key)) next = -1;
          else {
            this.#visit(key);
            if (repeatsNothing) marked.push(key);
            path.push(key); // until the second way has failed, too
            stack.push(path.length, at, b);
            next = a;
          }
          break;
        }
        case OP.JUMP:
          next = a;
          break;
        case OP.SAVE:
          stack.push(this.slots[a]!, -1 - a);
          this.slots[a] = at;
          break;
        case OP.LOOK:
          if (this.match(a, at) >= 0 === (b === 1)) next = -1;
          break;
        case OP.ATOMIC: {
          const end = this.match(a, at);
          if (end < 0) next = -1;
          else at = end;
          break;
        }
        case OP.REFERENCE: {
          const [first, last] = [this.slots[2 * a - 2]!, this.slots[2 * a - 1]!];
          const isNext = first >= 0 && last >= 0 && text.startsWith(text.slice(first, last), at);
          if (isNext) at += last - first;
          else next = -1;
          break;
        }
        default:
          return this.#accept(at, stackBase, pathBase, isPart, marked);
      }
      while (next < 0) {
        if (stack.length === stackBase) return -1;
        const top = stack.pop()!;
        if (top < 0) this.slots[-1 - top] = stack.pop()!;
        else {
          [next, at] = [top, stack.pop()!];
          this.#leave(stack.pop()!);
        }
      }
      pc = next;
    }
  }

  /** The part has matched: what lay on its way has not failed. */
  #accept(
    end: number,
    stackBase: number,
    pathBase: number,
    isPart: boolean,
    marked: readonly number[],
  ): number {
    for (let i = pathBase; i < this.#path.length; i++) {
      this.#forget(this.#path[i]!);
      if (isPart && this.#remembers) this.#ends.set(this.#path[i]!, end);
    }
    // What failed because it came back to where it was may match from elsewhere.
    for (const key of marked) this.#forget(key);
    this.#path.length = pathBase;
    this.#stack.length = stackBase;
    return end;
  }

  /** Takes the splits back that have failed. */
  #leave(length: number): void {
    if (!this.#remembers) for (let i = length; i < this.#path.length; i++) this.#forget(this.#path[i]!);
    this.#path.length = length;
  }

  #isVisited(key: number): boolean {
    return ((this.#visited[key >>> 5]! >>> (key & 31)) & 1) === 1;
  }

  #visit(key: number): void {
    this.#visited[key >>> 5]! |= 1 << (key & 31);
  }

  #forget(key: number): void {
    this.#visited[key >>> 5]! &= ~(1 << (key & 31));
  }
}

function pointBefore(text: string, at: number): number | undefined {
  if (at === 0) return undefined;
  const unit = text.charCodeAt(at - 1);
  const isLow = unit >= 0xdc00 && unit <= 0xdfff && at > 1;
  const pair = isLow ? text.codePointAt(at - 2)! : unit;
  return pair > 0xffff ? pair : unit;
}
