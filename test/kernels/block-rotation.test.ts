import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import {
  blockOuter,
  blockProduct,
  inverseOfShifted,
  projectBlocks,
  skew,
  skewGradient,
} from "../../src/kernels/block-rotation.ts";
import { blockProductReference, skewReference } from "../reference/block-rotation.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

// Blocks, their size, whether all share one matrix, and rows of x.
describe.each([
  [1, 2, false, 1],
  [3, 5, false, 7],
  [4, 3, true, 5],
  [2, 33, false, 3],
  [3, 8, false, 6],
  [5, 4, true, 9],
])("%i blocks of %i, shared: %s, %i rows", (blocks, size, isShared, rows) => {
  const columns = blocks * size;
  const count = isShared ? 1 : blocks;
  const v = randomValues((count * size * (size - 1)) / 2, 1, 0.3);
  const m = randomValues(count * size ** 2, 2);
  const x = randomValues(rows * columns, 3);
  const dy = randomValues(rows * columns, 4);
  const place = { columns, size };

  test("skew-symmetric blocks and their gradient", async () => {
    const device = await testDevice();
    const q = skew(floats(device, v, [count, v.length / count]));
    expect(await q.read()).toBeClose(skewReference(v, size));
    const wanted = centralDifferences((at) => skewReference(at, size), v, m);
    const dq = floats(device, m, [count, size, size]);
    expect(await skewGradient(dq).read()).toBeClose(wanted);
    expect(await skewGradient(dq, floats(device, v, [count, v.length / count])).read()).toBeClose(
      wanted.map((value, i) => value + v[i]!),
    );
  });

  test("products and their gradients", async () => {
    const device = await testDevice();
    const [X, DY] = [floats(device, x, [rows, columns]), floats(device, dy, [rows, columns])];
    const M = floats(device, m, [count, size, size]);
    expect(await blockProduct(X, M).read()).toBeClose(blockProductReference(x, m, place));
    const dx = centralDifferences((at) => blockProductReference(at, m, place), x, dy);
    expect(await blockProduct(DY, M, { transposed: true, alpha: 2, into: X }).read()).toBeClose(
      dx.map((value, i) => 2 * value + x[i]!),
    );
    const dm = centralDifferences((at) => blockProductReference(x, at, place), m, dy);
    expect(await blockOuter(floats(device, x, [rows, columns]), DY, M).read()).toBeClose(dm);
  });

  test("(I + q)⁻¹ (I + q) is I", async () => {
    const device = await testDevice();
    const q = skew(floats(device, v, [count, v.length / count]));
    const n = inverseOfShifted(q);
    const eye = Float64Array.from({ length: count * size ** 2 }, (_, at) => {
      return Math.floor((at % size ** 2) / size) === at % size ? 1 : 0;
    });
    const product = blockProduct(n, q, {
      into: fromArray(device, new Float32Array(await n.read()), n.shape),
    });
    expect(await product.read()).toBeClose(eye, 1e-5);
  });
});

test("blocks with a norm above the bound are scaled down to it, unless the step was skipped", async () => {
  const device = await testDevice();
  const values = Float32Array.of(3, 0, 4, 0.1, 0, 0);
  const v = fromArray(device, values, [2, 3]);
  projectBlocks(v, 1, fromArray(device, Float32Array.of(1, 0), [2]));
  expect([...(await v.read())]).toEqual([...values]);
  projectBlocks(v, 1);
  const norm = Math.sqrt(50);
  expect(await v.read()).toBeClose([3 / norm, 0, 4 / norm, 0.1, 0, 0]);
});

test("rows that are no blocks are named", async () => {
  const device = await testDevice();
  const [x, m] = [floats(device, randomValues(6, 1), [1, 6]), floats(device, randomValues(48, 2), [3, 4, 4])];
  expect(() => blockProduct(x, m)).toThrow("x [1,6] does not go with blocks [3,4,4]");
});
