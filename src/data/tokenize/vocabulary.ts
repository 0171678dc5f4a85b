import type { Tokenizer } from "../../io/tokenizer/tokenizer.ts";
import { failAll, Problems } from "../../util/fail.ts";

/** What a text is checked against: the tokenizer that made its ids, and the model that is to read them. */
export interface Vocabulary {
  readonly tokenizer: Pick<Tokenizer, "decode" | "specialToken">;
  /** Rows of the model's embedding; ids count from 0. */
  readonly rows: number;
}

/** Tokens that a warning names at most. */
const MOST = 3;

/**
 * A remark where a tokenizer has ids that the model's embedding lacks: an added `[PAD]`, or tokens for images in the
 * text-only variant of a model. They do no harm until a text holds one.
 */
export function describeAlienIds(tokenizer: Tokenizer, rows: number): string | undefined {
  const count = tokenizer.vocabSize - rows;
  if (count <= 0) return undefined;
  const ids = Array.from({ length: Math.min(count, MOST) }, (_, i) => rows + i);
  const names = ids.map((id) => nameOf(id, tokenizer)).join(", ");
  const more = count > MOST ? ` and ${count - MOST} more` : "";
  return (
    `the tokenizer has ids up to ${tokenizer.vocabSize - 1}, and the model an embedding of ${rows} rows ` +
    `(${names}${more}): a text that holds one of these is refused`
  );
}

/** Gathers rows that hold a token for which the model has no vector, so that all can be named together. */
export class RowCheck {
  readonly #vocabulary: Vocabulary;
  readonly #problems = new Problems();

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
  }

  /** @param row what messages call it */
  add(row: string, ids: Iterable<number>): void {
    const problem = alienToken(ids, this.#vocabulary);
    if (problem !== undefined) this.#problems.push(`${row} ${problem}`);
  }

  /** @throws LoraError that names the rows */
  finish(where: string): void {
    failAll(where, this.#problems, REMEDY);
  }
}

/** What is wrong with ids that the embedding lacks; undefined where there is none. */
export function alienToken(ids: Iterable<number>, { tokenizer, rows }: Vocabulary): string | undefined {
  for (const id of ids) {
    if (id >= rows) return `holds the token ${nameOf(id, tokenizer)}; the model's embedding has ${rows} rows`;
  }
  return undefined;
}

/** What to do about a token without a vector. */
export const REMEDY =
  "take the token out of the text or out of the tokenizer's files, or give the model a row for it: in Python, model.resize_token_embeddings(len(tokenizer)) and save it";

function nameOf(id: number, tokenizer: Vocabulary["tokenizer"]): string {
  const text = tokenizer.specialToken(id) ?? tokenizer.decode([id]);
  return text === "" ? `of id ${id}` : `${JSON.stringify(text)} (id ${id})`;
}
