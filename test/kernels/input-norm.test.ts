import { expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { gatedMatmul, matmulTogether } from "../../src/kernels/matmul.ts";
import { decodeBf16, encodeBf16 } from "../../src/util/half.ts";
import { randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { rmsNormReference } from "../reference/rms-norm.ts";
import { floats, testDevice } from "../support/device.ts";

test.each([
  [1, 0],
  [3, 1],
  [8, 0],
])(
  "products of one input take the norm of %i rows on the way, with %i added to its weight",
  async (m, offset) => {
    const device = await testDevice();
    const [k, eps] = [72, 1e-5];
    const [a, w] = [randomValues(m * k, 1), randomValues(k, 2)];
    const norm = { weight: floats(device, w, [k]), eps, offset };
    const normed = rmsNormReference(a, w, eps, offset);
    const made = [96, 40, 96].map((n, i) => {
      const codes = encodeBf16(Float32Array.from(randomValues(n * k, 10 + i)));
      const wanted = matmulReference(normed, Float64Array.from(decodeBf16(codes)), { m, n, k, layout: "NT" });
      return { weight: fromArray(device, codes, [n, k], "bf16"), wanted };
    });
    const A = floats(device, a, [m, k]);
    const ys = matmulTogether(A, made, norm);
    const [gate, , up] = made as [(typeof made)[0], (typeof made)[0], (typeof made)[0]];
    const gated = gatedMatmul(A, [gate, up], "silu", norm);
    const { readsTexels, subgroupSize } = device.info;
    const isFaster = readsTexels && subgroupSize > 0 && !device.profile.sharesWork;
    expect([ys !== undefined, gated !== undefined]).toEqual([isFaster, isFaster]);
    for (const [i, y] of (ys ?? []).entries()) expect(await y.read()).toBeClose(made[i]!.wanted);
    const wanted = gate.wanted.map((value, i) => (value / (1 + Math.exp(-value))) * up.wanted[i]!);
    if (gated) expect(await gated.read()).toBeClose(wanted);
  },
);
