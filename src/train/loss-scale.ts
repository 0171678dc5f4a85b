/**
 * What the gradients of a step are multiplied by before they are rounded to f16, whose smallest number is 6e-8 and whose largest
 * 65 504. Micikevicius et al. 2018, arXiv 1710.03740, §3.2; the policy is that of PyTorch's GradScaler, but for one thing: a
 * step whose gradients overflow is computed again with half the scale, so that no row is lost.
 */
export interface LossScale {
  /** A power of two: multiplying with it rounds nothing. */
  readonly scale: number;
  /** Updates since it was changed. */
  readonly updates: number;
}

/** Gradients are those of a sum over a step's tokens, which is some hundred times their mean: GradScaler begins with 65536. */
export const FIRST_SCALE: LossScale = { scale: 1024, updates: 0 };

/** Updates after which a larger scale is tried. */
const PATIENCE = 2000;
/** Below this it is not the scale: gradients of f16's largest number are beyond what a step can use. */
const SMALLEST = 2 ** -14;
const LARGEST = 2 ** 24;

/** The scale of the step after one that has changed the parameters. */
export function afterUpdate({ scale, updates }: LossScale): LossScale {
  if (updates + 1 < PATIENCE) return { scale, updates: updates + 1 };
  return { scale: Math.min(2 * scale, LARGEST), updates: 0 };
}

/** The scale with which a step is tried again whose gradients are not finite, though its loss is; undefined where that is no use. */
export function afterOverflow({ scale }: LossScale): LossScale | undefined {
  return scale > SMALLEST ? { scale: scale / 2, updates: 0 } : undefined;
}
