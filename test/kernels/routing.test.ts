import { describe, expect, test } from "vitest";
import { empty, fromArray } from "../../src/gpu/tensor.ts";
import { route, routeBackward, sortChoices } from "../../src/kernels/routing.ts";
import { createRandom } from "../../src/util/random.ts";
import { centralDifferencesOfRows, randomValues } from "../reference/gradient.ts";
import { type RoutingProblem, routingReference, sortReference } from "../reference/routing.ts";
import { floats, testDevice } from "../support/device.ts";

const cases = [
  { tokens: 1, experts: 1, chosen: 1 },
  { tokens: 3, experts: 4, chosen: 2, scale: 100 },
  { tokens: 127, experts: 5, chosen: 5 },
  { tokens: 70, experts: 123, chosen: 8 },
].flatMap((one) => (["chosen", "all"] as const).map((shares) => ({ scale: 1, ...one, shares })));

/** From −2 to 2, in a random order in each row: of two that are nearly equal a difference would choose now this, now that. */
function spacedLogits(tokens: number, experts: number, scale: number): Float64Array {
  const random = createRandom(experts);
  const rows = Array.from({ length: tokens }, () => {
    const keys = Array.from({ length: experts }, (_, e) => ({ key: random.uniform(), e }));
    return keys.sort((a, b) => a.key - b.key).map(({ e }) => Math.fround(scale * ((4 * e) / experts - 2)));
  });
  return Float64Array.from(rows.flat());
}

describe.each(cases)(
  "$chosen of $experts experts, $tokens tokens, shares of $shares",
  ({ scale, ...problem }) => {
    const { tokens, experts, chosen }: RoutingProblem = problem;
    const logits = spacedLogits(tokens, experts, scale);

    test("are chosen and weighed", async () => {
      const device = await testDevice();
      const got = route(floats(device, logits, [tokens, experts]), problem);
      const wanted = routingReference(logits, problem);
      expect(await got.experts.readBytes()).toEqual(new Uint8Array(wanted.choices.buffer));
      expect(await got.weights.read()).toBeClose(wanted.weights);
    });

    test("backward", async () => {
      const device = await testDevice();
      const given = floats(device, logits, [tokens, experts]);
      const dweights = randomValues(tokens * chosen, 2);
      const saved = { ...problem, logits: given, ...route(given, problem) };
      const got = await routeBackward(floats(device, dweights, [tokens, chosen]), saved).read();
      const ofOne = (row: Float64Array) => routingReference(row, { ...problem, tokens: 1 }).weights;
      const wanted = centralDifferencesOfRows(ofOne, logits, dweights, tokens);
      // With one expert, or all of equal shares, a gradient is nothing but the rounding of what should be 0.
      expect(got).toBeClose(wanted, wanted.some((x) => Math.abs(x) > 1e-3) ? 1e-4 : Number.POSITIVE_INFINITY);
    });
  },
);

test("of equal logits the first is chosen, and NaN chooses an expert that is there", async () => {
  const device = await testDevice();
  const logits = floats(device, [1, 2, 2, 2, Number.NaN, Number.NaN, Number.NaN, Number.NaN], [2, 4]);
  const { experts, weights } = route(logits, { chosen: 2, shares: "chosen" });
  const [a, b, ...spoilt] = new Uint32Array((await experts.readBytes()).slice().buffer);
  expect([a, b]).toEqual([1, 2]);
  expect(spoilt.every((expert) => expert < 4)).toBe(true);
  expect(Number.isFinite((await weights.read())[2])).toBe(false);
});

test.each([
  [1, 1],
  [3, 2],
  [127, 5],
  [5 * 123, 32],
  [1000, 3],
])("%i choices sorted by %i experts", async (count, experts) => {
  const device = await testDevice();
  const random = createRandom(count);
  // One expert is nobody's, and one is everybody's first.
  const choices = Uint32Array.from({ length: count }, (_, i) =>
    i % 3 === 0 ? 0 : Math.floor(random.uniform() * Math.max(1, experts - 1)),
  );
  const sorted = await sortChoices(fromArray(device, choices, [count]), experts).readBytes();
  expect(sorted).toEqual(new Uint8Array(sortReference(choices, experts).buffer));
});

test("routing names what does not fit", async () => {
  const device = await testDevice();
  const logits = empty(device, [3, 4]);
  expect(() => route(logits, { chosen: 5, shares: "all" })).toThrow(/5 experts of 4 a token/);
  expect(() => sortChoices(logits, 4)).toThrow(/experts is f32, expected u32/);
  const saved = {
    logits,
    chosen: 2,
    shares: "all" as const,
    weights: empty(device, [3, 2]),
    experts: logits,
  };
  expect(() => routeBackward(logits, saved)).toThrow(/dweights is \[3,4\], expected \[3,2\]/);
});
