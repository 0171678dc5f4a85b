import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openShapeDevice, TYPICAL_GPU } from "../../src/gpu/shape-device.ts";
import { loadMatrixKernels, type MatrixUnits } from "../../src/gpu/subgroup-matrix.ts";
import { empty, type Tensor } from "../../src/gpu/tensor.ts";
import { attention, attentionBackward, attentionClass } from "../../src/kernels/attention.ts";
import { attentionTileOf } from "../../src/kernels/attention-matrix.ts";
import { convert } from "../../src/kernels/elementwise.ts";
import { attentionGradients, attentionReference } from "../reference/attention.ts";
import {
  type Case,
  inputsOf,
  lengths,
  PACKED,
  problemOf,
  upload,
  withGarbage,
} from "../support/attention-problems.ts";
import { testDevice } from "../support/device.ts";
import { toHalf } from "../support/halves.ts";
import { type ClaimedShape, openWithMatrices } from "../support/matrix-units.ts";

const HALF = { M: 16, N: 16, K: 16, componentType: "f16" };
const FLAT = { M: 8, N: 16, K: 16, componentType: "f16" };
const NARROW = { M: 16, N: 8, K: 16, componentType: "f16" };
const EXACT = { M: 8, N: 8, K: 8, componentType: "f32" };

/**
 * The weights of a row, of which each is rounded to 11 bits, on some devices towards zero; inputs are values that f16 has. Errors
 * are judged by the rms of a row's mean, which is less than a third of its largest value.
 */
const WEIGHTS = 2 ** -9;
/** Gradients: sums of weights, or of slopes, which add up to 0, each rounded so; o, from which D is made, has the weights' error. */
const SLOPES = 2 ** -7;
/** Everything else is f32. */
const SUMS = 1e-5;

/** These kernels in plain WGSL take half a minute to compile, and more on a busy machine. */
const COMPILING = 600_000;

const devices = new Map<ClaimedShape, Promise<Device>>();

/** A device that decides as a GPU with such units. */
function deviceWith(shape: ClaimedShape): Promise<Device> {
  const known = devices.get(shape) ?? openWithMatrices({ shapes: [shape] }, { profile: "gpu" });
  devices.set(shape, known);
  return known;
}

interface MatrixCase extends Case {
  shape?: ClaimedShape;
  halves?: boolean;
}

const cases: MatrixCase[] = [
  // As many fragments along a head as there may be.
  { name: "units of 16×8×16, GQA 2/1", queries: 100, headDim: 64, heads: 2, kvHeads: 1, shape: NARROW },
  { name: "one query", queries: 1, headDim: 16 },
  { name: "lengths 37, 70, 0", queries: 70, headDim: 16, rows: lengths(37, 70, 0) },
  {
    name: "packed, window 9, GQA 4/2",
    queries: 70,
    headDim: 16,
    heads: 4,
    kvHeads: 2,
    rows: PACKED,
    window: 9,
  },
  { name: "packed, not causal", queries: 70, headDim: 16, rows: PACKED, causal: false },
  {
    name: "a cache, each row of its own length",
    ...{ queries: 37, headDim: 16, keyStride: 80, heads: 4, kvHeads: 2 },
    rows: [
      { past: 33, begin: 0, documents: [37] },
      { past: 20, begin: 7, documents: [37] }, // begun with padding
      { past: 9, begin: 0, documents: [] }, // ended
    ],
  },
  {
    name: "sinks and softcap, packed",
    ...{
      queries: 70,
      headDim: 16,
      heads: 4,
      kvHeads: 2,
      rows: PACKED,
      softcap: 1.5,
      sinks: [2, -3, 0.5, 90],
    },
  },
  { name: "f16", queries: 70, headDim: 32, heads: 2, kvHeads: 1, halves: true },
  { name: "units of 8×16×16", queries: 70, headDim: 32, shape: FLAT },
  // The widest heads: with units of 16 rows the backward pass wants more memory than software devices have.
  { name: "heads of 128 on units of 8×16×16", queries: 40, headDim: 128, heads: 1, shape: FLAT },
  { name: "units of 8×8×8 in f32", queries: 70, headDim: 24, shape: EXACT },
];

