import { printable } from "./printable.ts";

/** What went wrong, for callers that handle some failures and report others. */
export type FailureKind =
  | "input"
  | "unsupported"
  | "no-adapter"
  | "diverged"
  | "device-lost"
  | "out-of-memory"
  | "network";

/** One problem of several: a line, or the error of a part, which is a report of its own. */
export type Problem = string | LoraError;

/**
 * The one error class of this package.
 * `message` reads `where: what happened. help`, so that printing it is enough: names in it come from files and servers,
 * so that what a screen would obey is escaped, long lines lose their middle, and of many problems the first are shown.
 */
export class LoraError extends Error {
  override readonly name = "LoraError";
  /** The function, file or tensor that refuses. */
  readonly where: string;
  /** What went wrong, for programs. */
  readonly kind: FailureKind;

  /**
   * @param message a line, a report that becomes part of this one, or several problems
   * @param help the remedy, or several
   */
  constructor(
    kind: FailureKind,
    where: string,
    message: Problem | Problems,
    help: string | readonly string[] = [],
  ) {
    const remedies = typeof help === "string" ? [help] : help;
    const what = message instanceof Problems ? describeAll(message) : describe(message);
    super([`${line(where)}: ${what}`, ...remedies.filter(Boolean).map(line)].join("\n  → "));
    this.where = where;
    this.kind = kind;
  }
}

/** Problems that a message shows; the others are counted. */
const SHOWN = 20;

/** The problems of one input, of which the first are kept and the others counted: a file can have a million. */
export class Problems {
  readonly #shown: Problem[] = [];
  #length = 0;

  constructor(problems: Iterable<Problem> = []) {
    this.add(problems);
  }

  /** How many there are. */
  get length(): number {
    return this.#length;
  }

  /** The first ones, in order. */
  get shown(): readonly Problem[] {
    return this.#shown;
  }

  /** @param problem or what tells it, where that takes long */
  push(problem: Problem | (() => string)): void {
    if (++this.#length > SHOWN) return;
    this.#shown.push(typeof problem === "function" ? problem() : problem);
  }

  add(problems: Iterable<Problem>): void {
    for (const problem of problems) this.push(problem);
  }
}

/** Throws a {@link LoraError} of kind `input`: what it got, what it wanted, and the remedy if one is known. */
export function fail(where: string, message: string, help?: string | readonly string[]): never {
  throw new LoraError("input", where, message, help);
}

/** Throws unless there are no problems; lists the first of them, one a line, and counts the others. */
export function failAll(
  where: string,
  problems: readonly Problem[] | Problems,
  help?: string | readonly string[],
): void {
  if (problems.length === 0) return;
  throw new LoraError("input", where, problems instanceof Problems ? problems : new Problems(problems), help);
}

/**
 * What `task` gives. What is wrong with the input is noted for a joint report, and gives undefined; other failures pass
 * through.
 */
export async function attempt<T>(
  problems: { push(problem: Problem): unknown },
  task: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await task();
  } catch (error) {
    if (!(error instanceof LoraError) || error.kind !== "input") throw error;
    problems.push(error);
  }
}

function describe(problem: Problem): string {
  return typeof problem === "string" ? line(problem) : problem.message;
}

function describeAll(problems: Problems): string {
  const { length, shown } = problems;
  const noun = length === 1 ? "1 problem" : `${length} problems`;
  const lines = shown.map((problem) => describe(problem).replaceAll("\n", "\n    "));
  const more = length > shown.length ? [`and ${length - shown.length} more`] : [];
  return [`${noun}:`, ...lines, ...more].join("\n  - ");
}

/** Characters of one line of a message. */
const LONGEST = 2000;

/** A line of a message. Its reason mostly stands at the end, behind a name. */
function line(text: string): string {
  const half = LONGEST / 2;
  const middle = ` … (${text.length - LONGEST} characters) … `;
  return printable(
    text.length <= LONGEST ? text : text.slice(0, half) + middle + text.slice(text.length - half),
  );
}

/** What an error says; whatever else was thrown, as text. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Does what may fail without harm. */
export function tryTo(action: () => void): void {
  try {
    action();
  } catch {
    // The caller's comment says why that is no harm.
  }
}
