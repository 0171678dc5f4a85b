import { describe, expect, test } from "vitest";
import { layerNorm, layerNormBackward, layerNormBackwardWeight } from "../../src/kernels/layer-norm.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { layerNormReference } from "../reference/layer-norm.ts";
import { floats, testDevice } from "../support/device.ts";

const eps = 1e-5;
const cases = [
  { rows: 1, cols: 1 },
  { rows: 1, cols: 3 },
  { rows: 3, cols: 127 },
  { rows: 5, cols: 123 },
  { rows: 2, cols: 64 },
  { rows: 2, cols: 96, scale: 1e4 },
  { rows: 2, cols: 96, shift: 1000 }, // E(x²) − E(x)² would keep no digit of the variance
];

describe.each(cases)(
  "layer_norm $rows×$cols scale $scale shift $shift",
  ({ rows, cols, scale = 1, shift = 0 }) => {
    const x = randomValues(rows * cols, 1, scale).map((value) => Math.fround(value + shift));
    const w = randomValues(cols, 2);
    const b = randomValues(cols, 4);
    const dy = randomValues(rows * cols, 3);
    const upload = async () => {
      const device = await testDevice();
      const [W, B] = [w, b].map((values) => floats(device, values, [cols]));
      const [X, dY] = [x, dy].map((values) => floats(device, values, [rows, cols]));
      return { X: X!, W: W!, B: B!, dY: dY! };
    };
    // An x near 1000 has an f32 mean that is wrong in the fifth decimal, whoever computes it.
    const tolerance = shift ? 1e-4 : 1e-5;

    test("forward", async () => {
      const { X, W, B } = await upload();
      expect(await layerNorm(X, W, B, { eps }).y.read()).toBeClose(
        layerNormReference(x, w, b, eps),
        tolerance,
      );
    });

    test("backward", async () => {
      const { X, W, B, dY } = await upload();
      const { stats } = layerNorm(X, W, B, { eps });
      const saved = { x: X, weight: W, stats };
      // One column normalises to 0, whatever x is: its gradient is rounding noise around zero.
      const dxTolerance = cols === 1 ? Infinity : 3e-4;
      const wanted = centralDifferences((v) => layerNormReference(v, w, b, eps), x, dy);
      const dx = layerNormBackward(dY, saved);
      expect(await dx.read()).toBeClose(wanted, dxTolerance);
      const twice = layerNormBackward(dY, saved, dx);
      expect(await twice.read()).toBeClose(
        wanted.map((g) => 2 * g),
        dxTolerance,
      );
      const dw = layerNormBackwardWeight(dY, saved);
      const wantedWeight = centralDifferences((v) => layerNormReference(x, v, b, eps), w, dy);
      expect(await dw.read()).toBeClose(wantedWeight, tolerance);
      const doubled = layerNormBackwardWeight(dY, saved, dw);
      expect(await doubled.read()).toBeClose(
        wantedWeight.map((g) => 2 * g),
        tolerance,
      );
    });
  },
);

test("a bias of another size is refused", async () => {
  const device = await testDevice();
  const [x, w, b] = [floats(device, [1, 2], [1, 2]), floats(device, [1, 2], [2]), floats(device, [1], [1])];
  expect(() => layerNorm(x, w, b, { eps })).toThrow(/bias is \[1\], expected \[2\]/);
});
