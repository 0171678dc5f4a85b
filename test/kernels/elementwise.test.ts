import { describe, expect, test } from "vitest";
import {
  add,
  addBias,
  addInto,
  biasGradient,
  convert,
  fill,
  multiply,
  scale,
  scaleBy,
  softcap,
  softcapBackward,
  zeros,
} from "../../src/kernels/elementwise.ts";
import {
  addBiasReference,
  addReference,
  multiplyReference,
  softcapReference,
} from "../reference/elementwise.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const cases = [
  { rows: 1, cols: 1 },
  { rows: 1, cols: 3 },
  { rows: 1, cols: 127 },
  { rows: 5, cols: 123 },
  { rows: 9, cols: 64 },
  { rows: 70, cols: 1000 }, // more vectors than invocations
];

describe.each(cases)("elementwise $rows×$cols", ({ rows, cols }) => {
  const shape = [rows, cols];
  const a = randomValues(rows * cols, 1);
  const b = randomValues(rows * cols, 2);
  const bias = randomValues(cols, 3);

  test("convert to what it is, and added; halves are in halves.test.ts", async () => {
    const device = await testDevice();
    const [X, into] = [floats(device, a, shape), floats(device, b, shape)];
    expect(await convert(X, "f32").read()).toEqual(await X.read());
    expect(await convert(X, "f32", into).read()).toBeClose(addReference(a, b));
  });

  test("add, addInto, scale", async () => {
    const device = await testDevice();
    const [A, B] = [floats(device, a, shape), floats(device, b, shape)];
    expect(await add(A, B).read()).toBeClose(addReference(a, b));
    expect(await add(A, B, 0.25).read()).toBeClose(addReference(a, b, 0.25));
    const scaled = scale(B, -0.5);
    expect(await scaled.read()).toBeClose(b.map((v) => -0.5 * v));
    expect(await scale(B, 2, scaled).read()).toBeClose(b.map((v) => 1.5 * v));
    const doubled = scaleBy(B, floats(device, [2], [1]));
    expect(await doubled.read()).toBeClose(b.map((v) => 2 * v));
    expect(await scaleBy(B, floats(device, [-0.5], [1]), doubled).read()).toBeClose(b.map((v) => 1.5 * v));
    expect(await addInto(A, B).read()).toBeClose(addReference(a, b));
  });

  test("add_bias and its gradient", async () => {
    const device = await testDevice();
    const [A, B] = [floats(device, a, shape), floats(device, bias, [cols])];
    expect(await addBias(A, B).read()).toBeClose(addBiasReference(a, bias));
    const dY = floats(device, b, shape);
    const db = biasGradient(dY);
    const wanted = columnDifferences(a, bias, b);
    expect(await db.read()).toBeClose(wanted);
    expect(await biasGradient(dY, db).read()).toBeClose(wanted.map((g) => 2 * g));
  });

  test("the product of elements and its gradients", async () => {
    const device = await testDevice();
    const [A, B] = [floats(device, a, shape), floats(device, b, shape)];
    expect(await multiply(A, B).read()).toBeClose(multiplyReference(a, b));
    const dy = randomValues(a.length, 9);
    // Elements are independent, so each is differentiated on its own.
    const wanted = a.map(
      (value, i) => centralDifferences((v) => multiplyReference(v, [b[i]!]), [value], [dy[i]!])[0]!,
    );
    expect(await multiply(floats(device, dy, shape), B).read()).toBeClose(wanted);
  });

  test("softcap and its gradient", async () => {
    const device = await testDevice();
    const cap = 1.5;
    const [A, dY] = [floats(device, a, shape), floats(device, b, shape)];
    const y = softcap(A, cap);
    expect(await y.read()).toBeClose(softcapReference(a, cap));
    const dx = softcapBackward(dY, y, cap);
    // Elements are independent, so each is differentiated on its own.
    const wanted = a.map(
      (value, i) => centralDifferences((v) => softcapReference(v, cap), [value], [b[i]!])[0]!,
    );
    expect(await dx.read()).toBeClose(wanted);
    expect(await softcapBackward(dY, y, cap, dx).read()).toBeClose(wanted.map((g) => 2 * g));
  });

  test("fill", async () => {
    const device = await testDevice();
    expect(new Set(await zeros(device, shape).read())).toEqual(new Set([0]));
    expect(new Set(await fill(zeros(device, shape), 1.5).read())).toEqual(new Set([1.5]));
  });
});

test("softcap of large values is the cap", async () => {
  const device = await testDevice();
  expect([...(await softcap(floats(device, [1e4, -1e30, 0], [3]), 30).read())]).toEqual([30, -30, 0]);
});

test("a wrong size is named", async () => {
  const device = await testDevice();
  expect(() => add(zeros(device, [2, 3]), zeros(device, [5]))).toThrow("[2,3] and [5] differ");
  expect(() => multiply(zeros(device, [2, 3]), zeros(device, [5]))).toThrow("[2,3] and [5] differ");
  expect(() => addBias(zeros(device, [2, 3]), zeros(device, [2]))).toThrow("expected 3");
});

/** Columns are independent: each is differentiated on its own, or 70 × 1000 would take 1000 forwards of 70 000. */
function columnDifferences(x: Float64Array, bias: Float64Array, dy: Float64Array): Float64Array {
  const column = (values: Float64Array, c: number) =>
    Float64Array.from({ length: x.length / bias.length }, (_, row) => values[row * bias.length + c]!);
  return bias.map((value, c) => {
    const forward = (v: Float64Array) => addBiasReference(column(x, c), v);
    return centralDifferences(forward, [value], column(dy, c))[0] as number;
  });
}
