import { afterEach, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { attention, attentionClass, attentionVariants } from "../../src/kernels/attention.ts";
import { tuneAttention } from "../../src/kernels/attention-tune.ts";
import { inputsOf, problemOf, upload } from "../support/attention-problems.ts";
import { testDevice } from "../support/device.ts";
import { openWithMatrices } from "../support/matrix-units.ts";

const FLAT = { M: 8, N: 16, K: 16, componentType: "f16" };
const shape = { tokens: 70, heads: 2, kvHeads: 1, headDim: 32 }; // whose kernels other tests compile, too

afterEach(async () => (await testDevice()).choices.clear());

/** Which module computes attention of these heads there. */
function moduleFor(device: Device): string[] {
  const p = problemOf({ queries: shape.tokens, headDim: shape.headDim, heads: 2, kvHeads: 1 });
  const { q, k, v, options } = upload(device, p, inputsOf(p));
  const run = device.run;
  const names: string[] = [];
  device.run = (module, ...launch) => {
    names.push(module.name);
    run.call(device, module, ...launch);
  };
  attention(q, k, v, options);
  device.run = run;
  return names;
}

// The units are emulated: which of the two is faster means nothing, that it decides does.
test("with matrix units both ways are measured, and the faster one is taken from then on", {
  timeout: 600_000,
}, async () => {
  const device = await openWithMatrices({ shapes: [FLAT] }, { profile: "gpu" });
  expect(moduleFor(device)).toEqual(["attention-subgroup-matrix"]);
  const { used } = device.memory.stats;
  const { variant, milliseconds, ...measured } = (await tuneAttention(device, shape))!;
  expect(device.memory.stats.used).toBe(used);
  expect(measured).toEqual(shape);
  expect([...milliseconds.keys()]).toEqual(["matrix", "plain"]);
  const [matrix = 0, plain = 0] = milliseconds.values();
  expect(variant).toBe(plain < 0.95 * matrix ? "plain" : "matrix");
  expect(device.choices.get(attentionClass(shape.headDim))).toBe(variant);
  expect(moduleFor(device)).toEqual([variant === "plain" ? "attention" : "attention-subgroup-matrix"]);
});

test("heads that fit no units, and devices without them, leave nothing to choose", async () => {
  const device = await testDevice();
  expect(attentionVariants(device, shape.headDim)).toEqual(["plain"]);
  expect(await tuneAttention(device, shape)).toBeUndefined();
  expect(device.choices.size).toBe(0);
});
