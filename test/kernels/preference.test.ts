import { describe, expect, test } from "vitest";
import {
  judgedLosses,
  MEASURES,
  PAIR_LOSSES,
  type PairLossOptions,
  pairLosses,
} from "../../src/kernels/preference.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import {
  judgedLossesReference,
  type OnePairOptions,
  pairLossReference,
  sortedLossReference,
} from "../reference/preference.ts";
import { floats, testDevice } from "../support/device.ts";

const count = 67; // more than a workgroup
const tokens = Float64Array.from({ length: 2 * count }, (_, i) => 1 + ((i * 5) % 9));
const reference = randomValues(2 * count, 2, 5);
const logits = randomValues(2 * count, 3);
const ones = new Float64Array(count).fill(1);

/** Scores like log p: from near 0 to far below, where exponentials overflow. */
const summed = randomValues(2 * count, 1, 6).map((x, i) => (i % 7 === 0 ? 40 * x : x) - 12);
const means = randomValues(2 * count, 1, 1).map((x, i) => (i % 9 === 0 ? -1e-3 : -Math.abs(x) - 0.01));

const base = { weight: 1, smoothing: 0, shift: 0, tau: 0.05, center: 0, nll: 0 };
type OnePair = OnePairOptions & Pick<PairLossOptions, "weight" | "nll">;
const ofOnePair = PAIR_LOSSES.filter((loss) => loss !== "aot" && loss !== "aot_unpaired");
const cases: OnePair[] = [
  ...ofOnePair.map((loss) => ({ ...base, loss, beta: 0.3, smoothing: loss === "exo_pair" ? 0.1 : 0 })),
  { ...base, loss: "sigmoid", beta: 0.3, divergence: "forward_kl" },
  { ...base, loss: "ipo", beta: 0.3, divergence: "js_divergence" },
  { ...base, loss: "sigmoid_norm", beta: 0.3, divergence: "alpha_divergence", alpha: 0.3 },
  { ...base, loss: "sigmoid", beta: 2, smoothing: 0.1, shift: 0.5, weight: 0.25 },
  { ...base, loss: "robust", beta: 0.1, smoothing: 0.2 },
  { ...base, loss: "discopop", beta: 0.1, tau: 0.5 },
  { ...base, loss: "reward", beta: 1, center: 0.01 },
];

/** Pairs depend on their own two scores alone: a gradient of two numbers for each. */
function lossesOf(policy: Float64Array, given: ArrayLike<number>, options: OnePair) {
  const losses = new Float64Array(count);
  const gradient = new Float64Array(2 * count);
  for (let i = 0; i < count; i++) {
    const [j, n] = [count + i, [tokens[i]!, tokens[count + i]!] as const];
    const of = ([c = 0, r = 0]: ArrayLike<number> & Iterable<number>) => [
      options.weight * pairLossReference(c, r, [given[i]!, given[j]!], n, options),
    ];
    losses[i] = of([policy[i]!, policy[j]!])[0]!;
    const [dc = 0, dr = 0] = centralDifferences(of, [policy[i]!, policy[j]!], [1]);
    gradient[i] = dc;
    gradient[j] = dr;
  }
  return { losses, gradient };
}

async function upload(policy: ArrayLike<number>, given: ArrayLike<number>) {
  const device = await testDevice();
  const of = (values: ArrayLike<number>) => floats(device, values, [values.length]);
  return { policy: of(policy), reference: of(given), tokens: of(tokens), logits: of(logits) };
}

describe.each(cases)("pairs by $loss, beta $beta smoothing $smoothing $divergence", (options) => {
  const isSteep = options.loss === "discopop" || options.divergence !== undefined;
  const policy = options.loss === "orpo" ? means : isSteep ? summed.map((x) => x / 40) : summed;
  const given = options.loss === "orpo" ? new Float64Array(2 * count) : reference;

  test("loss and gradient", async () => {
    const { losses, gradient } = pairLosses(await upload(policy, given), options);
    const wanted = lossesOf(policy, given, options);
    expect(await losses.read()).toBeClose(wanted.losses);
    expect(await gradient.read()).toBeClose(wanted.gradient, 1e-4);
  });
});

