import { expect, test } from "vitest";
import { ropeTable } from "../../src/kernels/rope.ts";
import { RopeAngles } from "../../src/nn/rope-angles.ts";
import { testDevice } from "../support/device.ts";

const plain = { headDim: 4, theta: 10_000 };
const long = {
  ...plain,
  scaling: {
    rope_type: "longrope",
    short_factor: [1, 2],
    long_factor: [3, 4],
    attention_factor: 1.5,
    original_max_position_embeddings: 8,
  },
} as const;
const dynamic = {
  ...plain,
  scaling: { rope_type: "dynamic", factor: 2, max_position_embeddings: 8 },
} as const;

test("a table is made once, grows when needed, and is freed with the model", async () => {
  const device = await testDevice();
  const before = device.memory.stats.used;
  const angles = new RopeAngles(device, plain, 100_000);
  expect(device.memory.stats.used).toBe(before);
  const table = angles.upTo(10);
  expect(angles.upTo(200)).toBe(table);
  expect(table.cos.shape).toEqual([256, 2]);
  expect(angles.upTo(257).cos.shape).toEqual([512, 2]);
  expect(angles.upTo(99_000).cos.rows).toBe(100_000);
  expect(() => angles.upTo(100_001)).toThrow("the model has 100000");
  angles.release();
  expect(device.memory.stats.used).toBe(before);
});

test("the frequencies follow the sequence's length where they depend on it", async () => {
  const device = await testDevice();
  for (const options of [long, dynamic]) {
    const angles = new RopeAngles(device, options, 16);
    for (const length of [8, 9, 16, 7]) {
      const { cos } = ropeTable({ ...options, length: 16, sequenceLength: length });
      expect(await angles.upTo(length).cos.read()).toEqual(cos);
    }
    angles.release();
  }
});

test("cached keys stay unless the searched factors change", async () => {
  const device = await testDevice();
  const keeps = (options: typeof long | typeof dynamic | typeof plain, past: number, length: number) =>
    new RopeAngles(device, options, 16).keeps(past, length);
  expect([keeps(long, 7, 8), keeps(long, 8, 9), keeps(long, 9, 10)]).toEqual([true, false, true]);
  expect([keeps(dynamic, 8, 9), keeps(plain, 8, 9)]).toEqual([true, true]);
});
