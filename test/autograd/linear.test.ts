import { expect, test } from "vitest";
import * as ops from "../../src/autograd/ops.ts";
import { Tape } from "../../src/autograd/tape.ts";
import type { Device } from "../../src/gpu/device.ts";
import { empty, scoped, type Tensor } from "../../src/gpu/tensor.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { floats, testDevice } from "../support/device.ts";

const [ROWS, IN, SCALE] = [6, 8, 1.5];
const OUTS = [12, 4, 8];
const RANKS = [4, 0, 3]; // the second layer has no branch
const shapes: Record<string, readonly [number, number]> = {
  x: [ROWS, IN],
  A: [7, IN],
  W0: [12, IN],
  W1: [4, IN],
  W2: [8, IN],
  B0: [12, 4],
  B2: [8, 3],
  bias1: [1, 4],
};
type Name = keyof typeof shapes & string;
type Values = Record<Name, ArrayLike<number>>;
const values: Values = Object.fromEntries(
  Object.entries(shapes).map(([name, [r, c]], seed) => [name, randomValues(r * c, seed + 1)]),
);

/** y_i = x W_iᵀ + bias_i + scale · (x A_iᵀ) B_iᵀ of the three layers, one behind the other. */
function reference(v: Values): Float64Array {
  let first = 0;
  const ys = OUTS.map((n, i) => {
    const y = matmulReference(v.x!, v[`W${i}`]!, { m: ROWS, n, k: IN, layout: "NT" });
    const r = RANKS[i]!;
    const A = Float64Array.from(v.A!).slice(first * IN, (first + r) * IN);
    first += r;
    const h = matmulReference(v.x!, A, { m: ROWS, n: r, k: IN, layout: "NT" });
    const branch = r ? matmulReference(h, v[`B${i}`]!, { m: ROWS, n, k: r, layout: "NT" }) : undefined;
    return y.map((value, at) => {
      const bias = i === 1 ? v.bias1![at % n]! : 0;
      return value + bias + SCALE * (branch?.[at] ?? 0);
    });
  });
  return Float64Array.from(ys.flatMap((y) => [...y]));
}

/** What the next small tensors are made of where nobody writes them. */
function leaveNaN(device: Device): void {
  scoped(device, () => {
    for (let i = 0; i < 16; i++) empty(device, [ROWS, 7]);
    return undefined;
  });
}

async function run(names: readonly Name[], dys: readonly (Float64Array | undefined)[]) {
  const device = await testDevice();
  leaveNaN(device);
  const t = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => {
      const size = name === "bias1" ? [shape[1]] : name === "x" ? [2, ROWS / 2, IN] : shape;
      return [name, floats(device, values[name]!, size)];
    }),
  ) as Record<Name, Tensor>;
  const tape = new Tape();
  for (const name of names) tape.watch(t[name]!);
  const layers = [
    { weight: t.W0!, B: t.B0 },
    { weight: t.W1!, bias: t.bias1 },
    { weight: t.W2!, B: t.B2 },
  ];
  const ys = ops.linears(tape, t.x!, layers, { A: t.A!, scale: SCALE, dropout: 0, seed: 0 });
  // Σ dy · y as one op, so that an output without a dy gets no gradient.
  const used = ys.filter((_, i) => dys[i]);
  const end = floats(device, [0], [1]);
  tape.record(end, used, [], (_, give) => {
    for (const [i, y] of ys.entries()) {
      const dy = dys[i];
      if (dy) give(y, () => floats(device, dy, y.shape));
    }
  });
  return { ys, t, gradients: tape.backward(end, floats(device, [1], [1])) };
}

const all = OUTS.map((n, i) => randomValues(ROWS * n, 20 + i));

test("several layers of one input, with and without a branch", async () => {
  const { ys } = await run(["x"], all);
  const got = await Promise.all(ys.map((y) => y.read()));
  expect(ys.map(({ shape }) => shape)).toEqual(OUTS.map((n) => [2, ROWS / 2, n]));
  expect(Float64Array.from(got.flatMap((y) => [...y]))).toBeClose(reference(values));
});

test.each([
  { used: "all outputs", dys: all },
  { used: "one with a branch", dys: [undefined, undefined, all[2]] },
  { used: "the one without a branch", dys: [undefined, all[1], undefined] },
])("gradients, of $used", async ({ dys }) => {
  const names = Object.keys(shapes);
  const { t, gradients } = await run(names, dys);
  const dy = Float64Array.from(OUTS.flatMap((n, i) => [...(dys[i] ?? new Float64Array(ROWS * n))]));
  for (const name of names) {
    const wanted = centralDifferences((v) => reference({ ...values, [name]: v }), values[name]!, dy);
    const got = gradients.get(t[name]!);
    if (got) expect(await got.read(), name).toBeClose(wanted, 1e-4);
    else expect(Math.max(...wanted.map(Math.abs)), name).toBeLessThan(1e-6);
  }
});

test("A's gradient belongs to what dropout leaves of x", async () => {
  const device = await testDevice();
  const X = floats(device, values.x!, [ROWS, IN]);
  const A = floats(device, Array.from(values.A!).slice(0, 4 * IN), [4, IN]);
  const [W, B] = [floats(device, new Float64Array(12 * IN), [12, IN]), floats(device, values.B0!, [12, 4])];
  const tape = new Tape();
  tape.watch(A);
  const y = ops.linear(tape, X, W, { B, lora: { A, scale: SCALE, dropout: 0.5, seed: 7 } });
  const dy = randomValues(ROWS * 12, 9);
  const gradient = await tape
    .backward(y, floats(device, dy, y.shape))
    .get(A)!
    .read();
  // W is zero and y linear in A: what y adds up to with dy is what A adds up to with its gradient.
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);
  expect([dot(gradient, await A.read())]).toBeClose([dot(dy, await y.read())], 1e-4);
});

test("a frozen layer hands on the gradient of x and computes no other", async () => {
  const { t, gradients } = await run(["x"], all);
  expect([...gradients.keys()]).toEqual([t.x]);
});

test("a weight that was computed for the pass lives until its gradient has been", async () => {
  const device = await testDevice();
  const t = Object.fromEntries(
    ["x", "W0", "A", "B0"].map((name) => [name, floats(device, values[name]!, shapes[name]!)]),
  ) as Record<Name, Tensor>;
  const gradientOf = async (weightOf: (tape: Tape) => Tensor) => {
    const tape = new Tape();
    tape.watch(t.x!);
    const branch = { A: t.A!.slice(0, 4), scale: SCALE, dropout: 0, seed: 0 };
    const y = scoped(device, () => ops.linear(tape, t.x!, weightOf(tape), { B: t.B0!, lora: branch }));
    leaveNaN(device); // takes the memory of what the scope has freed
    const dy = floats(device, randomValues(y.size, 9), y.shape);
    return tape.backward(y, dy).get(t.x!)!.read();
  };
  const stored = await gradientOf(() => t.W0!);
  expect(await gradientOf((tape) => ops.scale(tape, ops.scale(tape, t.W0!, 2), 0.5))).toEqual(stored);
});
