import { expect, test } from "vitest";
import { clampFactors } from "../../../src/adapters/combine/clamp.ts";
import { type CombinationType, combineLayer } from "../../../src/adapters/combine/combine.ts";
import type { MajoritySign } from "../../../src/adapters/combine/elementwise.ts";
import {
  concatenated,
  denseChange,
  type LowRank,
  type Part,
} from "../../../src/adapters/combine/low-rank.ts";
import { createRandom } from "../../../src/util/random.ts";
import { firstMismatches, relativeNormError } from "../../support/compare.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";

interface Factors {
  A: number[];
  B: number[];
  r: number;
}
interface Case {
  combination_type: CombinationType;
  adapters: string[];
  weights: number[];
  density?: number;
  svd_rank?: number;
  majority_sign_method?: MajoritySign;
  result: Record<string, Partial<Factors> & { delta?: number[]; r: number }>;
}
const { adapters, cases, clamp } = readJsonFile<{
  adapters: Record<string, Record<string, Factors & { scale: number }>>;
  cases: Case[];
  clamp: Record<string, Factors>;
}>(fixturePath("."), "combinations.json");

function lowRank({ A, B, r, scale = 1 }: Factors & { scale?: number }): LowRank {
  const [a, b] = [Float32Array.from(A), Float32Array.from(B)];
  return { A: a, B: b, r, scale, inFeatures: A.length / r, outFeatures: B.length / r };
}

/** Of each call which elements make_combinations.py keeps. */
function drawer(density = 1) {
  let calls = 0;
  return (length: number) => {
    const n = calls++;
    return Uint8Array.from({ length }, (_, i) => Number((7919 * i + 104729 * n) % 1000 < 1000 * density));
  };
}

const describeCase = ({ combination_type, weights, density, svd_rank, majority_sign_method }: Case) =>
  [combination_type, weights, density, svd_rank, majority_sign_method]
    .filter((x) => x !== undefined)
    .join(" ");

test.each(cases.map((one) => [describeCase(one), one] as const))("PEFT's %s", (_, one) => {
  const draw = drawer(one.density);
  for (const [layer, wanted] of Object.entries(one.result)) {
    const parts = one.adapters.flatMap((name, i): Part[] => {
      const factors = adapters[name]?.[layer];
      return factors ? [{ change: lowRank(factors), weight: one.weights[i]! }] : [];
    });
    const { change } = combineLayer(parts, {
      type: one.combination_type,
      rank: one.svd_rank,
      density: one.density,
      majoritySign: one.majority_sign_method,
      random: createRandom(0),
      draw,
    });
    expect(change.scale).toBe(1);
    if (wanted.delta) {
      expect(firstMismatches(denseChange(change), wanted.delta, 1e-5)).toMatchObject({ pass: true });
    } else if (one.combination_type === "cat") {
      // PEFT fills up with zeros where a layer is not in all adapters.
      expect(change.r).toBeLessThanOrEqual(wanted.r);
      const whole = lowRank(wanted as Factors);
      expect(relativeNormError(denseChange(change), denseChange(whole))).toBeLessThan(1e-6);
      expect(firstMismatches(change.A, wanted.A!.slice(0, change.A.length), 1e-6)).toMatchObject({
        pass: true,
      });
    } else {
      for (const name of ["A", "B"] as const)
        expect(firstMismatches(change[name], wanted[name]!, 1e-6)).toMatchObject({ pass: true });
    }
  }
});

test.each(["after", "negative"])("PEFT's svd_clamp (%s), given its singular vectors", (name) => {
  const got = clampFactors(lowRank(clamp.before!), name === "after" ? 0.9 : 0.2);
  for (const part of ["A", "B"] as const)
    expect(firstMismatches(got[part], clamp[name]![part], 1e-6)).toMatchObject({ pass: true });
});

function randomChange(inFeatures: number, outFeatures: number, r: number, seed: number): LowRank {
  const random = createRandom(seed);
  const draw = (length: number) => Float32Array.from({ length }, () => random.normal());
  return { inFeatures, outFeatures, r, scale: 0.5 + seed, A: draw(r * inFeatures), B: draw(outFeatures * r) };
}

const PARTS: Part[] = [
  { change: randomChange(20, 12, 3, 1), weight: 1 },
  { change: randomChange(20, 12, 2, 2), weight: -0.8 },
];

function sumOf(parts: readonly Part[]): Float64Array {
  const sum = new Float64Array(parts[0]!.change.inFeatures * parts[0]!.change.outFeatures);
  for (const { change, weight } of parts)
    for (const [i, value] of denseChange(change).entries()) sum[i]! += weight * value;
  return sum;
}

test("ranks one after the other give the weighted sum, also where something is subtracted", () => {
  expect(relativeNormError(denseChange(concatenated(PARTS)), sumOf(PARTS))).toBeLessThan(1e-6);
  const none = concatenated([PARTS[0]!, { ...PARTS[0]!, weight: -1 }]);
  expect(Math.max(...denseChange(none).map(Math.abs))).toBeLessThan(1e-5);
});

test.each(["svd", "linear"] as const)("the error that is told is the error: %s", (type) => {
  const parts =
    type === "svd" ? PARTS : PARTS.map((part, i) => ({ ...part, change: randomChange(20, 12, 3, i) }));
  const { change, error } = combineLayer(parts, { type, rank: 2, random: createRandom(0) });
  expect(error).toBeCloseTo(relativeNormError(denseChange(change), sumOf(parts)), 5);
  expect(error).toBeGreaterThan(0.05);
});

test("a share of the squared norm gives the smallest rank that keeps it", () => {
  const errors = [1, 2, 3, 4, 5].map(
    (rank) => combineLayer(PARTS, { type: "svd", rank, random: createRandom(0) }).error!,
  );
  for (const share of [0.3, 0.8, 0.999]) {
    const { change, error } = combineLayer(PARTS, { type: "svd", rank: share, random: createRandom(0) });
    expect(1 - error! ** 2).toBeGreaterThanOrEqual(share);
    if (change.r > 1) expect(1 - errors[change.r - 2]! ** 2).toBeLessThan(share);
  }
  expect(errors[4]).toBeLessThan(1e-6);
});

test("DARE keeps what is wanted of the values on average, and is the same for one seed", () => {
  const parts = [{ change: randomChange(200, 100, 4, 1), weight: 1 }];
  const combined = (seed: number) =>
    combineLayer(parts, { type: "dare_linear", density: 0.3, random: createRandom(seed) }).change.A;
  const first = combined(1);
  expect([...combined(1)]).toEqual([...first]);
  expect([...combined(2)]).not.toEqual([...first]);
  const kept = first.filter((value) => value !== 0).length / first.length;
  expect(Math.abs(kept - 0.3)).toBeLessThan(0.06); // four standard deviations
});
