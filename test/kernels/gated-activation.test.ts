import { describe, expect, test } from "vitest";
import { gatedActivation, gatedActivationBackward } from "../../src/kernels/gated-activation.ts";
import { gatedActivationReference } from "../reference/gated-activation.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const cases = [
  { size: 1 },
  { size: 3 },
  { size: 127 },
  { size: 5 * 123 },
  { size: 512, scale: 20 },
  { size: 64, scale: 1e4 }, // exp and tanh saturate
].flatMap((c) => (["silu", "gelu_tanh"] as const).map((activation) => ({ scale: 1, ...c, activation })));

describe.each(cases)("gated_activation $activation $size scale $scale", ({ size, scale, activation }) => {
  const gate = randomValues(size, 1, scale);
  const up = randomValues(size, 2);
  const dy = randomValues(size, 3);

  test("forward", async () => {
    const device = await testDevice();
    const y = gatedActivation(floats(device, gate, [size]), floats(device, up, [size]), activation);
    expect(await y.read()).toBeClose(gatedActivationReference(gate, up, activation));
  });

  test("backward", async () => {
    const device = await testDevice();
    const [G, U, dY] = [gate, up, dy].map((values) => floats(device, values, [size]));
    const { dgate, dup } = gatedActivationBackward(dY!, { gate: G!, up: U!, activation });
    const wrtGate = centralDifferences((v) => gatedActivationReference(v, up, activation), gate, dy);
    const wrtUp = centralDifferences((v) => gatedActivationReference(gate, v, activation), up, dy);
    expect(await dgate.read()).toBeClose(wrtGate, 1e-4);
    expect(await dup.read()).toBeClose(wrtUp, 1e-4);
  });
});

test("a NaN comes through", async () => {
  const device = await testDevice();
  const y = gatedActivation(floats(device, [Number.NaN], [1]), floats(device, [1], [1]));
  expect(Number.isFinite((await y.read())[0])).toBe(false);
});
