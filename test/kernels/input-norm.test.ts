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
])("they take the norm of %i rows on the way, with %i added to its weight", async (m, offset) => {
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
});

test.each([1, 3, 8])(
  "products of one input, and gated ones, share a dispatch for %i rows where that is faster",
  async (m) => {
    const device = await testDevice();
    const [k, r] = [72, 3];
    const sizes = [96, 40, 13];
    const h = randomValues(m * 3 * r, 7);
    const [a, H] = [randomValues(m * k, 1), floats(device, h, [m, 3 * r])];
    const A = floats(device, a, [m, k]);
    const columns = (i: number) =>
      Array.from({ length: m * r }, (_, at) => h[Math.floor(at / r) * 3 * r + i * r + (at % r)]!);
    const made = sizes.map((n, i) => {
      const codes = encodeBf16(Float32Array.from(randomValues(n * k, 10 + i)));
      const e = randomValues(n * r, 20 + i);
      const product = matmulReference(a, Float64Array.from(decodeBf16(codes)), { m, n, k, layout: "NT" });
      const branch = matmulReference(columns(i), e, { m, n, k: r, layout: "NT" });
      const extend = { h: { of: H, first: i * r, count: r }, e: floats(device, e, [n, r]) };
      const wanted = product.map((value, j) => value + (i === 1 ? 0 : branch[j]!)); // the second has no branch
      return { weight: fromArray(device, codes, [n, k], "bf16"), ...(i !== 1 && { extend }), wanted };
    });
    const ys = matmulTogether(A, made);
    const { readsTexels, subgroupSize } = device.info;
    const isFaster = readsTexels && subgroupSize > 0 && !device.profile.sharesWork;
    expect(ys !== undefined).toBe(isFaster);
    for (const [i, y] of (ys ?? []).entries()) expect(await y.read()).toBeClose(made[i]!.wanted);
    const codes = encodeBf16(Float32Array.from(randomValues(96 * k, 30)));
    const up = matmulReference(a, Float64Array.from(decodeBf16(codes)), { m, n: 96, k, layout: "NT" });
    const pair = [made[0]!, { weight: fromArray(device, codes, [96, k], "bf16") }] as const;
    const y = gatedMatmul(A, pair, "silu");
    expect(y !== undefined).toBe(isFaster);
    if (y)
      expect(await y.read()).toBeClose(
        up.map((value, i) => (value * made[0]!.wanted[i]!) / (1 + Math.exp(-made[0]!.wanted[i]!))),
      );
    const others = codes.subarray(0, 40 * k);
    made[1]!.weight.write(others); // a copy from before would no longer be right
    const written = matmulReference(a, Float64Array.from(decodeBf16(others)), { m, n: 40, k, layout: "NT" });
    const anew = matmulTogether(A, made);
    if (anew) expect(await anew[1]!.read()).toBeClose(written);
  },
);
