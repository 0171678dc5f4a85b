import { describe, expect, test } from "vitest";
import { rmsNorm, rmsNormBackward, rmsNormBackwardWeight, rmsNormOfSum } from "../../src/kernels/rms-norm.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { rmsNormReference } from "../reference/rms-norm.ts";
import { floats, testDevice } from "../support/device.ts";

const eps = 1e-5;
const cases = [
  { rows: 1, cols: 1 },
  { rows: 3, cols: 127 },
  { rows: 5, cols: 123 },
  { rows: 2, cols: 64, offset: 1 },
  { rows: 2, cols: 96, scale: 1e4 },
  { rows: 35, cols: 20 }, // enough rows for an invocation each
  { rows: 35, cols: 21 },
];

describe.each(cases)(
  "rms_norm $rows×$cols offset $offset scale $scale",
  ({ rows, cols, offset = 0, scale = 1 }) => {
    const x = randomValues(rows * cols, 1, scale);
    const w = randomValues(cols, 2);
    const dy = randomValues(rows * cols, 3);

    test("forward", async () => {
      const device = await testDevice();
      const { y } = rmsNorm(floats(device, x, [rows, cols]), floats(device, w, [cols]), { eps, offset });
      expect(await y.read()).toBeClose(rmsNormReference(x, w, eps, offset));
    });

    test("forward of a sum", async () => {
      const device = await testDevice();
      const residual = randomValues(rows * cols, 4, scale);
      const [X, R] = [floats(device, x, [rows, cols]), floats(device, residual, [rows, cols])];
      const got = rmsNormOfSum(X, R, floats(device, w, [cols]), { eps, offset });
      const wanted = x.map((value, i) => value + residual[i]!);
      expect(await got.sum.read()).toBeClose(wanted);
      expect(await got.y.read()).toBeClose(rmsNormReference(wanted, w, eps, offset));
      const alone = rmsNorm(got.sum, floats(device, w, [cols]), { eps, offset });
      expect(await got.rstd.read()).toBeClose(await alone.rstd.read());
    });

    test("backward", async () => {
      const device = await testDevice();
      const [X, W, dY] = [
        floats(device, x, [rows, cols]),
        floats(device, w, [cols]),
        floats(device, dy, [rows, cols]),
      ];
      const { rstd } = rmsNorm(X, W, { eps, offset });
      const saved = { x: X, weight: W, rstd, eps, offset };
      const dx = rmsNormBackward(dY, saved);
      const wanted = centralDifferences((v) => rmsNormReference(v, w, eps, offset), x, dy);
      // One column normalises to ±1, whatever x is: its gradient is rounding noise around zero.
      expect(await dx.read()).toBeClose(wanted, cols === 1 ? Infinity : 1e-4);
      const twice = rmsNormBackward(dY, saved, dx);
      expect(await twice.read()).toBeClose(
        wanted.map((g) => 2 * g),
        cols === 1 ? Infinity : 1e-4,
      );
      const dw = rmsNormBackwardWeight(dY, saved);
      expect(await dw.read()).toBeClose(
        centralDifferences((v) => rmsNormReference(x, v, eps, offset), w, dy),
        1e-5,
      );
    });
  },
);
