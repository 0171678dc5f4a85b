import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { zeros } from "../../src/kernels/elementwise.ts";
import { maskTriplets, scoreTriplets, updateImportance } from "../../src/kernels/rank-allocation.ts";
import { randomValues } from "../reference/gradient.ts";
import { importanceReference, scoresReference } from "../reference/rank-allocation.ts";
import { floats, testDevice } from "../support/device.ts";

const outcomeOf = (device: Parameters<typeof fromArray>[0], factor: number) =>
  fromArray(device, Float32Array.of(1, factor), [2]);

describe.each([1, 3, 127, 615])("%i parameters", (size) => {
  const [p, gradient] = [randomValues(size, 1), randomValues(size, 2)];
  const before = {
    sensitivity: randomValues(size, 3).map(Math.abs),
    uncertainty: randomValues(size, 4).map(Math.abs),
  };
  const betas = { beta1: 0.85, beta2: 0.7 };

  test.each([0.25, 0])("their averages go on by a step, unless it was skipped: factor %d", async (factor) => {
    const device = await testDevice();
    const [S, U] = [floats(device, before.sensitivity, [size]), floats(device, before.uncertainty, [size])];
    updateImportance(
      { sensitivity: S, uncertainty: U },
      {
        parameters: floats(device, p, [size]),
        gradients: floats(device, gradient, [size]),
        outcome: outcomeOf(device, factor),
        ...betas,
      },
    );
    const wanted = factor === 0 ? before : importanceReference(before, p, gradient, { factor, ...betas });
    expect(await S.read()).toBeClose(wanted.sensitivity);
    expect(await U.read()).toBeClose(wanted.uncertainty);
  });
});

test.each([
  [1, 3, 5],
  [3, 127, 5],
  [12, 40, 123],
])("scores of %i triplets of %i → %i", async (rank, inputs, outputs) => {
  const device = await testDevice();
  const [A, B, E] = [rank * inputs, outputs * rank, rank].map((size, i) =>
    randomValues(size, i).map(Math.abs),
  );
  const site = [...A!, ...B!, ...E!];
  const ones = site.map(() => 1);
  const scores = zeros(device, [rank + 2]);
  const of = {
    sensitivity: floats(device, site, [site.length]),
    uncertainty: floats(device, ones, [site.length]),
  };
  const places = { a: 0, b: rank * inputs, e: rank * (inputs + outputs) };
  scoreTriplets(of, { rank, inputs, outputs, ...places }, scores, 2);
  expect(await scores.read()).toBeClose([0, 0, ...scoresReference(A!, B!, E!)], 1e-5);
});

describe("masks", () => {
  const SCORES = [5, 1, 3, 3, 9, 0];
  const masked = async (dropped: number | undefined, factor = 1) => {
    const device = await testDevice();
    const kept = fromArray(device, Float32Array.of(1, 0, 1, 1), [4]);
    const values = fromArray(device, Float32Array.of(1, 2, 3, 4), [4, 1]);
    const choice = dropped !== undefined && { scores: floats(device, SCORES, [6]), first: 1, dropped };
    maskTriplets({ kept, values, outcome: outcomeOf(device, factor) }, choice || undefined);
    return [[...(await kept.read())], [...(await values.read())]];
  };

  test.each([
    [0, [1, 1, 1, 1], [1, 2, 3, 4]],
    [2, [0, 1, 1, 1], [0, 2, 3, 4]],
    [3, [0, 0, 0, 1], [0, 0, 0, 4]], // as PEFT's kthvalue: the third lowest is 3, and so is the fourth
    [5, [0, 0, 0, 1], [0, 0, 0, 4]],
    [6, [0, 0, 0, 0], [0, 0, 0, 0]],
  ])("the %i lowest of all scores go", async (dropped, kept, values) => {
    expect(await masked(dropped)).toEqual([kept, values]);
  });

  test("what was masked before stays so", async () => {
    expect(await masked(undefined)).toEqual([
      [1, 0, 1, 1],
      [1, 0, 3, 4],
    ]);
  });

  test("a step that was skipped changes nothing", async () => {
    expect(await masked(6, 0)).toEqual([
      [1, 0, 1, 1],
      [1, 2, 3, 4],
    ]);
  });
});
