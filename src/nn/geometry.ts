import type { Device } from "../gpu/device.ts";
import { fromArray, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";

/** Consecutive tokens of one row of a batch that see each other and nothing else. */
export interface Document {
  /** Row of the batch. */
  readonly row: number;
  /** Place of its first token in the row. */
  readonly first: number;
  /** Number of its tokens, at least 1. */
  readonly length: number;
}

/**
 * Where the documents of a batch of tokens `[batchSize, length]` lie: in order, row by row. Those of a row follow one another
 * without a gap; what lies before the first and after the last is padding.
 */
export interface Layout {
  /** Rows of the batch. */
  readonly batchSize: number;
  /** Tokens of a row, padding included. */
  readonly length: number;
  /** What they hold; a row may hold nothing. */
  readonly documents: readonly Document[];
  /**
   * The tokens of each document, from its very first one on, those in a cache among them: adapters that act from certain
   * tokens on look for them here. Absent where nobody knows.
   */
  readonly texts?: readonly (readonly number[])[] | undefined;
}

/** The place of each token of a batch: what attention, position embeddings and pooling need to know of it. */
export interface Geometry {
  /** First key that each token may see and end of the keys of its document, u32 `[B, T, 2]`; see `AttentionOptions`. */
  readonly spans: Tensor;
  /** Place of each token in its document, u32 `[B, T]`; 0 in the padding. */
  readonly positions: Tensor;
  /** Tokens of a row, padding included. */
  readonly length: number;
  /** `positions` on the host. */
  readonly places: Uint32Array;
  /** The documents, in order. */
  readonly documents: readonly Document[];
  /** Their tokens; see {@link Layout}. */
  readonly texts?: readonly (readonly number[])[] | undefined;
  /** Tokens of the longest document, those in the cache included: rotations may depend on it. */
  readonly longest: number;
}

/** What a cache holds of a row: keys of one document, and perhaps padding before them. */
export interface CachedRow {
  /** The first key. */
  readonly first: number;
  /** Where the keys end, which is where the next one will be; `first` where there are none. */
  readonly end: number;
}

/** A row of which a cache holds nothing. */
export const EMPTY_ROW: CachedRow = { first: 0, end: 0 };

/** Rows that are one document each, without padding. @param texts their tokens, where they are known */
export function wholeRows(batchSize: number, length: number, texts?: readonly (readonly number[])[]): Layout {
  return {
    batchSize,
    length,
    texts,
    documents: Array.from({ length: batchSize }, (_, row) => ({ row, first: 0, length })),
  };
}

/**
 * The geometry of a batch.
 * @param earlier what a cache holds of its rows: a row of which it holds some goes on with its only document, from its first token
 * @throws LoraError for documents out of order, apart, or outside of their row
 */
export function placeTokens(device: Device, layout: Layout, earlier?: readonly CachedRow[]): Geometry {
  const { batchSize, length, documents, texts } = layout;
  const spans = new Uint32Array(2 * batchSize * length);
  const places = new Uint32Array(batchSize * length);
  let longest = 0;
  for (const [row, ofRow] of documentsByRow(layout).entries()) {
    const cached = earlier?.[row] ?? EMPTY_ROW;
    checkRow(row, length, ofRow, cached);
    const placed = placeRow(length, ofRow, cached);
    spans.set(placed.spans, 2 * row * length);
    places.set(placed.places, row * length);
    longest = Math.max(longest, placed.longest);
  }
  return {
    spans: fromArray(device, spans, [batchSize, length, 2]),
    positions: fromArray(device, places, [batchSize, length]),
    length,
    places,
    documents,
    texts,
    longest,
  };
}

/** Spans, places and longest document of one row; how padding is written, the kernels say. */
function placeRow(length: number, documents: readonly Document[], { first: begun, end: past }: CachedRow) {
  const spans = new Uint32Array(2 * length);
  const places = new Uint32Array(length);
  const put = (from: number, to: number, first: number, end: number) => {
    for (let i = from; i < to; i++) {
      spans[2 * i] = first;
      spans[2 * i + 1] = end;
    }
  };
  const [begin, end] = [documents[0]?.first ?? 0, endOf(documents.at(-1))];
  put(0, begin, past + begin, past + begin);
  put(end, length, past + length, past + end);
  let longest = 0;
  for (const document of documents) {
    const first = past > begun ? begun : past + document.first;
    put(document.first, endOf(document), first, past + endOf(document));
    for (let i = document.first; i < endOf(document); i++) places[i] = past + i - first;
    longest = Math.max(longest, past + endOf(document) - first);
  }
  return { spans, places, longest };
}

/** Where a document ends in its row; 0 for none. */
export function endOf(document: Document | undefined): number {
  return document ? document.first + document.length : 0;
}

function documentsByRow({ batchSize, documents }: Layout): Document[][] {
  const rows: Document[][] = Array.from({ length: batchSize }, () => []);
  for (const [i, document] of documents.entries()) {
    const row = rows[document.row];
    if (!row || document.row < (documents[i - 1]?.row ?? 0))
      fail(
        "geometry",
        `document ${i} is in row ${document.row} of ${batchSize}`,
        "give documents row by row",
      );
    row.push(document);
  }
  return rows;
}

function checkRow(row: number, length: number, documents: readonly Document[], cached: CachedRow): void {
  const complain = (problem: string, remedy: string) => fail("geometry", `row ${row}: ${problem}`, remedy);
  for (const [i, document] of documents.entries()) {
    const { first } = document;
    const before = documents[i - 1];
    if (document.length < 1) complain("a document has no token", "leave it out");
    if (before ? first !== endOf(before) : first < 0)
      complain(
        `a document begins at ${first}, the one before ends at ${endOf(before)}`,
        "let documents follow one another",
      );
  }
  if (endOf(documents.at(-1)) > length)
    complain(`the documents end at ${endOf(documents.at(-1))} of ${length}`, "make the row longer");
  const isContinued = cached.end > cached.first;
  if (isContinued && (documents.length > 1 || (documents[0]?.first ?? 0) > 0))
    complain("it goes on with what the cache holds", "give it one document, padded on the right");
}
