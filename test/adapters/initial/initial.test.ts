import { expect, test } from "vitest";
import { denseChange } from "../../../src/adapters/combine/low-rank.ts";
import { type Beginning, withoutChange } from "../../../src/adapters/lora/initial/beginning.ts";
import { loftq, loftqRounding } from "../../../src/adapters/lora/initial/loftq.ts";
import { orthogonal, randomOrthogonal } from "../../../src/adapters/lora/initial/orthogonal.ts";
import { onWholeWeight } from "../../../src/adapters/lora/initial/plain.ts";
import { olora, pissa, quickPissa } from "../../../src/adapters/lora/initial/principal.ts";
import { throughInt8, throughNf4 } from "../../../src/adapters/lora/initial/rounded.ts";
import { fromRows } from "../../../src/util/linalg/matrix.ts";
import { createRandom, type Random } from "../../../src/util/random.ts";
import { firstMismatches, relativeNormError } from "../../support/compare.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";

interface Begun {
  A: number[];
  B: number[];
  base: number[];
}
interface Drawn {
  shape: [number, number];
  data: number[];
}
const golden = readJsonFile<{
  in: number;
  out: number;
  r: number;
  scale: number;
  weight: number[];
  cases: Record<string, Begun & { randn: Drawn[] }>;
  loftq: (Begun & { bits: 4 | 8; iterations: number })[];
}>(fixturePath("."), "initial.json");
const { r, scale } = golden;
const weight = { rows: golden.out, cols: golden.in, values: Float32Array.from(golden.weight) };

const change = (A: ArrayLike<number>, B: ArrayLike<number>, factor: number) =>
  denseChange({
    inFeatures: golden.in,
    outFeatures: golden.out,
    r: A.length / golden.in,
    A: Float32Array.from(A),
    B: Float32Array.from(B),
    scale: factor,
  });

/** Compares products, for signs of singular vectors are nobody's choice; and the lengths of their rows and columns. */
function expectLike(
  got: Pick<Beginning, "A" | "B"> & { base?: Float32Array },
  want: Begun,
  factor: number,
  tolerance = 1e-5,
) {
  expect(
    firstMismatches(change(got.A, got.B, factor), change(want.A, want.B, factor), tolerance),
  ).toMatchObject({
    pass: true,
  });
  expect(firstMismatches(got.A.map(Math.abs), want.A.map(Math.abs), 10 * tolerance)).toMatchObject({
    pass: true,
  });
  expect(firstMismatches(got.B.map(Math.abs), want.B.map(Math.abs), 10 * tolerance)).toMatchObject({
    pass: true,
  });
  if (got.base) expect(firstMismatches(got.base, want.base, 1e-5)).toMatchObject({ pass: true });
}

/** A generator whose normal numbers are these, column after column of matrices that PEFT drew. */
function replay(drawn: readonly Drawn[]): Random {
  const values = drawn.flatMap(({ shape: [rows, cols], data }) => [...fromRows(data, rows, cols).data]);
  let at = 0;
  return { ...createRandom(0), normal: () => values[at++] ?? Number.NaN };
}

test("PEFT's pissa", () => {
  expectLike(pissa(weight, r, scale, createRandom(0)), golden.cases.pissa!, scale);
});

test.each([2, 8])("PEFT's pissa_niter_%i, given its random matrix", (iterations) => {
  const want = golden.cases[`pissa_niter_${iterations}`]!;
  // Of those that were drawn the last is the decomposition's: LoRA draws its own before.
  const got = quickPissa(weight, r, scale, iterations, replay(want.randn.slice(-1)));
  expectLike(got, want, scale);
});

test("more passes come closer to pissa", () => {
  const exact = change(golden.cases.pissa!.A, golden.cases.pissa!.B, scale);
  const errors = [0, 4, 40].map((n) => {
    const { A, B } = quickPissa(weight, r, scale, n, createRandom(1));
    return relativeNormError(change(A, B, scale), exact);
  });
  expect(errors[0]! > errors[1]! && errors[1]! > errors[2]! && errors[2]! < 1e-3).toBe(true);
});

test("PEFT's olora, with its signs", () => {
  const [got, want] = [olora(weight, r, scale), golden.cases.olora!];
  expectLike(got, want, scale);
  expect(firstMismatches(got.A, want.A, 1e-5)).toMatchObject({ pass: true });
});

