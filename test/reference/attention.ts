/** One attention problem; tensors are dense arrays. */
export interface AttentionProblem {
  batch: number;
  queries: number;
  /** Rows of k and v a sequence. */
  keyStride: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  scale: number;
  causal?: boolean | undefined;
  window?: number | undefined;
  softcap?: number | undefined;
  /** One more score of each head, of a key without a value. */
  sinks?: ArrayLike<number> | undefined;
  /** First key and end of the keys of each token's document, row by row; all keys of the row unless given. */
  spans?: readonly Span[] | undefined;
}

/** First key, end of the keys. */
export type Span = readonly [first: number, end: number];

/** What a row of a batch consists of. */
export interface RowLayout {
  /** Tokens of padding before the documents. */
  left?: number;
  /** Lengths of the documents. */
  documents: readonly number[];
  /** Keys of earlier tokens, and which of them is the first of the (only) document. */
  past?: number;
  begin?: number;
}

/** Spans of a row of some tokens; see AttentionOptions. */
export function spansOf(
  tokens: number,
  { left = 0, documents, past = 0, begin = past + left }: RowLayout,
): Span[] {
  const spans: Span[] = Array.from({ length: left }, () => [begin, begin]);
  let end = past + left;
  for (const [i, length] of documents.entries()) {
    const first = i === 0 ? begin : end;
    end += length;
    for (let t = 0; t < length; t++) spans.push([first, end]);
  }
  while (spans.length < tokens) spans.push([past + tokens, end]);
  return spans;
}

/** q `[B, T, H, D]`, k and v `[B, S, Hkv, D]`. */
export interface AttentionInputs {
  q: ArrayLike<number>;
  k: ArrayLike<number>;
  v: ArrayLike<number>;
}

/** A row of probabilities: of query `i` of head `h` of sequence `b`, over all keys; undefined where it sees none. */
interface Row {
  /** Offset of the query in q and o. */
  at: number;
  /** Its index in `[B, H, T]`. */
  index: number;
  /** Offset of key j. */
  key(j: number): number;
  seen: number[];
  /** Scores of the seen keys, capped. */
  scores: number[];
  probabilities: number[];
  logsumexp: number;
}

function product(a: ArrayLike<number>, at: number, b: ArrayLike<number>, bt: number, count: number): number {
  let sum = 0;
  for (let d = 0; d < count; d++) sum += (a[at + d] as number) * (b[bt + d] as number);
  return sum;
}

/** The spans of one row, and how many keys lie before those of its own tokens. */
export function spansOfRow(p: AttentionProblem, batch: number): { spans: readonly Span[]; past: number } {
  const { queries, keyStride } = p;
  const spans =
    p.spans?.slice(batch * queries, (batch + 1) * queries) ??
    Array.from({ length: queries }, (): Span => [0, keyStride]);
  return { spans, past: Math.max(...(spans.at(-1) as Span)) - queries };
}

function isSeen(p: AttentionProblem, batch: number, query: number, key: number): boolean {
  const { causal = true, window = 0 } = p;
  const { spans, past } = spansOfRow(p, batch);
  const [first, end] = spans[query] as Span;
  const own = past + query;
  return first <= key && key < end && !(causal && key > own) && !(window > 0 && key <= own - window);
}

function rowOf({ q, k }: AttentionInputs, p: AttentionProblem, b: number, h: number, i: number): Row {
  const kvHead = Math.floor((h * p.kvHeads) / p.heads);
  const at = ((b * p.queries + i) * p.heads + h) * p.headDim;
  const key = (j: number) => ((b * p.keyStride + j) * p.kvHeads + kvHead) * p.headDim;
  const seen = Array.from({ length: p.keyStride }, (_, j) => j).filter((j) => isSeen(p, b, i, j));
  const scores = seen.map((j) => {
    const s = p.scale * product(q, at, k, key(j), p.headDim);
    return p.softcap ? p.softcap * Math.tanh(s / p.softcap) : s;
  });
  const sink = p.sinks?.[h] ?? Number.NEGATIVE_INFINITY;
  const top = scores.reduce((a, s) => Math.max(a, s), sink);
  const sum = scores.reduce((a, s) => a + Math.exp(s - top), Math.exp(sink - top));
  const probabilities = scores.map((s) => Math.exp(s - top) / sum);
  const index = (b * p.heads + h) * p.queries + i;
  return { at, index, key, seen, scores, probabilities, logsumexp: top + Math.log(sum) };
}

function* rows(inputs: AttentionInputs, p: AttentionProblem): Generator<Row> {
  for (let b = 0; b < p.batch; b++)
    for (let h = 0; h < p.heads; h++) for (let i = 0; i < p.queries; i++) yield rowOf(inputs, p, b, h, i);
}

/** o = softmax(scale · q kᵀ + mask) v in f64, every score in memory. logsumexp is NaN for a query that sees no key. */
export function attentionReference(inputs: AttentionInputs, p: AttentionProblem) {
  const o = new Float64Array(inputs.q.length);
  const logsumexp = new Float64Array(p.batch * p.heads * p.queries).fill(Number.NaN);
  for (const row of rows(inputs, p)) {
    if (row.seen.length > 0) logsumexp[row.index] = row.logsumexp;
    row.seen.forEach((j, n) => {
      for (let d = 0; d < p.headDim; d++) {
        o[row.at + d]! += row.probabilities[n]! * (inputs.v[row.key(j) + d] as number);
      }
    });
  }
  return { o, logsumexp };
}

/**
 * Gradients in f64 by the chain rule through stored probabilities. It is itself checked against central differences
 * of the forward, at sizes where those are affordable, and judges the kernels at the others.
 */
export function attentionGradients(inputs: AttentionInputs, p: AttentionProblem, dO: ArrayLike<number>) {
  const { q, k, v } = inputs;
  const [dq, dk, dv] = [new Float64Array(q.length), new Float64Array(k.length), new Float64Array(v.length)];
  for (const { at, key, seen, scores, probabilities } of rows(inputs, p)) {
    const dP = seen.map((j) => product(dO, at, v, key(j), p.headDim));
    const mean = probabilities.reduce((sum, probability, n) => sum + probability * dP[n]!, 0);
    seen.forEach((j, n) => {
      const slope = p.softcap ? 1 - (scores[n]! / p.softcap) ** 2 : 1;
      const dS = probabilities[n]! * (dP[n]! - mean) * slope * p.scale;
      for (let d = 0; d < p.headDim; d++) {
        dq[at + d]! += dS * (k[key(j) + d] as number);
        dk[key(j) + d]! += dS * (q[at + d] as number);
        dv[key(j) + d]! += probabilities[n]! * (dO[at + d] as number);
      }
    });
  }
  return { dq, dk, dv };
}
