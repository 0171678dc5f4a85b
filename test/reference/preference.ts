import type { PairLoss, PairLossOptions } from "../../src/kernels/preference.ts";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const logSigmoid = (x: number) => (x >= 0 ? -Math.log1p(Math.exp(-x)) : x - Math.log1p(Math.exp(x)));

type Divergent = Pick<PairLossOptions, "divergence" | "alpha">;

/** f'(t) at t = exp(x), f-DPO's score. */
function scoreOf(x: number, { divergence, alpha = 0.5 }: Divergent): number {
  if (divergence === "forward_kl") return 1 - Math.exp(-x);
  if (divergence === "js_divergence") return Math.log(2) + logSigmoid(x);
  return divergence === "alpha_divergence" ? (Math.exp((alpha - 1) * x) - 1) / (alpha - 1) : x;
}

/** A loss that depends on its pair alone, and how it is computed. */
export type OnePairOptions = Omit<PairLossOptions, "weight" | "nll" | "loss"> & {
  readonly loss: Exclude<PairLoss, "aot" | "aot_unpaired">;
};

/** The loss of one pair in f64, as the papers and TRL have it. */
export function pairLossReference(
  chosen: number,
  rejected: number,
  reference: readonly [number, number],
  tokens: readonly [number, number],
  { loss, beta, smoothing: e, shift, tau, center, ...divergent }: OnePairOptions,
): number {
  const [c, r] = [scoreOf(chosen - reference[0], divergent), scoreOf(rejected - reference[1], divergent)];
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

/** The sum of the losses of sorted scores in f64: AOT, as TRL has it. */
export function sortedLossReference(
  policy: ArrayLike<number>,
  given: ArrayLike<number>,
  { loss, beta, smoothing: e }: Pick<PairLossOptions, "loss" | "beta" | "smoothing">,
): number {
  const [p, g] = [Array.from(policy), Array.from(given)];
  const count = p.length / 2;
  const differences = (of: readonly number[]) =>
    of.slice(0, count).map((chosen, i) => chosen - (of[count + i] as number));
  const ratios = p.map((x, i) => x - (g[i] as number));
  const [high, low] =
    loss === "aot" ? [differences(p), differences(g)] : [ratios.slice(0, count), ratios.slice(count)];
  const [above, below] = [high.sort((a, b) => a - b), low.sort((a, b) => a - b)];
  const losses = above.map((x, i) => {
    const z = beta * (x - (below[i] as number));
    return -(1 - e) * logSigmoid(z) - e * logSigmoid(-z);
  });
  return losses.reduce((a, b) => a + b, 0);
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
