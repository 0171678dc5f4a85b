/** The label of a position that gives no loss, as in PyTorch and Hugging Face. */
export const IGNORE_INDEX = -100;

/** Tokens with a label each: of position i itself, or {@link IGNORE_INDEX}. For masked texts and classified tokens. */
export interface LabelledTokens {
  readonly inputIds: readonly number[];
  readonly labels: readonly number[];
}

/**
 * Tokens that are predicted from those before them. `labels[i]` is `inputIds[i]` where it is to be predicted (from
 * position i − 1) and {@link IGNORE_INDEX} elsewhere. Nothing predicts the first token: `labels[0]` is ignored.
 */
export type Sequence = LabelledTokens;

/** Tokens of a sequence that give a loss. Masking goes by position: an EOS that is also the padding token is a label like any other. */
export function labelTokens({ labels }: LabelledTokens): number {
  return labels.reduce((sum, label) => sum + (label === IGNORE_INDEX ? 0 : 1), 0);
}

/** A sequence in parts of at most `length` tokens, without such as have nothing to learn. */
export function windowsOf({ inputIds, labels }: Sequence, length: number): Sequence[] {
  const starts = Array.from({ length: Math.ceil(inputIds.length / length) }, (_, i) => i * length);
  const windows = starts.map((start) => ({
    inputIds: inputIds.slice(start, start + length),
    labels: [IGNORE_INDEX, ...labels.slice(start + 1, start + length)], // nothing predicts the first token
  }));
  return windows.filter((window) => labelTokens(window) > 0);
}
