/** What went wrong, for callers that handle some failures and report others. */
export type FailureKind =
  | "input"
  | "unsupported"
  | "no-adapter"
  | "device-lost"
  | "out-of-memory"
  | "network";

/**
 * The one error class of this package.
 * `message` reads `where: what happened. help`, so that printing it is enough.
 */
export class LoraError extends Error {
  override readonly name = "LoraError";
  /** The function, file or tensor that refuses. */
  readonly where: string;
  /** What went wrong, for programs. */
  readonly kind: FailureKind;

  constructor(kind: FailureKind, where: string, message: string, help?: string) {
    super(help ? `${where}: ${message}\n  → ${help}` : `${where}: ${message}`);
    this.where = where;
    this.kind = kind;
  }
}

/** Throws a {@link LoraError} of kind `input`: what it got, what it wanted, and the remedy if one is known. */
export function fail(where: string, message: string, help?: string): never {
  throw new LoraError("input", where, message, help);
}

/** Throws unless `problems` is empty; lists them all, one a line. */
export function failAll(where: string, problems: readonly string[], help?: string): void {
  if (problems.length === 0) return;
  const lines = problems.map((problem) => `\n  - ${problem}`).join("");
  const noun = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  fail(where, `${noun}:${lines}`, help);
}

/**
 * What `task` gives. What is wrong with the input is noted for a joint report, and gives undefined; other failures pass
 * through.
 */
export async function attempt<T>(problems: string[], task: () => Promise<T>): Promise<T | undefined> {
  try {
    return await task();
  } catch (error) {
    if (!(error instanceof LoraError) || error.kind !== "input") throw error;
    problems.push(error.message.replaceAll("\n", "\n    ")); // a report within the report
    return undefined;
  }
}
