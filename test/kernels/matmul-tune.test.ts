import { afterEach, expect, test } from "vitest";
import { decodingOf } from "../../src/kernels/formats.ts";
import { matmul, matmulClass, matmulVariants } from "../../src/kernels/matmul.ts";
import { type Product, tuneMatmul } from "../../src/kernels/matmul-tune.ts";
import { randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

const product: Product = { layout: "NT", m: 40, n: 48, k: 64, decoding: decodingOf("f32") };

afterEach(async () => (await testDevice()).choices.clear());

test("the fastest variant becomes the device's choice", async () => {
  const device = await testDevice();
  const similar = { ...product, m: 33 };
  const [tuned, ...rest] = await tuneMatmul(device, [product, similar]);
  expect(rest).toEqual([]); // both are of one class
  expect([...tuned!.milliseconds.keys()]).toEqual(matmulVariants(device, product));
  expect(device.choices.get(matmulClass(product))).toBe(tuned!.variant);
  const [usual] = matmulVariants(device, product);
  const best = Math.min(...tuned!.milliseconds.values());
  if (tuned!.variant !== usual) expect(tuned!.milliseconds.get(tuned!.variant)).toBe(best);
});

test("a choice decides, and the same choice gives the same bytes", async () => {
  const device = await testDevice();
  const { m, n, k } = product;
  const A = floats(device, randomValues(m * k, 1), [m, k]);
  const B = floats(device, randomValues(n * k, 2), [n, k]);
  for (const variant of matmulVariants(device, product)) {
    device.choices.set(matmulClass(product), variant);
    const chosen = await matmul(A, B, { layout: "NT" }).read();
    expect(chosen).toEqual(await matmul(A, B, { layout: "NT", variant }).read());
  }
});

test("a choice that is unknown or cannot compute the product is passed over", async () => {
  const device = await testDevice();
  const [A, B] = [floats(device, randomValues(45, 1), [9, 5]), floats(device, randomValues(35, 2), [7, 5])];
  const wanted = await matmul(A, B, { layout: "NT" }).read();
  for (const choice of ["tile-64", "of a later version", "toString"]) {
    device.choices.set(matmulClass({ layout: "NT", m: 9, n: 7, k: 5, decoding: decodingOf("f32") }), choice);
    expect(await matmul(A, B, { layout: "NT" }).read()).toEqual(wanted);
  }
});
