import { describe, expect, test } from "vitest";
import { empty, fromArray, scoped } from "../../src/gpu/tensor.ts";
import { attention, attentionBackward, attentionDecode } from "../../src/kernels/attention.ts";
import {
  type AttentionInputs,
  type AttentionProblem,
  attentionGradients,
  attentionReference,
  spansOf,
} from "../reference/attention.ts";
import { centralDifferences } from "../reference/gradient.ts";
import {
  type Case,
  inputsOf,
  lengths,
  PACKED,
  problemOf,
  upload,
  withGarbage,
} from "../support/attention-problems.ts";
import { floats, testDevice } from "../support/device.ts";

/** Few head sizes with many masks: what takes time here is compiling, once for each head size. */
const cases: Case[] = [
  { name: "one query, D 3", queries: 1, headDim: 3 },
  { name: "T 37, D 3, not causal", queries: 37, headDim: 3, causal: false, heads: 1 },
  { name: "T 37, D 8", queries: 37, headDim: 8 },
  { name: "T 70, D 64", queries: 70, headDim: 64, batch: 2 },
  { name: "T 37, D 128", queries: 37, headDim: 128, portable: true },
  { name: "T 3", headDim: 12, batch: 2, portable: true },
  { name: "GQA 4/2", queries: 37, headDim: 12, heads: 4, kvHeads: 2, batch: 2, portable: true },
  { name: "GQA 6/2", queries: 70, headDim: 12, heads: 6, kvHeads: 2, portable: true },
  { name: "window 9", queries: 70, headDim: 12, window: 9, portable: true },
  { name: "window 40, not causal", queries: 70, headDim: 12, window: 40, causal: false, portable: true },
  { name: "lengths inside a block of rows", queries: 20, rows: lengths(3, 6, 10, 13), portable: true },
  { name: "lengths 37, 70, 0", queries: 70, headDim: 12, rows: lengths(37, 70, 0), portable: true },
  {
    name: "lengths, not causal",
    ...{ queries: 37, headDim: 12, rows: lengths(5, 36), causal: false, portable: true },
  },
  { name: "packed", queries: 70, headDim: 12, rows: PACKED, portable: true },
  {
    name: "packed, window 9, GQA 4/2",
    ...{ queries: 70, headDim: 12, heads: 4, kvHeads: 2, rows: PACKED, window: 9, portable: true },
  },
  { name: "packed, not causal", queries: 70, headDim: 12, rows: PACKED, causal: false, portable: true },
  {
    name: "packed, not causal, window 9",
    ...{ queries: 70, headDim: 12, rows: PACKED, causal: false, window: 9, portable: true },
  },
  {
    name: "a cache, each row of its own length",
    ...{ queries: 37, headDim: 12, keyStride: 80, heads: 4, kvHeads: 2, portable: true },
    rows: [
      { past: 33, begin: 0, documents: [37] },
      { past: 40, begin: 0, documents: [20] }, // padded
      { past: 20, begin: 7, documents: [37] }, // begun with padding
      { past: 9, begin: 0, documents: [] }, // ended
      { left: 5, documents: [32] }, // begins
    ],
  },
  {
    name: "sinks, packed, window 9, GQA 4/2",
    ...{ queries: 70, headDim: 12, heads: 4, kvHeads: 2, rows: PACKED, window: 9, portable: true },
    sinks: [2, -3, 0.5, 90],
  },
  {
    name: "everything at once",
    ...{
      queries: 37,
      headDim: 12,
      keyStride: 75,
      heads: 4,
      kvHeads: 2,
      window: 20,
      softcap: 1.5,
      portable: true,
    },
    rows: [
      { past: 33, begin: 0, documents: [37] },
      { past: 33, begin: 5, documents: [17] },
      { left: 4, documents: [10, 20] },
    ],
  },
];

/** A single key has probability 1 whatever q is: its gradient is rounding noise around zero. */
const isNoise = (p: AttentionProblem) => p.keyStride === 1;

