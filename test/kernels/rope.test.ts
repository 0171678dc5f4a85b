import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import {
  rope,
  ropeBackward,
  ropePair,
  ropePairBackward,
  ropeTable,
  uploadRopeTable,
} from "../../src/kernels/rope.ts";
import { type RopeScaling, ropeFrequencies } from "../../src/kernels/rope-frequencies.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { type RopeCase, ropeReference } from "../reference/rope.ts";
import { floats, testDevice } from "../support/device.ts";

const theta = 10_000;
/** Positions of so many tokens in a row, from `first` on. */
const from = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);
const cases: { shape: RopeCase["shape"]; rotaryDim: number; positions: number[] }[] = [
  { shape: [1, 1, 1, 2], rotaryDim: 2, positions: [0] },
  { shape: [2, 3, 1, 6], rotaryDim: 6, positions: [...from(5, 3), ...from(2, 3)] },
  { shape: [1, 5, 3, 16], rotaryDim: 16, positions: from(1000, 5) },
  { shape: [2, 4, 2, 16], rotaryDim: 8, positions: [0, 0, 1, 2, 0, 0, 1, 0] }, // partial, in vectors
  { shape: [1, 127, 1, 7], rotaryDim: 4, positions: from(0, 127) }, // partial, odd
];

describe.each(cases)("rope $shape rotating $rotaryDim", ({ shape, rotaryDim, positions }) => {
  const size = shape.reduce((a, b) => a * b);
  const options = { headDim: shape[3], rotaryDim, theta };
  const reference = (v: ArrayLike<number>) =>
    ropeReference(v, { shape, frequencies: ropeFrequencies(options), positions });
  const x = randomValues(size, 1);
  const dy = randomValues(size, 2);
  const at = async () => fromArray(await testDevice(), Uint32Array.from(positions), shape.slice(0, 2));
  const table = ropeTable({ ...options, length: Math.max(...positions) + 1 });

  test("forward", async () => {
    const device = await testDevice();
    const y = rope(floats(device, x, shape), uploadRopeTable(device, table), await at());
    expect(await y.read()).toBeClose(reference(x));
  });

  test("queries and keys together", async () => {
    const device = await testDevice();
    const tensors = uploadRopeTable(device, table);
    const kShape = [shape[0], shape[1], 2 * shape[2], shape[3]] as const;
    const [k, position] = [randomValues(2 * size, 3), await at()];
    const [X, K] = [floats(device, x, shape), floats(device, k, kShape)];
    for (const [pair, single] of [
      [ropePair(X, K, tensors, position), rope],
      [ropePairBackward(X, K, tensors, position), ropeBackward],
    ] as const) {
      expect(await pair[0].read()).toEqual(await single(X, tensors, position).read());
      expect(await pair[1].read()).toEqual(await single(K, tensors, position).read());
    }
  });

  test("backward", async () => {
    const device = await testDevice();
    const [dY, tensors] = [floats(device, dy, shape), uploadRopeTable(device, table)];
    const position = await at();
    const dx = ropeBackward(dY, tensors, position);
    const wanted = centralDifferences(reference, x, dy);
    expect(await dx.read()).toBeClose(wanted, 1e-4);
    const twice = ropeBackward(dY, tensors, position, dx);
    expect(await twice.read()).toBeClose(
      wanted.map((g) => 2 * g),
      1e-4,
    );
  });
});

/** Pair i and cos(8191 · 500000^(−2i/64)), computed with 60 decimal digits. */
const PRECISE = [
  [0, -0.6463904697642],
  [1, 0.82395131880269],
  [7, 0.71453054982436],
  [31, 0.99969530353415],
] as const;

test("the angles at position 8191 are right to 1e-6", () => {
  const { cos } = ropeTable({ headDim: 64, theta: 500_000, length: 8192 });
  for (const [pair, wanted] of PRECISE) expect(Math.abs(cos[8191 * 32 + pair]! - wanted)).toBeLessThan(1e-6);
});

interface Golden {
  rope_parameters: RopeScaling & { rope_theta: number };
  inv_freq: { data: number[] };
  cos: { data: number[] };
  sin: { data: number[] };
}

describe("transformers' values", async () => {
  const golden = JSON.parse(await readFile(new URL("../fixtures/rope/rope.json", import.meta.url), "utf8"));

  test.each(["plain", "llama3"])("%s", (name) => {
    const { rope_parameters: scaling, inv_freq, cos, sin } = golden[name] as Golden;
    const options = { headDim: golden.head_dim as number, theta: scaling.rope_theta, scaling };
    expect(ropeFrequencies(options)).toBeClose(inv_freq.data, 1e-6);
    const table = ropeTable({ ...options, length: 8192 });
    const half = inv_freq.data.length;
    for (const [row, position] of (golden.positions as number[]).entries()) {
      // transformers rounds the frequency and the angle to f32, three roundings of 6e-8 in all.
      const tolerance = 1e-6 + 2e-7 * position;
      for (let i = 0; i < half; i++) {
        expect(Math.abs(table.cos[position * half + i]! - cos.data[row * half + i]!)).toBeLessThan(tolerance);
        expect(Math.abs(table.sin[position * half + i]! - sin.data[row * half + i]!)).toBeLessThan(tolerance);
      }
    }
  });

  test("linear", () => {
    const options = { headDim: 8, theta };
    const scaled = ropeFrequencies({ ...options, scaling: { rope_type: "linear", factor: 4 } });
    expect(scaled).toBeClose(
      ropeFrequencies(options).map((frequency) => frequency / 4),
      1e-12,
    );
  });
});

test("positions of another batch are refused", async () => {
  const device = await testDevice();
  const tensors = uploadRopeTable(device, ropeTable({ headDim: 4, theta, length: 8 }));
  const positions = fromArray(device, Uint32Array.of(1), [1, 1]);
  expect(() => rope(floats(device, new Float32Array(8), [1, 2, 1, 4]), tensors, positions)).toThrow(
    "expected u32 [1, 2]",
  );
});
