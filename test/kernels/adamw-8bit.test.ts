import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { empty, fromArray } from "../../src/gpu/tensor.ts";
import { type AdamW8bitTensors, adamW8bit, momentTables } from "../../src/kernels/adamw-8bit.ts";
import { fill, zeros } from "../../src/kernels/elementwise.ts";
import { adamW8bitReference, dynamicMap } from "../reference/adamw-8bit.ts";
import { randomValues } from "../reference/gradient.ts";
import { testDevice } from "../support/device.ts";
import { fiveSteps, leavesAlone, updateTensors } from "../support/updates.ts";

const defaults = { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 };

function tensorsOf(device: Device, start: ArrayLike<number>, factor = 1): AdamW8bitTensors {
  const size = start.length;
  const codes = () => fill(empty(device, [size / 4], "u32"), 0);
  const scales = zeros(device, [Math.ceil(size / 256), 2]);
  const tables = fromArray(device, momentTables(), [512]);
  return { ...updateTensors(device, start, factor), m: codes(), v: codes(), scales, tables };
}

test("the tables are bitsandbytes'", () => {
  const tables = momentTables();
  expect([...tables.slice(0, 256)]).toBeClose(dynamicMap(true));
  expect([...tables.slice(256)]).toBeClose(dynamicMap(false));
  // Of create_dynamic_map: 256 values each, rising, with 0 and 1.
  for (const table of [tables.slice(0, 256), tables.slice(256)]) {
    expect(new Set(table).size).toBe(256);
    expect(table).toEqual(table.slice().sort());
    expect([table.includes(0), table.at(-1)]).toEqual([true, 1]);
  }
  expect(tables[0]).toBeCloseTo(-0.9929687, 6);
  expect(tables[257]).toBeCloseTo(3.25e-7, 12);
});

describe.each([
  { size: 64 },
  { size: 256 },
  { size: 5 * 256 + 64, weightDecay: 0 },
  { size: 512, factor: 0.25 },
])("adamw with 8-bit moments %j", ({ size, factor = 1, ...rest }) => {
  test("five steps", async () => {
    const device = await testDevice();
    const options = { ...defaults, ...rest };
    const start = randomValues(size, 1);
    const tensors = tensorsOf(device, start, factor);
    const wanted = { p: start.slice(), m: new Float64Array(size), v: new Float64Array(size) };
    await fiveSteps(
      tensors,
      (step) => adamW8bit(tensors, { ...options, step }),
      (gradients, step) => adamW8bitReference(wanted, gradients, { ...options, step }),
      { factor },
    );
    // A moment between two codes may go either way, for few elements.
    const got = await tensors.parameters.read();
    const far = got.filter((value, i) => Math.abs(value - wanted.p[i]!) > 1e-5).length;
    expect(far / size).toBeLessThan(0.02);
    expect(got).toBeClose(wanted.p, 1e-2);
  });
});

test("a skipped step changes nothing, and tensors of other sizes are refused", async () => {
  const device = await testDevice();
  const tensors = tensorsOf(device, randomValues(128, 1));
  const { m, v, scales } = tensors;
  const run = () => adamW8bit(tensors, { ...defaults, step: 1 });
  run();
  expect(await leavesAlone(tensors, [m, v, scales], run)).toBe(true);
  expect(() => adamW8bit({ ...tensors, m: scales }, { ...defaults, step: 1 })).toThrow(
    "other sizes than 128",
  );
});
