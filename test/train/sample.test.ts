import { describe, expect, test } from "vitest";
import { candidatesOf, sampleToken } from "../../src/train/draw.ts";
import { SAMPLING_RULES, type SamplingOptions } from "../../src/train/sample.ts";
import { checkOptions } from "../../src/util/options.ts";
import { createRandom } from "../../src/util/random.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

// Probabilities 0.5, 0.25, 0.15, 0.1 at temperature 1.
const probabilities = [0.1, 0.5, 0.15, 0.25];
const logits = Float32Array.from(probabilities, Math.log);

/** Share of each token in many draws. */
function shares(options: SamplingOptions, history: number[] = [], draws = 4000): number[] {
  const random = createRandom(1);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < draws; i++) counts[sampleToken(logits, options, history, random)]!++;
  return counts.map((count) => count / draws);
}

/** Four standard deviations of a share of 4000 draws are at most 0.032. */
const expectShares = (got: number[], want: number[]) => {
  for (const [i, share] of got.entries()) expect(Math.abs(share - want[i]!)).toBeLessThan(0.032);
};

describe("sampleToken", () => {
  test("greedy takes the most likely, of equal ones the first", () => {
    expect(sampleToken(logits, {}, [], createRandom(0))).toBe(1);
    expect(sampleToken(Float32Array.of(2, 5, 5), {}, [], createRandom(0))).toBe(1);
  });

  test("temperature 1 draws by the probabilities, a lower one sharpens them", () => {
    expectShares(shares({ temperature: 1 }), probabilities);
    const squares = probabilities.map((p) => p * p);
    const sum = squares.reduce((a, b) => a + b);
    expectShares(
      shares({ temperature: 0.5 }),
      squares.map((p) => p / sum),
    );
  });

  test("top-k, top-p and min-p leave out the unlikely", () => {
    expectShares(shares({ temperature: 1, topK: 2 }), [0, 2 / 3, 0, 1 / 3]);
    expectShares(shares({ temperature: 1, topP: 0.6 }), [0, 2 / 3, 0, 1 / 3]);
    expectShares(shares({ temperature: 1, topP: 0.5 }), [0, 1, 0, 0]);
    expectShares(shares({ temperature: 1, minP: 0.28 }), [0, 0.5 / 0.9, 0.15 / 0.9, 0.25 / 0.9]);
    expectShares(shares({ temperature: 1, topK: 1, topP: 0.01 }), [0, 1, 0, 0]);
  });

  test("the repetition penalty divides positive and multiplies negative logits of what occurred", () => {
    const penalized = Float32Array.of(2, 1.5, -1, -1.2);
    expect(sampleToken(penalized, { repetitionPenalty: 2 }, [0], createRandom(0))).toBe(1);
    const negative = Float32Array.of(-1, -1.5);
    expect(sampleToken(negative, { repetitionPenalty: 2 }, [0, 0], createRandom(0))).toBe(1);
  });

  test("the same seed draws the same", () => {
    const draw = (seed: number) => {
      const random = createRandom(seed);
      return Array.from({ length: 20 }, () => sampleToken(logits, { temperature: 1 }, [], random));
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });

  test("options outside their range are all reported", () => {
    const bad = { temperature: -1, topK: 1.5, topP: 0, minP: 2, repetitionPenalty: 0 };
    expect(() => checkOptions("generate", bad, SAMPLING_RULES)).toThrow(/5 problems/);
  });
});

interface SamplingGolden {
  logits: number[];
  history: number[];
  cases: { options: Record<string, number>; probabilities: number[] }[];
}

// Oracle: the processors of transformers' generate (test/fixtures/make_small.py).
const golden = readJsonFile<SamplingGolden>(fixturePath("."), "sampling.json");
test.each(golden.cases)("probabilities with $options are transformers'", ({ options, probabilities }) => {
  const { temperature, top_k, top_p, min_p, repetition_penalty } = options;
  const given = { temperature, topK: top_k, topP: top_p, minP: min_p, repetitionPenalty: repetition_penalty };
  const known = Object.entries(given).filter(([, value]) => value !== undefined);
  const candidates = candidatesOf(
    Float32Array.from(golden.logits),
    Object.fromEntries(known) as SamplingOptions,
    golden.history,
  );
  const total = candidates.reduce((sum, { weight }) => sum + weight, 0);
  const got = golden.logits.map(() => 0);
  for (const { id, weight } of candidates) got[id] = weight / total;
  expect(got.map((p) => p > 0)).toEqual(probabilities.map((p) => p > 0));
  for (const [id, p] of got.entries()) expect(p).toBeCloseTo(probabilities[id]!, 6);
});

const { NaN: nan, POSITIVE_INFINITY: inf, NEGATIVE_INFINITY: minus } = Number;
test.each([0, 1])("scores that are no numbers are refused at temperature %d", (temperature) => {
  const choose = (...scores: number[]) =>
    sampleToken(Float32Array.from(scores), { temperature, repetitionPenalty: 2 }, [2], createRandom(0));
  for (const scores of [
    [1, nan, 2],
    [nan, 1, 2],
    [1, 2, nan],
    [1, inf, 2],
    [minus, minus, minus],
  ]) {
    expect(() => choose(...scores)).toThrow(/NaN or infinite[\s\S]*damaged/);
  }
  expect(choose(minus, 50, minus)).toBe(1); // −∞ alone only rules a token out
});
