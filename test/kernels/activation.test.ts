import { describe, expect, test } from "vitest";
import { activate, activateBackward } from "../../src/kernels/activation.ts";
import { activationReference, activations } from "../reference/activation.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const names = Object.keys(activations) as (keyof typeof activations)[];
const cases = [
  { size: 1, scale: 1 },
  { size: 3, scale: 1 },
  { size: 127, scale: 1 },
  { size: 5 * 123, scale: 1 },
  { size: 512, scale: 8 }, // the tails, where gelu's two halves cancel
  { size: 64, scale: 1e4 }, // exp and tanh saturate
].flatMap((c) => names.map((activation) => ({ ...c, activation })));

describe.each(cases)("activation $activation $size scale $scale", ({ size, scale, activation }) => {
  const x = randomValues(size, 1, scale);
  const dy = randomValues(size, 3);

  test("forward", async () => {
    const device = await testDevice();
    expect(await activate(floats(device, x, [size]), activation).read()).toBeClose(
      activationReference(x, activation),
    );
  });

  test("backward", async () => {
    const device = await testDevice();
    const [X, dY] = [x, dy].map((values) => floats(device, values, [size]));
    const dx = activateBackward(dY!, { x: X!, activation });
    const wanted = centralDifferences((v) => activationReference(v, activation), x, dy);
    expect(await dx.read()).toBeClose(wanted, 1e-4);
    const twice = activateBackward(dY!, { x: X!, activation }, dx);
    expect(await twice.read()).toBeClose(
      wanted.map((g) => 2 * g),
      1e-4,
    );
  });
});

test("gelu of PyTorch: torch.nn.functional.gelu at five points", async () => {
  const device = await testDevice();
  const y = await activate(floats(device, [-3, -1, -0.1, 0.5, 2], [5]), "gelu").read();
  expect(y).toBeClose([-0.004049694, -0.15865526, -0.04601722, 0.34573123, 1.9544997], 1e-6);
});
