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
  past?: number | undefined;
  keys?: number | undefined;
  window?: number | undefined;
  softcap?: number | undefined;
  lengths?: readonly number[] | undefined;
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

function isSeen(p: AttentionProblem, batch: number, query: number, key: number): boolean {
  const { keys = p.keyStride, past = keys - p.queries, causal = true, window = 0 } = p;
  const length = p.lengths?.[batch] ?? Number.POSITIVE_INFINITY;
  const position = past + query;
  if (position >= length || key >= length || key >= keys) return false;
  return !(causal && key > position) && !(window > 0 && key <= position - window);
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
  const top = scores.reduce((a, s) => Math.max(a, s), Number.NEGATIVE_INFINITY);
  const sum = scores.reduce((a, s) => a + Math.exp(s - top), 0);
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
