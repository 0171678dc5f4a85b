import { describe, expect, test } from "vitest";
import * as ops from "../../src/autograd/ops.ts";
import { Tape } from "../../src/autograd/tape.ts";
import { scoped, type Tensor } from "../../src/gpu/tensor.ts";
import { loadRounding } from "../../src/kernels/late-rounding.ts";
import { unitLength } from "../../src/nn/norm.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";
import { rmsNormReference } from "../reference/rms-norm.ts";
import { floats, testDevice } from "../support/device.ts";

const [rows, cols] = [3, 8];
const x = randomValues(rows * cols, 1);
const w = randomValues(cols * cols, 2);
const gain = randomValues(cols, 3);
const dy = randomValues(rows * cols, 4);

/** x + W norm(x) + W x: a residual branch, a tensor used twice and a weight used twice. */
function block(tape: Tape | undefined, X: Tensor, W: Tensor, G: Tensor): Tensor {
  const branch = ops.linear(tape, ops.rmsNorm(tape, X, G, { eps: 1e-5 }), W);
  return ops.add(tape, ops.add(tape, X, branch), ops.linear(tape, X, W));
}

function blockReference(x: ArrayLike<number>, w: ArrayLike<number>, gain: ArrayLike<number>): Float64Array {
  const product = (a: ArrayLike<number>) =>
    matmulReference(a, w, { m: rows, n: cols, k: cols, layout: "NT" });
  const [branch, direct] = [product(rmsNormReference(x, gain, 1e-5)), product(x)];
  return Float64Array.from(x, (value, i) => value + branch[i]! + direct[i]!);
}

async function inputs() {
  const device = await testDevice();
  return {
    device,
    X: floats(device, x, [rows, cols]),
    W: floats(device, w, [cols, cols]),
    G: floats(device, gain, [cols]),
    dY: floats(device, dy, [rows, cols]),
  };
}