test("PEFT's orthogonal, given its random matrices", () => {
  const { randn, ...want } = golden.cases.orthogonal!;
  const drawn = [...randn];
  const draw = () => {
    const { shape, data } = drawn.shift()!;
    return fromRows(data, ...shape);
  };
  const got = orthogonal({ inFeatures: golden.in, outFeatures: golden.out }, r, draw);
  expect(firstMismatches(got.A, want.A, 1e-5)).toMatchObject({ pass: true });
  expect(firstMismatches(got.B, want.B, 1e-5)).toMatchObject({ pass: true });
  expect(Math.max(...change(got.A, got.B, scale).map(Math.abs))).toBeLessThan(1e-7);
  expect([...want.base]).toEqual(golden.weight);
});

test.each(golden.loftq.map((one) => [`${one.bits} bits, ${one.iterations} times`, one] as const))(
  "PEFT's loftq: %s",
  async (_, want) => {
    // What 8 bits leave is a hundredth of the weight, and f32 rounds that.
    const tolerance = want.bits === 8 ? 1e-4 : 1e-5;
    const options = { ...want, round: loftqRounding(want, weight.cols) };
    expectLike(await loftq(weight, r, 1, options, createRandom(0)), want, 1, tolerance);
  },
);

test("loftq at another scale computes the same as at 1, and comes nearer to the weight than rounding alone", async () => {
  const options = { iterations: 3, round: throughNf4 };
  const begin = (factor: number) => loftq(weight, r, factor, options, createRandom(0));
  const [one, two] = [await begin(1), await begin(2.5)];
  expect(relativeNormError(change(two!.A, two!.B, 2.5), change(one!.A, one!.B, 1))).toBeLessThan(1e-5);
  const near = one!.base.map((value, i) => value + change(one!.A, one!.B, 1)[i]!);
  const rounded = relativeNormError(throughNf4(weight.values), weight.values);
  expect(relativeNormError(near, weight.values)).toBeLessThan(0.7 * rounded);
});

test.each([
  ["pissa", (random: Random) => pissa(weight, r, scale, random)],
  ["pissa_niter_1", (random: Random) => quickPissa(weight, r, scale, 1, random)],
  ["olora", () => olora(weight, r, scale)],
])("%s begins at the weight, and the trained branch goes onto the whole weight", (_, begin) => {
  const { A, B, base } = begin(createRandom(3));
  const sum = (low: Float32Array, rest: Float32Array) => rest.map((value, i) => value + low[i]!);
  expect(relativeNormError(sum(change(A, B, scale), base), weight.values)).toBeLessThan(1e-6);
  const trained = { A: A.map((x) => 1.1 * x), B: B.map((x, i) => x + 0.01 * i) };
  const shape = { inFeatures: golden.in, outFeatures: golden.out, r, scale };
  const plain = onWholeWeight({ ...shape, ...trained }, { A, B });
  expect(plain.r).toBe(2 * r);
  const want = sum(change(trained.A, trained.B, scale), base);
  expect(relativeNormError(sum(denseChange(plain), weight.values), want)).toBeLessThan(1e-6);
});

test("what can't begin so is refused", () => {
  expect(() => pissa(weight, 11, scale, createRandom(0))).toThrow(
    /r is 11, and the layer is 10 → 12[\s\S]*at most 10/,
  );
  expect(() => randomOrthogonal({ inFeatures: 4, outFeatures: 4 }, 3, createRandom(0))).toThrow(
    /take an even r/,
  );
});

test("rounded values are those of the format, and zeros stay", () => {
  expect([...throughNf4(Float32Array.of(-2, 0, 2, 1.5))].map((x) => +x.toFixed(4))).toEqual([
    -2, 0, 2, 1.4459,
  ]);
  expect([...throughNf4(new Float32Array(70))].every((x) => x === 0)).toBe(true);
  expect([...throughInt8(Float32Array.of(127, 1.4, 0, 0), 2)]).toEqual([127, 1, 0, 0]);
});

test("the residual is what is left", () => {
  const A = Float32Array.from({ length: golden.in }, (_, i) => i);
  const B = new Float32Array(golden.out).fill(1);
  const rest = withoutChange(weight, { A, B }, 2);
  expect(rest[golden.in + 3]).toBeCloseTo(weight.values[golden.in + 3]! - 6, 5);
});