describe.each(cases)(
  "attention on matrix units, $name",
  ({ name: _, shape = HALF, halves = false, ...given }) => {
    test("forward and backward", { timeout: COMPILING }, async () => {
      const hasHalves = (await testDevice()).info.f16;
      if (halves && !hasHalves) return;
      const device = await deviceWith(shape);
      // Where the type is emulated, too, values take twice the memory.
      const p = problemOf(hasHalves ? given : { ...given, headDim: Math.min(given.headDim ?? 16, 48) });
      const isExact = shape.componentType === "f32";
      const clean = inputsOf(p, isExact ? (x) => x : toHalf);
      const inputs = upload(device, p, withGarbage(p, clean));
      const stored = (x: Tensor) => (halves ? convert(x, "f16") : x);
      const read = (x: Tensor) => (halves ? convert(x, "f32") : x).read();
      const [q, k, v] = [stored(inputs.q), stored(inputs.k), stored(inputs.v)];
      const options = { ...inputs.options, matrixUnits: true };
      const { o, logsumexp } = attention(q, k, v, options);
      const wanted = attentionReference(clean, p);
      const known = (values: ArrayLike<number>) =>
        Array.from(values).filter((_, i) => !Number.isNaN(wanted.logsumexp[i]));
      expect(await read(o)).toBeClose(wanted.o, isExact ? SUMS : WEIGHTS);
      expect(known(await logsumexp.read())).toBeClose(known(wanted.logsumexp), SUMS);
      const { dq, dk, dv } = attentionGradients(clean, p, clean.dO);
      const got = attentionBackward(stored(inputs.dO), { q, k, v, o, logsumexp, ...options });
      const bound = p.keyStride === 1 ? Infinity : isExact ? 1e-4 : SLOPES; // a single key's gradient is 0
      expect(await read(got.dq)).toBeClose(dq, bound);
      expect(await read(got.dk)).toBeClose(dk, bound);
      expect(await read(got.dv)).toBeClose(dv, isExact ? 1e-4 : SLOPES);
    });
  },
);

test("gradients far below what f16 can tell apart keep their bits", { timeout: COMPILING }, async () => {
  const device = await deviceWith(FLAT);
  const p = problemOf({ queries: 70, headDim: 32, heads: 2, kvHeads: 1 });
  const clean = inputsOf(p, toHalf);
  const dO = Float64Array.from(clean.dO, (x) => x * 2 ** -40);
  const { q, k, v, options, dO: upstream } = upload(device, p, { ...clean, dO });
  const saved = { q, k, v, ...attention(q, k, v, { ...options, matrixUnits: true }), ...options };
  const got = attentionBackward(upstream, { ...saved, matrixUnits: true });
  const wanted = attentionGradients(clean, p, dO);
  expect(await got.dq.read()).toBeClose(wanted.dq, SLOPES);
  expect(await got.dk.read()).toBeClose(wanted.dk, SLOPES);
  expect(await got.dv.read()).toBeClose(wanted.dv, SLOPES);
});

test("scores of ±1000 that grow from key to key: sums are scaled down again and again", async () => {
  const device = await deviceWith(FLAT);
  const p = problemOf({ queries: 100, headDim: 32, heads: 1, scale: 1 });
  const random = inputsOf(p, toHalf);
  // Scores are sums of keys, which f16 has: about 10 i for key i.
  const inputs = {
    ...random,
    q: Float64Array.from(random.q, () => 1),
    k: Float64Array.from(random.k, (x, i) => Math.floor(i / 32) * 0.3125 + Math.sign(x) / 16),
  };
  const wanted = attentionReference(inputs, p);
  expect(wanted.logsumexp.at(-1)).toBeGreaterThan(900);
  const { q, k, v, options } = upload(device, p, inputs);
  const { o, logsumexp } = attention(q, k, v, { ...options, matrixUnits: true });
  expect(await o.read()).toBeClose(wanted.o, WEIGHTS);
  expect(await logsumexp.read()).toBeClose(wanted.logsumexp, SUMS);
});

