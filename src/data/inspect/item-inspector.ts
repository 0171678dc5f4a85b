import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import type { EncodedItem } from "../tokenize/task-rows.ts";
import { isCut, keptOf } from "../tokenize/task-rows.ts";
import { emptyReport } from "../tokenize/tokenize-report.ts";
import { alienToken } from "../tokenize/vocabulary.ts";
import { errorsFirst, findingsOf } from "./findings.ts";
import { labelFindings } from "./label-findings.ts";
import { RowLedger } from "./ledger.ts";
import type { FindingKind, Inspector, TaskReport } from "./report.ts";
import { idsKey, textKey } from "./row-key.ts";

/** What rows of a task are looked at for. */
export interface ItemInspectorOptions {
  /** Absent where rows are no texts. */
  readonly tokenizer?: Tokenizer;
  readonly maxLength: number;
  /** Rows of the model's embedding; any id is fine unless given. */
  readonly embeddingRows?: number;
  /** Classes of the head; absent where the task has none. */
  readonly classes?: readonly string[];
  /** Whether each word has a class, and not the row. */
  readonly isTagged?: boolean;
  /** Whether the two texts of a row are told from those of all others. */
  readonly isContrastive?: boolean;
  /** Keys of rows that the model is judged by, which it should not have learnt. */
  readonly judged?: ReadonlySet<number>;
}

/** Looks at rows of a task that is no language modelling, as a model will read them. */
export class ItemInspector implements Inspector<EncodedItem, TaskReport> {
  readonly #options: ItemInspectorOptions;
  readonly #counts = emptyReport();
  readonly #ledger = new RowLedger();
  readonly #labels = new Map<string, number>();
  /** The classes that each text came with first, by their keys. */
  readonly #seen = new Map<number, number>();
  /** Texts of pairs, and the key of the pair that each came in first. */
  readonly #partners = new Map<number, number>();
  readonly #keys = new Set<number>();

  constructor(options: ItemInspectorOptions) {
    this.#options = options;
  }

  get keys(): ReadonlySet<number> {
    return this.#keys;
  }

  add(row: EncodedItem): readonly FindingKind[] {
    const kinds = [...this.#kindsOf(row)];
    this.#count(row);
    this.#ledger.note(kinds, row.place);
    return kinds;
  }

  report(nameOf: (place: number) => string): TaskReport {
    const { maxLength, classes, isTagged = false } = this.#options;
    const { rows, truncated, dropped, droppedNoLabels, droppedEmpty, refused, ...more } = this.#counts;
    const { longest, longestIsLeast, tokens } = more;
    const counts = {
      rows,
      truncated,
      dropped,
      droppedNoLabels,
      droppedEmpty,
      refused,
      longest,
      longestIsLeast,
      tokens,
    };
    const lengths = this.#ledger.lengths(nameOf);
    const kept = rows - dropped - droppedEmpty;
    const findings = [
      ...findingsOf({ kinds: this.#ledger.kinds, counts, maxLength, nameOf, ...lengths }),
      ...(classes && kept > 0 ? labelFindings(this.#labels, classes, isTagged) : []),
    ];
    const labels = classes?.map((name) => ({ name, count: this.#labels.get(name) ?? 0 }));
    return { ...counts, maxLength, ...lengths, ...(labels && { labels }), findings: errorsFirst(findings) };
  }

  #count({ fate, texts, labels, place }: EncodedItem): void {
    const counts = this.#counts;
    counts.rows++;
    if (fate === "empty") {
      counts.droppedEmpty++;
      return;
    }
    const length = texts.reduce((sum, { ids }) => sum + ids.length, 0);
    if (texts.length > 0) this.#ledger.addLength(length, place);
    counts.longest = Math.max(counts.longest, length);
    counts.longestIsLeast ||= texts.some(({ isLonger = false }) => isLonger);
    if (fate === "too long") {
      counts.dropped++;
      return;
    }
    if (texts.some(isCut)) counts.truncated++;
    counts.tokens += texts.reduce((sum, text) => sum + keptOf(text).length, 0);
    for (const label of labels) this.#labels.set(label, (this.#labels.get(label) ?? 0) + 1);
  }

  *#kindsOf(row: EncodedItem): Generator<FindingKind> {
    const { fate, texts, labels, unread = 0 } = row;
    if (fate !== "kept") {
      yield fate === "empty" ? "empty" : "too-long";
      return;
    }
    if (texts.some(isCut)) yield "cut";
    if (this.#hasAlien(row)) yield "unknown-token";
    if (unread > 0) yield "unread-word";
    const keys = texts.map((text) => idsKey(keptOf(text)));
    const key = row.key ?? textKey(keys);
    if (this.#options.isContrastive) yield* this.#kindsOfPair(keys, key);
    const said = textKey(labels.map((label) => this.#labelNumber(label)));
    const first = this.#seen.get(key);
    if (first !== undefined) yield first === said ? "duplicate" : "conflict";
    else this.#seen.set(key, said);
    if (this.#options.judged?.has(key)) yield "overlap";
    this.#keys.add(key);
  }

  /** In a batch the texts of other pairs are taken for such as mean something else. */
  *#kindsOfPair(keys: readonly number[], key: number): Generator<FindingKind> {
    if (keys[0] === keys[1]) yield "equal-pair";
    const isShared = keys.some((text) => (this.#partners.get(text) ?? key) !== key);
    for (const text of keys) if (!this.#partners.has(text)) this.#partners.set(text, key);
    if (isShared) yield "shared-text";
  }

  #labelNumber(label: string): number {
    return this.#options.classes?.indexOf(label) ?? 0;
  }

  #hasAlien({ texts }: EncodedItem): boolean {
    const { tokenizer, embeddingRows: rows } = this.#options;
    if (!tokenizer || rows === undefined) return false;
    return texts.some((text) => alienToken(keptOf(text), { tokenizer, rows }) !== undefined);
  }
}