async function expectCorrect(p: AttentionProblem, portable: boolean): Promise<void> {
  const device = await testDevice();
  const clean = inputsOf(p);
  const { q, k, v, dO, options } = upload(device, p, withGarbage(p, clean));
  const { o, logsumexp } = attention(q, k, v, { ...options, portable });
  const gradients = attentionBackward(dO, { q, k, v, o, logsumexp, ...options, portable });
  const wanted = attentionReference(clean, p);
  const known = (values: ArrayLike<number>) =>
    Array.from(values).filter((_, i) => !Number.isNaN(wanted.logsumexp[i]));
  expect(await o.read()).toBeClose(wanted.o);
  expect(known(await logsumexp.read())).toBeClose(known(wanted.logsumexp));
  const { dq, dk, dv } = attentionGradients(clean, p, clean.dO);
  expect(await gradients.dq.read()).toBeClose(dq, isNoise(p) ? Infinity : 1e-4);
  expect(await gradients.dk.read()).toBeClose(dk, isNoise(p) ? Infinity : 1e-4);
  expect(await gradients.dv.read()).toBeClose(dv, 1e-4);
}

describe.each(cases)("attention $name", ({ name: _, portable, ...given }) => {
  test("forward and backward", () => expectCorrect(problemOf(given), false));
  test.runIf(portable)("forward and backward, portable kernels", () => expectCorrect(problemOf(given), true));
});

test("attention gradients of the device and of the reference are central differences of the forward", async () => {
  const device = await testDevice();
  const p = problemOf({
    ...{ queries: 5, headDim: 12, keyStride: 8, heads: 4, kvHeads: 2, window: 4, softcap: 1.5 },
    rows: [
      { past: 2, begin: 0, documents: [4] },
      { left: 1, documents: [1, 3] },
    ],
  });
  const inputs = inputsOf(p);
  const forward = (changed: Partial<AttentionInputs>) => attentionReference({ ...inputs, ...changed }, p).o;
  const [dq, dk, dv] = [
    centralDifferences((q) => forward({ q }), inputs.q, inputs.dO),
    centralDifferences((k) => forward({ k }), inputs.k, inputs.dO),
    centralDifferences((v) => forward({ v }), inputs.v, inputs.dO),
  ];
  const reference = attentionGradients(inputs, p, inputs.dO);
  expect(reference.dq).toBeClose(dq, 1e-7);
  expect(reference.dk).toBeClose(dk, 1e-7);
  expect(reference.dv).toBeClose(dv, 1e-7);
  const { q, k, v, dO, options } = upload(device, p, inputs);
  const got = attentionBackward(dO, { q, k, v, ...attention(q, k, v, options), ...options });
  expect(await got.dq.read()).toBeClose(dq, 1e-4);
  expect(await got.dk.read()).toBeClose(dk, 1e-4);
  expect(await got.dv.read()).toBeClose(dv, 1e-4);
});

describe("attention with scores around ±1000", () => {
  // Whole numbers keep the products exact: the softmax itself is what is tested.
  const p = problemOf({ queries: 37, headDim: 12, heads: 4, kvHeads: 2, batch: 2, scale: 1 });
  const inputs = inputsOf(p);
  const whole = (values: ArrayLike<number>) => Float64Array.from(values, (x) => Math.round(10 * x));
  const large = { ...inputs, q: whole(inputs.q), k: whole(inputs.k) };
  const largest = attentionReference(large, p).logsumexp.reduce((a, b) => Math.max(a, b));

  test.each([false, true])("portable %s", async (portable) => {
    expect(largest).toBeGreaterThan(900);
    const device = await testDevice();
    const { q, k, v, dO, options } = upload(device, p, large);
    const forward = attention(q, k, v, { ...options, portable });
    expect(await forward.o.read()).toBeClose(attentionReference(large, p).o);
    const got = attentionBackward(dO, { q, k, v, ...forward, ...options, portable });
    const wanted = attentionGradients(large, p, large.dO);
    expect(await got.dq.read()).toBeClose(wanted.dq, 1e-3);
    expect(await got.dk.read()).toBeClose(wanted.dk, 1e-3);
    expect(await got.dv.read()).toBeClose(wanted.dv, 1e-3);
  });
});

