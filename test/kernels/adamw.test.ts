import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { type AdamWTensors, adamW } from "../../src/kernels/adamw.ts";
import { zeros } from "../../src/kernels/elementwise.ts";
import { equalRates } from "../../src/kernels/update.ts";
import { type AdamWState, adamWReference } from "../reference/adamw.ts";
import { randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const defaults = { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 };

const cases = [
  { size: 1 },
  { size: 3 },
  { size: 127 },
  { size: 5 * 123, weightDecay: 0 },
  { size: 512, clip: 0.25 },
  { size: 512, gradientScale: 1e-9 }, // ε matters
  { size: 64, gradientScale: 1e8 },
];

describe.each(cases)(
  "adamw $size clip $clip gradients $gradientScale",
  ({ size, clip = 1, gradientScale = 1, ...rest }) => {
    test("five steps", async () => {
      const device = await testDevice();
      const options = { ...defaults, ...rest };
      const start = randomValues(size, 1);
      const tensors = state(device, start, clip);
      const wanted: AdamWState = { p: start.slice(), m: new Float64Array(size), v: new Float64Array(size) };
      for (let step = 1; step <= 5; step++) {
        const gradients = randomValues(size, 10 + step, gradientScale);
        tensors.gradients.write(Float32Array.from(gradients));
        adamW(tensors, { ...options, step });
        adamWReference(
          wanted,
          gradients.map((g) => clip * g),
          { ...options, step },
        );
      }
      expect(await tensors.parameters.read()).toBeClose(wanted.p);
      expect(await tensors.m.read()).toBeClose(wanted.m);
      expect(await tensors.v.read()).toBeClose(wanted.v);
    });
  },
);

/** torch 2.13, f64: three steps of AdamW(lr=1e-2, weight_decay=0.1) from [1, -2, 0.5] with the gradients below. */
const TORCH = [0.9678008103721331, -1.9640359880998999, 0.4957769531363636];

test("agrees with torch.optim.AdamW", async () => {
  const device = await testDevice();
  const tensors = state(device, [1, -2, 0.5], 1);
  for (let step = 1; step <= 3; step++) {
    tensors.gradients.write(Float32Array.of(0.1 * step, -3, 1e-9));
    adamW(tensors, { ...defaults, step });
  }
  expect(await tensors.parameters.read()).toBeClose(TORCH);
});

test("clip 0 leaves parameters and moments as they are", async () => {
  const device = await testDevice();
  const start = randomValues(16, 1);
  const tensors = state(device, start, 0);
  tensors.gradients.write(new Float32Array(16).fill(Number.NaN));
  adamW(tensors, { ...defaults, step: 1 });
  expect(await tensors.parameters.read()).toEqual(Float32Array.from(start));
  expect(new Set([...(await tensors.m.read()), ...(await tensors.v.read())])).toEqual(new Set([0]));
});

test("blocks of 64 elements have rates of their own", async () => {
  const device = await testDevice();
  const start = randomValues(256, 1);
  const tensors = state(device, start, 1);
  tensors.gradients.write(Float32Array.from(randomValues(256, 2)));
  tensors.rates.write(Float32Array.of(0, 1, 2, 1, 1, 0, 1, 1));
  adamW(tensors, { ...defaults, step: 1 });
  const got = await tensors.parameters.read();
  const of = [{ learningRate: 0 }, { learningRate: 2e-2 }, { weightDecay: 0 }, {}].map((rates) => {
    const wanted: AdamWState = { p: start.slice(), m: new Float64Array(256), v: new Float64Array(256) };
    adamWReference(wanted, randomValues(256, 2), { ...defaults, ...rates, step: 1 });
    return wanted.p;
  });
  for (const [block, wanted] of of.entries())
    expect(got.slice(64 * block, 64 * block + 64)).toBeClose(wanted.slice(64 * block, 64 * block + 64));
});

test("tensors of unequal size are refused", async () => {
  const tensors = state(await testDevice(), [1, 2], 1);
  const m = zeros(await testDevice(), [3]);
  expect(() => adamW({ ...tensors, m }, { ...defaults, step: 1 })).toThrow("2 parameters, but a tensor of 3");
});

function state(device: Device, parameters: ArrayLike<number>, clip: number): AdamWTensors {
  const shape = [parameters.length];
  return {
    parameters: floats(device, parameters, shape),
    gradients: zeros(device, shape),
    m: zeros(device, shape),
    v: zeros(device, shape),
    outcome: floats(device, [1, clip], [2]),
    rates: equalRates(device, parameters.length),
  };
}
