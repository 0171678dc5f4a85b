import { count } from "../../util/count.ts";
import type { RowTally } from "./ledger.ts";
import type { Finding, FindingKind } from "./report.ts";
import { WORDS, type Words, type WordsContext } from "./words.ts";

/** Rows that were noted, and what words about them depend on. */
export interface NotedRows extends WordsContext {
  readonly kinds: ReadonlyMap<FindingKind, RowTally>;
  readonly nameOf: (place: number) => string;
}

/** A finding for each kind that rows were noted for. */
export function findingsOf(noted: NotedRows): Finding[] {
  return Array.from(noted.kinds, ([kind, tally]) => {
    const { level = () => "warning" as const, message, help } = WORDS[kind as keyof typeof WORDS];
    const say = (words: Words["message"]) => (typeof words === "string" ? words : words(noted));
    const of = noted.counts.rows === 1 ? "row" : "rows";
    const share = `${count(tally.rows)} of ${count(noted.counts.rows)} ${of}`;
    return {
      ...aboutRows(kind, level(tally, noted), tally, noted),
      message: `${share} ${say(message)}`,
      help: say(help),
    };
  });
}

/** A finding without its words. */
export function aboutRows(
  kind: FindingKind,
  level: Finding["level"],
  { rows, places }: RowTally,
  { nameOf }: Pick<NotedRows, "nameOf">,
): Pick<Finding, "level" | "kind" | "rows" | "examples"> {
  return { level, kind, rows, examples: places.map(nameOf) };
}

/** Errors first, else in their order. */
export function errorsFirst(findings: readonly Finding[]): Finding[] {
  const order = { error: 0, warning: 1 };
  return [...findings].sort((a, b) => order[a.level] - order[b.level]);
}