const decodeCases: Case[] = [
  { name: "first token", headDim: 12, rows: [{ documents: [1] }], keyStride: 40 },
  {
    name: "D 64, 1200 keys of 1300",
    headDim: 64,
    rows: [{ past: 1199, begin: 0, documents: [1] }],
    keyStride: 1300,
  },
  {
    name: "GQA 4/2, each row of its own length",
    ...{ headDim: 12, heads: 4, kvHeads: 2, keyStride: 90 },
    rows: [
      { past: 89, begin: 0, documents: [1] },
      { past: 40, begin: 10, documents: [1] },
      { past: 40, documents: [] },
    ],
  },
  { name: "sinks", headDim: 12, heads: 4, kvHeads: 2, keyStride: 90, window: 17, sinks: [2, -3, 0.5, 90] },
  { name: "window and softcap", headDim: 12, keyStride: 90, window: 17, softcap: 1.5 },
  { name: "D 3", headDim: 3, keyStride: 70 },
  { name: "D 128", headDim: 128, keyStride: 70 },
];

test.each(decodeCases)("attentionDecode $name", async ({ name: _, ...given }) => {
  const device = await testDevice();
  const p = problemOf({ ...given, queries: 1 });
  const clean = inputsOf(p);
  const { q, k, v, options } = upload(device, p, withGarbage(p, clean));
  expect(await attentionDecode(q, k, v, options).read()).toBeClose(attentionReference(clean, p).o);
});

test("attentionDecode of the last token is the last row of attention", async () => {
  const device = await testDevice();
  const p = problemOf({ queries: 70, headDim: 12, heads: 4, kvHeads: 2 });
  const { q, k, v, options } = upload(device, p, inputsOf(p));
  const all = await attention(q, k, v, options).o.read();
  const row = p.heads * p.headDim;
  const last = floats(device, (await q.read()).subarray(69 * row), [1, 1, p.heads, p.headDim]);
  const spans = fromArray(device, Uint32Array.of(0, 70), [1, 1, 2]);
  expect(await attentionDecode(last, k, v, { ...options, spans }).read()).toBeClose(all.subarray(69 * row));
});

test("attention needs memory linear in T", async () => {
  const device = await testDevice();
  const extra = (queries: number) => {
    const shape = [1, queries, 4, 64];
    return scoped(device, () => {
      const [q, k, v, dO] = [
        empty(device, shape),
        empty(device, shape),
        empty(device, shape),
        empty(device, shape),
      ];
      const spans = fromArray(device, Uint32Array.from(spansOf(queries, { documents: [queries] }).flat()), [
        1,
        queries,
        2,
      ]);
      const options = { scale: 0.125, spans };
      device.memory.resetPeak();
      const before = device.memory.stats.used;
      attentionBackward(dO, { q, k, v, ...attention(q, k, v, options), ...options });
      measured.push(device.memory.stats.peak - before);
      return undefined;
    });
  };
  const measured: number[] = [];
  for (const queries of [128, 256, 512]) extra(queries);
  const perQuery = 4 * (4 * 64 * 4 + 3 * 4); // o, dq, dk, dv; logsumexp and the statistics
  for (const [i, queries] of [128, 256, 512].entries()) {
    expect(measured[i]).toBeLessThanOrEqual(perQuery * queries * 1.125 + 4096); // size classes
  }
});

test("attention names what does not fit", async () => {
  const device = await testDevice();
  const at = (...shape: number[]) => empty(device, shape);
  const options = { scale: 1, spans: fromArray(device, new Uint32Array(8), [1, 4, 2]) };
  const q = at(1, 4, 6, 8);
  expect(() => attention(q, at(1, 4, 4, 8), at(1, 4, 4, 8), options)).toThrow(/attention: .*do not fit/);
  expect(() => attention(q, at(1, 4, 2, 8), at(1, 5, 2, 8), options)).toThrow(/k and v differ/);
  expect(() => attention(q, at(1, 3, 2, 8), at(1, 3, 2, 8), options)).toThrow(/4 queries for 3 keys/);
  const spans = fromArray(device, new Uint32Array(4), [1, 4]);
  expect(() => attention(q, at(1, 4, 2, 8), at(1, 4, 2, 8), { ...options, spans })).toThrow(
    /spans is u32 \[1,4\], expected u32 \[1, 4, 2\]/,
  );
  expect(() => attention(q, at(1, 4, 2, 8), at(1, 4, 2, 8), { ...options, sinks: at(4) })).toThrow(
    /sinks is f32 \[4\], expected f32 \[6\]/,
  );
  expect(() => attentionDecode(q, at(1, 4, 2, 8), at(1, 4, 2, 8), options)).toThrow(/use attention/);
});