describe("backward", () => {
  test("gradients of shared inputs, a residual and weights equal central differences", async () => {
    const { X, W, G, dY } = await inputs();
    const tape = new Tape();
    for (const leaf of [X, W, G]) tape.watch(leaf);
    const gradients = tape.backward(block(tape, X, W, G), dY);
    const wanted = {
      x: centralDifferences((v) => blockReference(v, w, gain), x, dy),
      w: centralDifferences((v) => blockReference(x, v, gain), w, dy),
      gain: centralDifferences((v) => blockReference(x, w, v), gain, dy),
    };
    expect(await gradients.get(X)!.read()).toBeClose(wanted.x, 1e-5);
    expect(await gradients.get(W)!.read()).toBeClose(wanted.w, 1e-5);
    expect(await gradients.get(G)!.read()).toBeClose(wanted.gain, 1e-5);
    expect(await dY.read()).toBeClose(dy, 0); // passed on unchanged by the residual, never added to
  });

  test("a gradient that a residual passed on is not added to while others still read it", async () => {
    const { X, W, dY } = await inputs();
    const tape = new Tape();
    tape.watch(X);
    const y = ops.add(tape, X, ops.linear(tape, X, W)); // X gets dY itself first, and then the branch's share
    const gradients = tape.backward(y, dY);
    const through = matmulReference(dy, w, { m: rows, n: cols, k: cols, layout: "NN" });
    expect(await gradients.get(X)!.read()).toBeClose(through.map((value, i) => value + dy[i]!));
    expect(await dY.read()).toBeClose(dy, 0);
  });

  test.each(["backward", "recomputing"])("an exception in %s releases what the tape held", async (where) => {
    const { device, X, W, G, dY } = await inputs();
    const before = device.memory.stats.used;
    const scope = device.memory.beginScope();
    const tape = new Tape();
    tape.watch(X);
    let fails = false;
    const failing = (inner: Tape | undefined, x: Tensor) => {
      if (fails) throw new Error("planted");
      const y = ops.scale(inner, block(inner, x, W, G), 2);
      return (
        inner?.record(y, [x], [y], () => {
          if (where === "backward") throw new Error("planted");
        }) ?? y
      );
    };
    const y = where === "backward" ? failing(tape, X) : tape.checkpoint(X, failing);
    fails = true;
    expect(() => tape.backward(ops.add(tape, y, X), dY)).toThrow("planted");
    device.memory.endScope(scope);
    expect(device.memory.stats.used).toBe(before);
  });

  test("a slice of what needs a gradient is refused, where it would get none", async () => {
    const { X } = await inputs();
    const tape = new Tape();
    tape.watch(X);
    expect(() => ops.scale(tape, X.slice(0, 1), 2)).toThrow("a slice of a tensor that needs a gradient");
  });

  test("rows of unit length: the weights that the backward pass reads live until then", async () => {
    const { device, X, dY } = await inputs();
    const tape = new Tape();
    tape.watch(X);
    const y = scoped(device, () => unitLength(tape, X));
    scoped(device, () => floats(device, new Float32Array(cols).fill(7), [cols])); // takes what is free
    const unit = (v: ArrayLike<number>) =>
      Float64Array.from(v, (value, i) => {
        const row = Array.from({ length: cols }, (_, j) => v[i - (i % cols) + j] as number);
        return value / Math.hypot(...row);
      });
    const gradient = tape.backward(y, dY).get(X)!;
    expect(await gradient.read()).toBeClose(centralDifferences(unit, x, dy), 1e-5);
  });

  test("a checkpointed block gives the same gradients and keeps only its input", async () => {
    const { device, X, W, G, dY } = await inputs();
    const plain = new Tape();
    const checked = new Tape();
    for (const tape of [plain, checked]) for (const leaf of [X, W]) tape.watch(leaf);
    const before = device.memory.stats.used;
    const y = checked.checkpoint(X, (tape, x) => block(tape, x, W, G));
    expect(device.memory.stats.used - before).toBe(y.storage.size);
    expect(checked.length).toBe(1);
    const want = plain.backward(block(plain, X, W, G), dY);
    const got = checked.backward(y, dY);
    for (const leaf of [X, W]) expect(await got.get(leaf)!.read()).toEqual(await want.get(leaf)!.read());
  });

  test("a checkpointed block that nothing depends on is not recorded", async () => {
    const { X, W, G } = await inputs();
    const tape = new Tape();
    tape.checkpoint(X, (inner, x) => block(inner, x, W, G));
    expect(tape.length).toBe(0);
  });

  test("sinks are added to", async () => {
    const { device, X, W, G, dY } = await inputs();
    const sink = floats(device, new Float64Array(cols * cols).fill(1), [cols, cols]);
    const run = () => {
      const tape = new Tape();
      tape.watch(W);
      return tape.backward(block(tape, X, W, G), dY, new Map([[W, sink]]));
    };
    expect(run().size).toBe(0);
    run();
    const want = centralDifferences((v) => blockReference(x, v, gain), w, dy);
    expect(await sink.read()).toBeClose(
      want.map((value) => 1 + 2 * value),
      1e-5,
    );
  });

  test("only what depends on a watched tensor is recorded, and everything is released", async () => {
    const { device, X, W, G, dY } = await inputs();
    const before = device.memory.stats.used;
    scoped(device, () => {
      const none = new Tape();
      block(none, X, W, G);
      expect(none.length).toBe(0);
      const tape = new Tape();
      tape.watch(G);
      const y = block(tape, X, W, G);
      expect(tape.length).toBe(4); // norm, its linear, two additions; not the linear of x
      expect([...tape.backward(y, dY).keys()]).toEqual([G]);
      return undefined;
    });
    expect(device.memory.stats.used).toBe(before);
  });

  test("a tape of 8 bits says what it needs, and rounds once that is there", async () => {
    const { device, X, W, G, dY } = await inputs();
    const open = (activationBits: number) => new Tape({ activationBits: activationBits as 8 });
    expect(() => open(16)).toThrow(/activationBits is 16\n.*32, or 8/);
    expect(() => open(8)).toThrow(/activationBits is 8\n.*await loadRounding\(\)/);
    await loadRounding();
    const tape = open(8);
    tape.watch(W);
    const gradient = scoped(device, () => {
      const y = scoped(device, () => block(tape, X, W, G));
      tape.endLayer();
      return tape.backward(y, dY).get(W) as Tensor;
    });
    const want = centralDifferences((v) => blockReference(x, v, gain), w, dy);
    const largest = Math.max(...want.map(Math.abs));
    for (const [i, value] of (await gradient.read()).entries())
      expect(Math.abs(value - want[i]!)).toBeLessThan(0.02 * largest);
  });
});