const NVIDIA = { m: 16, n: 16, k: 16, type: "f16", lanes: 32, pinned: false } as const;
const LIMITS = { invocations: 1024, workgroupBytes: 49152 };
const FULL: MatrixUnits = { ...NVIDIA, ...LIMITS };

/** Subgroups and others, forward and backward. */
test.each<[string, MatrixUnits, number, unknown, unknown]>([
  ["heads of 64", FULL, 64, [4, 32], [4, 32]],
  ["heads of 128", FULL, 128, [4, 32], [2, 16]],
  ["heads of 128 on AMD", { ...FULL, workgroupBytes: 65536 }, 128, [4, 32], [4, 16]],
  ["heads of 80", FULL, 80, [4, 32], [4, 16]],
  ["heads of 72, which are no whole fragments", FULL, 72, undefined, undefined],
  ["heads of 256, whose sums are too many", FULL, 256, undefined, undefined],
  ["less memory", { ...FULL, workgroupBytes: 32768 }, 128, [2, 32], undefined],
  ["little memory", { ...FULL, workgroupBytes: 16384 }, 64, [2, 16], undefined],
  ["subgroups of 64", { ...FULL, lanes: 64 }, 64, [4, 32], [4, 32]],
  ["subgroups of 8, fewer than rows", { ...FULL, lanes: 8 }, 64, undefined, undefined],
  ["f32 in 8×8×8", { ...FULL, m: 8, n: 8, k: 8, type: "f32" }, 64, [4, 32], [4, 16]],
])("the tile on %s", (_, units, headDim, ...wanted) => {
  const sizes = (["forward", "backward"] as const).map((pass) => {
    const { SUBGROUPS, OTHERS } = attentionTileOf(units, pass, headDim)?.constants ?? {};
    return SUBGROUPS && [SUBGROUPS, OTHERS];
  });
  expect(sizes).toEqual(wanted);
});

test("matrix units are taken where they fit, and where no measurement says otherwise", async () => {
  await loadMatrixKernels();
  const facts = { ...TYPICAL_GPU, info: { ...TYPICAL_GPU.info, matrixUnits: FULL } };
  const kernelOf = (choices: [string, string][], headDim: number, portable = false) => {
    const { device } = openShapeDevice({ ...facts, choices: new Map(choices) });
    const asked: string[] = [];
    const run = device.run.bind(device);
    device.run = (module, ...launch) => {
      asked.push(module.name);
      run(module, ...launch);
    };
    const at = (...shape: number[]) => empty(device, shape);
    const spans = empty(device, [1, 8, 2], "u32");
    attention(at(1, 8, 2, headDim), at(1, 8, 2, headDim), at(1, 8, 2, headDim), {
      scale: 1,
      spans,
      portable,
    });
    return asked;
  };
  expect(kernelOf([], 64)).toEqual(["attention-subgroup-matrix"]);
  expect(kernelOf([], 72)).toEqual(["attention"]);
  expect(kernelOf([], 64, true)).toEqual(["attention"]);
  expect(kernelOf([[attentionClass(64), "plain"]], 64)).toEqual(["attention"]);
  expect(kernelOf([[attentionClass(64), "matrix"]], 64)).toEqual(["attention-subgroup-matrix"]);
});

test("matrix units that are wanted and not there are refused", async () => {
  const device = await testDevice();
  const p = problemOf({ headDim: 16 });
  const { q, k, v, options } = upload(device, p, inputsOf(p));
  expect(() => attention(q, k, v, { ...options, matrixUnits: true })).toThrow(
    /no matrix units for heads of 16 columns/,
  );
});
