import { type Expression, ExpressionError, leastWidth } from "./expression.ts";

/** What an instruction does; {@link Instruction} says with which operands. */
export const OP = {
  /** The next character is of set `a`; the position moves behind it. */
  SET: 0,
  /** The character before the position is of set `a`; the position moves before it. */
  SET_BEFORE: 1,
  /** Goes on at `a`, and if that fails at `b`; `id` numbers these instructions. */
  SPLIT: 2,
  JUMP: 3,
  /** Notes the position in slot `a`. */
  SAVE: 4,
  /** Whether the part at `a` matches here; `b` is 1 where it must not. */
  LOOK: 5,
  /** Goes behind what the part at `a` matches first. */
  ATOMIC: 6,
  /** The text of group `a` comes next. */
  REFERENCE: 7,
  /** The part, or the whole, has matched. */
  ACCEPT: 8,
} as const;

/** One instruction. */
export interface Instruction {
  op: number;
  a: number;
  b: number;
  id: number;
}

/** An expression to be run. */
export interface Program {
  readonly code: readonly Instruction[];
  /** Sources of the sets. */
  readonly sets: readonly string[];
  /** How many splits there are. */
  readonly splits: number;
  /** Slots of groups: where group i begins is in slot 2i − 2, and where it ends in the next. */
  readonly slots: number;
  readonly hasReferences: boolean;
  /** Something is repeated that may match nothing. */
  readonly repeatsNothing: boolean;
}

/** Parts of one program, when repetitions are written out. */
const LARGEST = 50_000;

/** @throws ExpressionError where the program is too large: repetitions of a given number are written out */
export function compile(root: Expression): Program {
  const compiler = new Compiler();
  compiler.part(root, true);
  return compiler;
}

class Compiler implements Program {
  readonly code: Instruction[] = [];
  readonly #sets = new Map<string, number>();
  #written = 0;
  splits = 0;
  slots = 0;
  hasReferences = false;
  repeatsNothing = false;
  /** Parts that are called, to be written behind what calls them. */
  readonly #parts: { call: Instruction; body: Expression; forward: boolean }[] = [];

  get sets(): string[] {
    return [...this.#sets.keys()];
  }

  /** Writes a part and all that it calls. */
  part(body: Expression, forward: boolean): void {
    this.#write(body, forward);
    this.#emit(OP.ACCEPT);
    for (let next = this.#parts.shift(); next; next = this.#parts.shift()) {
      next.call.a = this.code.length;
      this.part(next.body, next.forward);
    }
  }

  #emit(op: number, a = 0, b = 0): Instruction {
    const instruction = { op, a, b, id: op === OP.SPLIT ? this.splits++ : 0 };
    this.code.push(instruction);
    return instruction;
  }

  #write(node: Expression, forward: boolean): void {
    if (++this.#written > LARGEST) throw new ExpressionError(`more than ${LARGEST} parts`);
    switch (node.kind) {
      case "set":
        this.#emit(forward ? OP.SET : OP.SET_BEFORE, this.#set(node.source));
        return;
      case "sequence":
        for (const item of forward ? node.items : node.items.toReversed()) this.#write(item, forward);
        return;
      case "choice":
        this.#choice(node.branches, forward);
        return;
      case "repeat":
        this.#repeat(node, forward);
        return;
      case "group": {
        const first = 2 * node.index - 2;
        this.slots = Math.max(this.slots, first + 2);
        this.#emit(OP.SAVE, forward ? first : first + 1);
        this.#write(node.body, forward);
        this.#emit(OP.SAVE, forward ? first + 1 : first);
        return;
      }
      case "look": {
        const call = this.#emit(OP.LOOK, 0, node.negated ? 1 : 0);
        this.#parts.push({ call, body: node.body, forward: node.ahead });
        return;
      }
      case "atomic":
        this.#parts.push({ call: this.#emit(OP.ATOMIC), body: node.body, forward });
        return;
      case "reference":
        if (!forward) throw new ExpressionError("a reference in a lookbehind");
        this.hasReferences = true;
        this.#emit(OP.REFERENCE, node.group);
        return;
    }
  }

  #set(source: string): number {
    const known = this.#sets.get(source) ?? this.#sets.size;
    this.#sets.set(source, known);
    return known;
  }

  #choice(branches: readonly Expression[], forward: boolean): void {
    const ends: Instruction[] = [];
    for (const [i, branch] of branches.entries()) {
      const split = i < branches.length - 1 ? this.#emit(OP.SPLIT, this.code.length + 1) : undefined;
      this.#write(branch, forward);
      if (!split) continue;
      ends.push(this.#emit(OP.JUMP));
      split.b = this.code.length;
    }
    for (const end of ends) end.a = this.code.length;
  }

  #repeat({ body, min, max, lazy = false }: Extract<Expression, { kind: "repeat" }>, forward: boolean): void {
    for (let i = 0; i < min; i++) this.#write(body, forward);
    if (max === Infinity && leastWidth(body) === 0) this.repeatsNothing = true;
    const optional = max === Infinity ? 1 : max - min;
    const splits: Instruction[] = [];
    for (let i = 0; i < optional; i++) {
      const split = this.#emit(OP.SPLIT);
      splits.push(split);
      const start = this.code.length;
      this.#write(body, forward);
      if (max === Infinity) this.#emit(OP.JUMP, start - 1);
      if (lazy) split.b = start;
      else split.a = start;
    }
    for (const split of splits) {
      if (lazy) split.a = this.code.length;
      else split.b = this.code.length;
    }
  }
}
