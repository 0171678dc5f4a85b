import { expect, test } from "vitest";
import { empty } from "../../src/gpu/tensor.ts";
import {
  mixExperts,
  mixExpertsBackward,
  mixWeightsBackward,
  sumChoices,
} from "../../src/kernels/expert-mix.ts";
import { expertMixReference } from "../reference/expert-mix.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

test.each([
  { tokens: 1, chosen: 1, columns: 1 },
  { tokens: 3, chosen: 2, columns: 3 },
  { tokens: 127, chosen: 4, columns: 4 },
  { tokens: 5, chosen: 8, columns: 124 },
])("$chosen choices of $tokens tokens, $columns columns", async (sizes) => {
  const { tokens, chosen, columns } = sizes;
  const device = await testDevice();
  const count = tokens * chosen;
  const [x, weights] = [randomValues(count * columns, 1), randomValues(count, 2)];
  const dy = randomValues(tokens * columns, 3);
  const X = floats(device, x, [count, columns]);
  const W = floats(device, weights, [tokens, chosen]);
  const dY = floats(device, dy, [tokens, columns]);
  expect(await mixExperts(X, W).read()).toBeClose(expertMixReference(x, weights, sizes));
  const ones = weights.map(() => 1);
  const plain = expertMixReference(x, ones, sizes);
  expect(await sumChoices(X, chosen).read()).toBeClose(plain);
  expect(await sumChoices(X, chosen, floats(device, dy, [tokens, columns])).read()).toBeClose(
    plain.map((value, i) => value + (dy[i] as number)),
  );
  expect(await mixExpertsBackward(dY, W).read()).toBeClose(
    centralDifferences((values) => expertMixReference(values, weights, sizes), x, dy),
    1e-4,
  );
  expect(await mixWeightsBackward(dY, X).read()).toBeClose(
    centralDifferences((values) => expertMixReference(x, values, sizes), weights, dy),
    1e-4,
  );
});

test("mixExperts names what does not fit", async () => {
  const device = await testDevice();
  expect(() => mixExperts(empty(device, [5, 4]), empty(device, [3, 2]))).toThrow(
    /x is \[5,4\] for weights \[3,2\]/,
  );
});
