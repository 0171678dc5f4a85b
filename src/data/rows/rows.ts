import { fail, failAll, Problems } from "../../util/fail.ts";
import type { JsonObject } from "../../util/json.ts";

/** One row of a file and where it begins, for messages. */
export interface Row {
  /** The line, from 1. */
  readonly line: number;
  /** What the row holds, or a sentence on what is wrong with it. */
  readonly values: JsonObject | string;
}

/** Makes rows of a text that comes in pieces, which end neither within a character nor within a line end. */
export interface RowParser {
  /** The rows that end in this piece. */
  push(piece: string): Iterable<Row>;
  /** The rows that nothing else ends; throws where the text is cut off. */
  end(): Iterable<Row>;
}

/** What a task takes from a row. */
export interface RowReader<T extends object> {
  /** What each row needs, for messages. */
  readonly wanted: string;
  /** The item, or what is wrong with the row. */
  read(values: JsonObject): T | string;
  /** What is to be told of the rows that were read. */
  notes?(): readonly string[];
}

/** What a task takes from the rows of a file. */
export interface PlacedRows<T> {
  readonly items: T[];
  /** The line of each, from 1. */
  readonly lines: readonly number[];
  /** The rows that could not be used, where that is no error. */
  readonly skipped: Problems;
}

/** What messages call the row that begins on a line. */
export type RowNamer = (line: number) => string;

/**
 * What a task takes from the rows of a file, one after the other: of a file that is read piece by piece no more is in
 * memory than that.
 * @param label the file, for messages
 * @throws LoraError naming the rows that cannot be used, or saying that there are no rows
 */
export function collectRows<T extends object>(rows: Iterable<Row>, label: string, reader: RowReader<T>): T[] {
  const collector = new RowCollector(label, reader, {
    nameOf: (line) => `${label}:${line}`,
    onBadRow: "error",
  });
  collector.add(rows);
  return collector.finish().items;
}

/** How rows are collected. */
export interface CollectOptions {
  readonly nameOf: RowNamer;
  /** What a row that cannot be used is: an error, or left out. */
  readonly onBadRow: "error" | "skip";
  /** What else can be done where no row can be used. */
  readonly hint?: string;
}

/** The same of rows that come in groups, with the lines. */
export async function collectPlacedRows<T extends object>(
  groups: AsyncIterable<Iterable<Row>>,
  label: string,
  reader: RowReader<T>,
  options: CollectOptions,
): Promise<PlacedRows<T>> {
  const collector = new RowCollector(label, reader, options);
  for await (const rows of groups) collector.add(rows);
  return collector.finish();
}

/** After so many bad rows it is certain that the file is of another kind. */
const MOST_PROBLEMS = 100_000;

class RowCollector<T extends object> {
  readonly #label: string;
  readonly #reader: RowReader<T>;
  readonly #options: CollectOptions;
  readonly #items: T[] = [];
  readonly #lines: number[] = [];
  readonly #problems = new Problems();

  constructor(label: string, reader: RowReader<T>, options: CollectOptions) {
    this.#label = label;
    this.#reader = reader;
    this.#options = options;
  }

  add(rows: Iterable<Row>): void {
    for (const { line, values } of rows) {
      const item = typeof values === "string" ? values : this.#reader.read(values);
      if (typeof item !== "string") {
        this.#items.push(item);
        this.#lines.push(line);
        continue;
      }
      this.#problems.push(`${this.#options.nameOf(line)}: ${item}`);
      if (this.#problems.length < MOST_PROBLEMS || this.#skips) continue;
      const [wanted, ...others] = this.#help;
      failAll(this.#label, this.#problems, [`${wanted}; reading stopped at line ${line}`, ...others]);
    }
  }

  finish(): PlacedRows<T> {
    if (!this.#skips || this.#items.length === 0) failAll(this.#label, this.#problems, this.#help);
    if (this.#items.length === 0) fail(this.#label, "has no rows", this.#help);
    return { items: this.#items, lines: this.#lines, skipped: this.#problems };
  }

  get #skips(): boolean {
    return this.#options.onBadRow === "skip";
  }

  get #help(): string[] {
    const { hint } = this.#options;
    const isHelpful = hint !== undefined && this.#items.length === 0;
    return [`each row needs ${this.#reader.wanted}`, ...(isHelpful ? [hint] : [])];
  }
}
