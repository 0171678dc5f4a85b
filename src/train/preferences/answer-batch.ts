import { type Batch, collateRows } from "../../data/batch.ts";
import { IGNORE_INDEX, type Sequence } from "../../data/sequence.ts";

/** Answers behind their prompts, side by side, and the sums that are made of their tokens' −log p. */
export interface AnswerBatch extends Batch {
  /** How many answers there are. */
  readonly answers: number;
  /** First and end of each sum's tokens among the labelled ones, `[S, 2]`: the answers, and where it is asked for all of the first ones. */
  readonly ranges: Uint32Array;
  /** Of each sum, `[S]`. */
  readonly factors: Float32Array;
  /** Tokens of each answer; 1 where its score is a mean over them. */
  readonly answerTokens: Float32Array;
  /** How much each labelled token counts; all alike where it is absent. */
  readonly tokenWeights?: Float32Array;
}

/** How answers become a batch. */
export interface AnswerOptions {
  /** An answer's score is the mean of its tokens' log p, not the sum. */
  readonly isMean?: boolean;
  /** Puts all answers into one row, so that nothing but its end is padded. */
  readonly paddingFree?: boolean;
  /** Behind the answers' sums comes the mean −log p over so many of the first ones. */
  readonly learnt?: number;
  /** That mean is over their prompts, too. */
  readonly learnsPrompts?: boolean;
  /** Of pairs, how much tokens of an answer count that are beyond the other's length; without `learnt`. */
  readonly tailWeight?: number;
}

/** Puts answers side by side; the labels of each are those of the answer, up to its end. */
export function collateAnswers(
  sequences: readonly Sequence[],
  { isMean = false, paddingFree = false, learnt = 0, learnsPrompts = false, tailWeight }: AnswerOptions = {},
): AnswerBatch {
  const wholes = learnsPrompts ? learnt : 0;
  const labelled = sequences.map((sequence, i) => (i < wholes ? wholly(sequence) : sequence));
  const batch = collateRows(paddingFree ? [labelled] : labelled.map((sequence) => [sequence]), "next");
  const counts = sequences.map(answerTokens);
  const ranges = new Uint32Array(2 * (sequences.length + (learnt > 0 ? 1 : 0)));
  let end = 0;
  let learntEnd = 0;
  for (const [i, sequence] of labelled.entries()) {
    end += answerTokens(sequence);
    ranges.set([end - (counts[i] as number), end], 2 * i);
    if (i < learnt) learntEnd = end;
  }
  if (learnt > 0) ranges.set([0, learntEnd], 2 * sequences.length);
  const factors = counts.map((count) => (isMean ? -1 / Math.max(1, count) : -1));
  return {
    ...batch,
    answers: sequences.length,
    ranges,
    factors: Float32Array.from(learnt > 0 ? [...factors, 1 / Math.max(1, learntEnd)] : factors),
    answerTokens: Float32Array.from(counts, (count) => (isMean ? 1 : count)),
    ...(tailWeight !== undefined && { tokenWeights: tailWeights(counts, tailWeight) }),
  };
}

/** The weights of the tokens of pairs, chosen answers before rejected ones: beyond the length that both have it is another. */
function tailWeights(counts: readonly number[], tailWeight: number): Float32Array {
  const pairs = counts.length / 2;
  return Float32Array.from(
    counts.flatMap((count, i) => {
      const other = counts[(i + pairs) % counts.length] as number;
      return Array.from({ length: count }, (_, at) => (at < other ? 1 : tailWeight));
    }),
  );
}

/** Tokens of an answer that are predicted: nothing predicts the first of a sequence. */
export function answerTokens({ labels }: Sequence): number {
  return labels.reduce((sum, label, i) => sum + (i > 0 && label !== IGNORE_INDEX ? 1 : 0), 0);
}

/** A sequence of which all is learnt. */
function wholly({ inputIds }: Sequence): Sequence {
  return { inputIds, labels: inputIds.map((id, i) => (i === 0 ? IGNORE_INDEX : id)) };
}

/** Where the answer of a sequence begins. */
export function answerStart({ labels }: Sequence): number {
  const start = labels.findIndex((label, i) => i > 0 && label !== IGNORE_INDEX);
  return start < 0 ? labels.length : start;
}

/** What is wrong with the labels of an answer; undefined where they are one stretch up to the end. */
export function answerProblem(sequence: Sequence, name: string): string | undefined {
  const count = answerTokens(sequence);
  if (count === 0) return `has no label in ${name}, so that there is no answer`;
  if (count === sequence.labels.length - answerStart(sequence)) return undefined;
  return `has labels in ${name} that do not go on to its end, wanted those of an answer behind its prompt`;
}
