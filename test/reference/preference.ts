import type { PairLossOptions } from "../../src/kernels/preference.ts";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const logSigmoid = (x: number) => (x >= 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x)));

/** The loss of one pair in f64, as the papers and TRL have it. */
export function pairLossReference(
  chosen: number,
  rejected: number,
  reference: readonly [number, number],
  tokens: readonly [number, number],
  { loss, beta, smoothing: e, shift, tau, center }: Omit<PairLossOptions, "weight" | "nll">,
): number {
  const [c, r] = [chosen - reference[0], rejected - reference[1]];
  const z = beta * (c - r);
  const smoothed = (x: number) => -(1 - e) * logSigmoid(x) - e * logSigmoid(-x);
  switch (loss) {
    case "sigmoid":
      return smoothed(z - shift);
    case "hinge":
      return Math.max(0, 1 - z);
    case "ipo":
      return (c / tokens[0] - r / tokens[1] - 1 / (2 * beta)) ** 2;
    case "robust":
      return (-(1 - e) * logSigmoid(z) + e * logSigmoid(-z)) / (1 - 2 * e);
    case "exo_pair":
      return sigmoid(z) * (logSigmoid(z) - Math.log(1 - e)) + sigmoid(-z) * (logSigmoid(-z) - Math.log(e));
    case "nca_pair":
      return -logSigmoid(beta * c) - 0.5 * logSigmoid(-beta * c) - 0.5 * logSigmoid(-beta * r);
    case "bco_pair":
      return -logSigmoid(beta * c) - logSigmoid(-beta * r);
    case "sppo_hard":
      return (c - 0.5 / beta) ** 2 + (r + 0.5 / beta) ** 2;
    case "apo_zero":
      return 1 - sigmoid(beta * c) + sigmoid(beta * r);
    case "apo_down":
      return sigmoid(beta * c) + 1 - sigmoid(z);
    case "discopop": {
      const mix = sigmoid(z / tau);
      return -logSigmoid(z) * (1 - mix) + Math.exp(-z) * mix;
    }
    case "sigmoid_norm":
      return smoothed(beta * (c / tokens[0] - r / tokens[1]));
    case "orpo": {
      const logOdds = (x: number) => x - Math.log(-Math.expm1(x));
      return -beta * logSigmoid(logOdds(c) - logOdds(r));
    }
    case "reward":
      return -logSigmoid(c - r) + center * (chosen + rejected) ** 2;
    case "none":
      return 0;
  }
}

/** The losses of judged answers in f64: KTO with the batch's divergence. */
export function judgedLossesReference(
  policy: ArrayLike<number>,
  reference: ArrayLike<number>,
  isDesirable: readonly boolean[],
  kl: ArrayLike<number> | undefined,
  { beta, desirable, undesirable }: { beta: number; desirable: number; undesirable: number },
): Float64Array {
  const mean = kl ? Array.from(kl).reduce((a, b) => a + b, 0) / kl.length : 0;
  return Float64Array.from(isDesirable, (wanted, i) => {
    const over = (policy[i] as number) - (reference[i] as number) - Math.max(0, mean);
    return wanted ? desirable * (1 - sigmoid(beta * over)) : undesirable * (1 - sigmoid(-beta * over));
  });
}
