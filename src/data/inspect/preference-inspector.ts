import { largest } from "../../util/arrays.ts";
import { labelTokens } from "../sequence.ts";
import type { EncodedPreference } from "../tokenize/encode-preference.ts";
import type { EncodedRow } from "../tokenize/encode-rows.ts";
import { emptyReport } from "../tokenize/tokenize-report.ts";
import { errorsFirst, findingsOf } from "./findings.ts";
import type { InspectorOptions } from "./inspector.ts";
import { RowLedger } from "./ledger.ts";
import type { FindingKind, Inspector, PreferenceReport } from "./report.ts";
import { RoleLedger } from "./role-findings.ts";
import { rowKey, textKey } from "./row-key.ts";
import { RowLook } from "./row-look.ts";

/** Looks at rows that say which answers are better, as a model will read them. */
export class PreferenceInspector implements Inspector<EncodedPreference, PreferenceReport> {
  readonly #options: InspectorOptions;
  readonly #look: RowLook;
  readonly #counts = emptyReport();
  readonly #ledger = new RowLedger();
  readonly #roles = new RoleLedger();
  readonly #keys = new Set<number>();
  /** How many answers of each name there are, and their tokens. */
  readonly #answers = new Map<string, { count: number; tokens: number }>();
  #longerChosen = 0;

  constructor(options: InspectorOptions) {
    this.#options = options;
    this.#look = new RowLook(options);
  }

  get keys(): ReadonlySet<number> {
    return this.#keys;
  }

  add(row: EncodedPreference): readonly FindingKind[] {
    const { answers, place, fate } = row;
    this.#count(row);
    const kinds = new Set(answers.flatMap(({ row }) => [...this.#look.kindsOf(row)]));
    if (fate === "kept") for (const kind of this.#kindsOfKept(row)) kinds.add(kind);
    this.#ledger.note(kinds, place);
    for (const { row } of answers) this.#roles.add(row.parts, place);
    return [...kinds];
  }

  report(nameOf: (place: number) => string): PreferenceReport {
    const { maxLength } = this.#options;
    const { cutAtStart: _, straddling: _s, openEnds: _o, ...counts } = this.#counts;
    const lengths = this.#ledger.lengths(nameOf);
    const findings = [
      ...findingsOf({ kinds: this.#ledger.kinds, counts, maxLength, nameOf, ...lengths }),
      ...this.#roles.findings(nameOf),
    ];
    const answers = Array.from(this.#answers, ([name, { count, tokens }]) => ({
      name,
      count,
      mean: tokens / count,
    }));
    return {
      ...counts,
      ...{ maxLength, ...lengths, answers, longerChosen: this.#longerChosen },
      findings: errorsFirst(findings),
    };
  }

  #count({ fate, answers, place }: EncodedPreference): void {
    const counts = this.#counts;
    counts.rows++;
    if (fate === "refused") {
      counts.refused++;
      return;
    }
    const lengths = answers.map(({ row }) => row.inputIds.length + row.cut.length);
    const length = largest(lengths);
    this.#ledger.addLength(length, place);
    counts.longest = Math.max(counts.longest, length);
    if (fate === "too long") counts.dropped++;
    else if (fate === "no labels") counts.droppedNoLabels++;
    else this.#countKept(answers);
  }

  #countKept(answers: EncodedPreference["answers"]): void {
    const counts = this.#counts;
    if (answers.some(({ row }) => row.cut.length > 0)) counts.truncated++;
    for (const { name, row } of answers) {
      const tally = this.#answers.get(name) ?? { count: 0, tokens: 0 };
      this.#answers.set(name, tally);
      tally.count++;
      tally.tokens += labelTokens(row);
      counts.tokens += row.inputIds.length;
      counts.labelTokens += labelTokens(row);
    }
    const [chosen, rejected] = answers;
    if (chosen && rejected && labelTokens(chosen.row) > labelTokens(rejected.row)) this.#longerChosen++;
  }

  *#kindsOfKept({ answers }: EncodedPreference): Generator<FindingKind> {
    const keys = answers.map(({ row }) => rowKey(row));
    if (answers.length === 2 && keys[0] === keys[1]) yield "equal-answers";
    // An answer that was judged is preferred to nothing, or nothing to it.
    const of = (key: number) => (answers[0]?.name === "desirable" ? [key, 0] : [0, key]);
    const sides = keys.length === 2 ? keys : of(keys[0] as number);
    const [key, swapped] = [textKey(sides), textKey([...sides].reverse())];
    if (this.#keys.has(key)) yield "duplicate";
    else if (key !== swapped && this.#keys.has(swapped)) yield "conflict";
    if (this.#options.judged?.has(key)) yield "overlap";
    this.#keys.add(key);
  }
}

/** Tokens that both answers of a pair begin with, and that are learnt of neither: their prompt. */
export function promptLength(rows: readonly EncodedRow[]): number {
  const [first, ...others] = rows;
  if (!first) return 0;
  let at = 0;
  while (
    at < first.inputIds.length &&
    rows.every(({ labels }) => (labels[at] ?? 0) < 0) &&
    others.every(({ inputIds }) => inputIds[at] === first.inputIds[at])
  ) {
    at++;
  }
  return at;
}
