import { fillDocuments, type PaddingOptions, packRows, packTokens, type TokenBatch } from "./batch.ts";
import { IGNORE_INDEX, type LabelledTokens } from "./sequence.ts";

/** Some sequences side by side: a label for each token. */
export interface LabelBatch extends TokenBatch {
  /** `[batchSize, length]`; {@link IGNORE_INDEX} where there is none. */
  readonly labels: Int32Array;
  /** Tokens with a label. */
  readonly terms: number;
}

/** Rows of one document each, padded to one length. */
export function padRows(rows: readonly (readonly number[])[], options: PaddingOptions = {}): TokenBatch {
  return packRows(
    rows.map((row) => [row]),
    options,
  );
}

/** Sequences as one batch whose tokens each have a label, or none. */
export function collateLabels(
  rows: readonly (readonly LabelledTokens[])[],
  options?: PaddingOptions,
): LabelBatch {
  const batch = packTokens(rows, options);
  const unlabelled = new Int32Array(batch.inputIds.length).fill(IGNORE_INDEX);
  const given = rows.flat().map(({ labels }) => labels);
  const labels = fillDocuments(unlabelled, batch, given);
  const terms = labels.reduce((sum, label) => sum + (label === IGNORE_INDEX ? 0 : 1), 0);
  return { ...batch, labels, terms };
}