test.each([
  { loss: "aot", beta: 0.3, smoothing: 0 },
  { loss: "aot_unpaired", beta: 0.1, smoothing: 0.2 },
] as const)("scores of a batch that are sorted: $loss", async (given) => {
  const { losses, gradient } = pairLosses(await upload(summed, reference), { ...base, ...given });
  const of = (policy: ArrayLike<number>) => [sortedLossReference(policy, reference, given)];
  const total = (await losses.read()).reduce((sum, loss) => sum + loss, 0);
  expect([total]).toBeClose(of(summed));
  expect(await gradient.read()).toBeClose(centralDifferences(of, summed, [1]), 1e-4);
});

test("several losses, and the chosen answers' own", async () => {
  const scores = await upload([...summed, 2.5], reference);
  const first = { ...base, loss: "sigmoid", beta: 0.3, weight: 0.8, nll: 0.5 } as const;
  const second = { ...base, loss: "ipo", beta: 0.3, weight: 0.2, nll: 0.5 } as const;
  const { losses, gradient } = pairLosses(scores, second, pairLosses(scores, first));
  const wanted = [lossesOf(summed, reference, first), lossesOf(summed, reference, second)];
  const sum = (name: "losses" | "gradient") => wanted[0]![name].map((x, i) => x + wanted[1]![name][i]!);
  expect(await losses.read()).toBeClose(sum("losses").map((x) => x + 0.5 * 2.5));
  expect(await gradient.read()).toBeClose([...sum("gradient"), 0.5 * count], 1e-4);
});

test("what is measured of pairs", async () => {
  const { measured } = pairLosses(await upload(summed, reference), { ...base, loss: "sigmoid", beta: 0.5 });
  const read = await measured.read();
  const column = (name: (typeof MEASURES)[number]) =>
    Float64Array.from(ones, (_, i) => read[i * MEASURES.length + MEASURES.indexOf(name)]!);
  const rewards = summed.map((x, i) => 0.5 * (x - reference[i]!));
  expect(column("rewardsChosen")).toBeClose(rewards.slice(0, count));
  expect(column("rewardsRejected")).toBeClose(rewards.slice(count));
  expect(column("hits")).toEqual(ones.map((_, i) => (rewards[i]! > rewards[count + i]! ? 1 : 0)));
  expect(column("logpsRejected")).toBeClose(summed.slice(count));
  expect(column("logitsChosen")).toBeClose(logits.slice(0, count));
  expect(column("tokensChosen")).toEqual(tokens.slice(0, count));
  expect(column("batches").reduce((a, b) => a + b)).toBe(1);
  expect(column("highest")[0]).toBeCloseTo(Math.max(...summed), 3);
  expect(column("lowest")[0]).toBeCloseTo(Math.min(...summed), 2);
});

describe.each([
  { name: "with the divergence", kl: randomValues(2 * count, 5, 3).map((x) => x + 1) },
  { name: "with a negative one, which counts as 0", kl: randomValues(2 * count, 5, 3).map((x) => x - 4) },
  { name: "without one", kl: undefined },
])("judged answers $name", ({ kl }) => {
  test("loss and gradient", async () => {
    const device = await testDevice();
    const isDesirable = Array.from(tokens, (_, i) => i % 3 !== 0);
    const signed = floats(
      device,
      tokens.map((n, i) => (isDesirable[i] ? n : -n)),
      [tokens.length],
    );
    const scores = { ...(await upload(summed, reference)), tokens: signed };
    const options = { beta: 0.2, desirable: 1.5, undesirable: 0.5 };
    const divergence = kl && floats(device, kl, [kl.length]);
    const { losses, gradient } = judgedLosses(scores, divergence, options);
    const of = (policy: ArrayLike<number>) =>
      judgedLossesReference(policy, reference, isDesirable, kl, options);
    expect(await losses.read()).toBeClose(of(summed));
    const all = new Float64Array(2 * count).fill(1);
    expect(await gradient.read()).toBeClose(centralDifferences(of, summed, all), 1e-4);
  });
});

test("scores that do not go with the answers are refused", async () => {
  const scores = await upload([1, 2], [1, 2]);
  expect(() => pairLosses(scores, { ...base, loss: "hinge", beta: 1 })).toThrow("scores for 134 answers");
});
