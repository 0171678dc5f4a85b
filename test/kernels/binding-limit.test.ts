// Tensors above the device's binding limit, which tests lower: what is computed in windows is the same.
import { afterEach, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { activate, activateBackward } from "../../src/kernels/activation.ts";
import { adamW } from "../../src/kernels/adamw.ts";
import { columnScale, columnScaleBackward, rowScale } from "../../src/kernels/column-scale.ts";
import { sliceColumns, sliceColumnsBackward } from "../../src/kernels/columns.ts";
import { dropout } from "../../src/kernels/dropout.ts";
import * as elementwise from "../../src/kernels/elementwise.ts";
import { gatedActivation, gatedActivationBackward } from "../../src/kernels/gated-activation.ts";
import { gradientNorm } from "../../src/kernels/gradient-norm.ts";
import { type Layout, matmul } from "../../src/kernels/matmul.ts";
import { rmsNorm } from "../../src/kernels/rms-norm.ts";
import { equalRates } from "../../src/kernels/update.ts";
import { randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

afterEach(async () => {
  const device = await testDevice();
  device.kernels.bindingLimit = device.limits.maxStorageBufferBindingSize;
});

type Compute = (device: Device, tensor: (seed: number) => Tensor) => Tensor;

const COLUMNS = 24;

/** What `compute` gives where a binding has at most `limit` bytes; its tensors are `[rows, 24]`. */
async function under(limit: number | undefined, rows: number, compute: Compute): Promise<Float32Array> {
  const device = await testDevice();
  const { bindingLimit } = device;
  const tensor = (seed: number) => floats(device, randomValues(rows * COLUMNS, seed), [1, rows, COLUMNS]);
  device.kernels.bindingLimit = limit ?? bindingLimit;
  const result = compute(device, tensor);
  device.kernels.bindingLimit = bindingLimit;
  return await result.read();
}

const elementByElement: Record<string, Compute> = {
  add: (_, x) => elementwise.add(x(1), x(2), 0.5),
  addInto: (_, x) => elementwise.addInto(x(1), x(2)),
  scale: (_, x) => elementwise.scale(x(1), 3, x(2)),
  softcap: (_, x) => elementwise.softcap(x(1), 2),
  softcapBackward: (_, x) => elementwise.softcapBackward(x(1), x(2), 20),
  fill: (_, x) => elementwise.fill(x(1), 7),
  addBias: (device, x) => elementwise.addBias(x(1), floats(device, randomValues(COLUMNS, 3), [COLUMNS])),
  columnScale: (device, x) => columnScale(x(1), floats(device, randomValues(COLUMNS, 3), [COLUMNS])),
  rowScale: (device, x) => rowScale(x(1), floats(device, randomValues(x(1).rows, 3), [x(1).rows])),
  dropout: (_, x) => dropout(x(1), { p: 0.5, seed: 3 }),
  activate: (_, x) => activate(x(1), "gelu"),
  activateBackward: (_, x) => activateBackward(x(1), { x: x(2), activation: "gelu" }),
  gatedActivation: (_, x) => gatedActivation(x(1), x(2)),
  gatedActivationBackward: (_, x) => gatedActivationBackward(x(1), { gate: x(2), up: x(3) }).dgate,
  sliceColumns: (_, x) => sliceColumns(x(1), 4, 12),
  sliceColumnsBackward: (_, x) => sliceColumnsBackward(sliceColumns(x(1), 4, 12), 8, COLUMNS, x(2)),
  adamW: (device, x) => {
    const parameters = x(1);
    const outcome = floats(device, [1, 0.5], [2]);
    const rest = {
      gradients: x(2),
      m: x(3),
      v: elementwise.zeros(device, parameters.shape),
      outcome,
      rates: equalRates(device, parameters.size),
    };
    adamW({ parameters, ...rest }, { learningRate: 1e-2, step: 1 });
    return parameters;
  },
};

describe.each(Object.keys(elementByElement))("%s", (name) => {
  test.each([1000, 333])("of %i rows is the same in windows", async (rows) => {
    const compute = elementByElement[name] as Compute;
    expect(await under(16_384, rows, compute)).toEqual(await under(undefined, rows, compute));
  });
});

const sums: Record<string, Compute> = {
  biasGradient: (_, x) => elementwise.biasGradient(x(1)),
  columnScaleBackward: (device, x) =>
    columnScaleBackward(x(1), { x: x(2), scale: floats(device, new Float32Array(COLUMNS), [COLUMNS]) })
      .dscale,
  gradientNorm: (_, x) => gradientNorm(x(1), 0.5),
};

describe.each(Object.keys(sums))("%s", (name) => {
  test.each([1000, 333])("over %i rows agrees in windows", async (rows) => {
    const compute = sums[name] as Compute;
    expect(await under(16_384, rows, compute)).toBeClose(await under(undefined, rows, compute));
  });
});

const products: { layout: Layout; a: number[]; b: number[]; extended?: boolean }[] = [
  { layout: "NT", a: [300, 24], b: [20, 24], extended: true }, // A and C too large
  { layout: "NT", a: [40, 24], b: [512, 24] }, // B and C
  { layout: "NN", a: [300, 300], b: [300, 24] }, // all three
  { layout: "TN", a: [300, 200], b: [300, 20] }, // A and B along the sum
  { layout: "TN", a: [20, 512], b: [20, 40] }, // A and C
];

describe.each(products)("matmul $layout $a $b", ({ layout, a, b, extended = false }) => {
  const compute: Compute = (device) => {
    const tensor = (shape: number[], seed: number) =>
      floats(device, randomValues(shape[0]! * shape[1]!, seed), shape);
    const extend = { h: tensor([a[0]!, 4], 3), e: tensor([b[0]!, 4], 4) };
    // Only windows of which all lengths are multiples of four fit this variant.
    const options = { layout, variant: "tile-64", ...(extended && { extend }) } as const;
    return matmul(tensor(a, 1), tensor(b, 2), options);
  };

  test("keeps the kernel that reads vectors, and agrees", async () => {
    expect(await under(20_000, 1, compute)).toBeClose(await under(undefined, 1, compute));
  });
});

test("H alone too large, with columns of several layers", async () => {
  const compute: Compute = (device) => {
    const tensor = (rows: number, cols: number, seed: number) =>
      floats(device, randomValues(rows * cols, seed), [rows, cols]);
    const extend = { h: { of: tensor(300, 24, 3), first: 8, count: 8 }, e: tensor(8, 8, 4) };
    return matmul(tensor(300, 8, 1), tensor(8, 8, 2), { layout: "NT", variant: "tile-64", extend });
  };
  expect(await under(20_000, 1, compute)).toBeClose(await under(undefined, 1, compute));
});

test("rows of A are not copied apart where the copy could not be bound", async () => {
  const [m, n, k] = [256, 256, 1024];
  const compute: Compute = (device) =>
    matmul(floats(device, randomValues(m * k, 1), [m, k]), floats(device, randomValues(n * k, 2), [n, k]), {
      layout: "NT",
    });
  expect(await under(4 * m * k, 1, compute)).toBeClose(await under(undefined, 1, compute));
});

test("a kernel that cannot do so says what was too large", async () => {
  const device = await testDevice();
  const [x, weight] = [elementwise.zeros(device, [100, 24]), elementwise.zeros(device, [24])];
  device.kernels.bindingLimit = 4096;
  expect(() => rmsNorm(x, weight, { eps: 1e-5 })).toThrow('"x" has 9600 bytes');
});
