import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { fromArray, scoped } from "../../src/gpu/tensor.ts";
import {
  type AttentionOptions,
  attention,
  attentionBackward,
  attentionDecode,
} from "../../src/kernels/attention.ts";
import {
  type AttentionInputs,
  type AttentionProblem,
  attentionGradients,
  attentionReference,
} from "../reference/attention.ts";
import { centralDifferences, randomValues } from "../reference/gradient.ts";
import { floats, testDevice } from "../support/device.ts";

interface Case extends Partial<AttentionProblem> {
  name: string;
}

function problemOf(given: Partial<AttentionProblem>): AttentionProblem {
  const { queries = 3, headDim = 8, heads = 2 } = given;
  return {
    batch: 1,
    queries,
    heads,
    kvHeads: heads,
    headDim,
    keyStride: queries,
    scale: 1 / Math.sqrt(headDim),
    ...Object.fromEntries(Object.entries(given).filter(([key]) => key !== "name")),
  };
}

function inputsOf(p: AttentionProblem): AttentionInputs & { dO: Float64Array } {
  const queryValues = p.batch * p.queries * p.heads * p.headDim;
  const keyValues = p.batch * p.keyStride * p.kvHeads * p.headDim;
  return {
    q: randomValues(queryValues, 1),
    k: randomValues(keyValues, 2),
    v: randomValues(keyValues, 3),
    dO: randomValues(queryValues, 4),
  };
}

function upload(device: Device, p: AttentionProblem, inputs: AttentionInputs & { dO: ArrayLike<number> }) {
  const keyShape = [p.batch, p.keyStride, p.kvHeads, p.headDim];
  const queryShape = [p.batch, p.queries, p.heads, p.headDim];
  const { batch, queries, keyStride, heads, kvHeads, headDim, lengths, ...rest } = p;
  const options = { ...rest, ...(lengths && { lengths: fromArray(device, Uint32Array.from(lengths), [batch]) }) };
  return {
    q: floats(device, inputs.q, queryShape),
    k: floats(device, inputs.k, keyShape),
    v: floats(device, inputs.v, keyShape),
    dO: floats(device, inputs.dO, queryShape),
    options: options as AttentionOptions,
  };
}

/** Padding and the unused rows of a cache may hold anything: here NaN, which must reach no result. */
function withGarbage(p: AttentionProblem, inputs: AttentionInputs & { dO: Float64Array }) {
  const { keys = p.keyStride, past = keys - p.queries } = p;
  const limit = (b: number) => p.lengths?.[b] ?? Number.POSITIVE_INFINITY;
  const spoil = (values: ArrayLike<number>, rows: number, width: number, first: number, end: (b: number) => number) =>
    Float64Array.from(values, (value, i) => {
      const row = Math.floor(i / width);
      return first + (row % rows) < end(Math.floor(row / rows)) ? value : Number.NaN;
    });
  const keyEnd = (b: number) => Math.min(keys, limit(b));
  const [queryWidth, keyWidth] = [p.heads * p.headDim, p.kvHeads * p.headDim];
  return {
    q: spoil(inputs.q, p.queries, queryWidth, past, limit),
    k: spoil(inputs.k, p.keyStride, keyWidth, 0, keyEnd),
    v: spoil(inputs.v, p.keyStride, keyWidth, 0, keyEnd),
    dO: spoil(inputs.dO, p.queries, queryWidth, past, limit),
  };
}

const cases: Case[] = [
  { name: "one query", queries: 1, headDim: 3 },
  { name: "T 3, D 3", headDim: 3, batch: 2 },
  { name: "T 37, D 5, not causal", queries: 37, headDim: 5, causal: false, heads: 1 },
  { name: "T 37, D 12, GQA 4/2", queries: 37, headDim: 12, heads: 4, kvHeads: 2, batch: 2 },
  { name: "T 70, D 8, GQA 6/2", queries: 70, headDim: 8, heads: 6, kvHeads: 2 },
  { name: "T 70, D 64, MHA", queries: 70, headDim: 64, batch: 2 },
  { name: "T 33, D 80", queries: 33, headDim: 80, heads: 1 },
  { name: "T 37, D 128", queries: 37, headDim: 128 },
  { name: "T 34, D 256", queries: 34, headDim: 256, heads: 1 },
  { name: "window 9", queries: 70, headDim: 12, window: 9 },
  { name: "window 40, not causal", queries: 70, headDim: 8, window: 40, causal: false },
  { name: "softcap 2", queries: 37, headDim: 12, softcap: 2 },
  { name: "lengths 37, 70, 0", queries: 70, headDim: 8, batch: 3, lengths: [37, 70, 0] },
  { name: "lengths, not causal", queries: 37, headDim: 8, batch: 2, lengths: [5, 36], causal: false },
  { name: "past 33, cache of 80 rows", queries: 37, headDim: 8, keys: 70, keyStride: 80, batch: 2, heads: 4, kvHeads: 2 },
  {
    name: "everything at once",
    ...{ queries: 37, headDim: 12, keys: 70, keyStride: 75, batch: 2, heads: 4, kvHeads: 2 },
    ...{ window: 20, softcap: 1.5, lengths: [70, 50] },
  },
];

describe.each(cases)("attention $name", (given) => {
  const p = problemOf(given);
  const clean = inputsOf(p);

  test("forward and backward", async () => {
    const device = await testDevice();
    const { q, k, v, dO, options } = upload(device, p, withGarbage(p, clean));
    const { o, logsumexp } = attention(q, k, v, options);
    const gradients = attentionBackward(dO, { q, k, v, o, logsumexp, ...options });
    const wanted = attentionReference(clean, p);
    expect(await o.read()).toBeClose(wanted.o);
    const got = await logsumexp.read();
    expect(got.map((value, i) => (Number.isNaN(wanted.logsumexp[i]) ? 0 : value))).toBeClose(
      wanted.logsumexp.map((value) => (Number.isNaN(value) ? 0 : value)),
    );
    const { dq, dk, dv } = attentionGradients(clean, p, clean.dO);
    expect(await gradients.dq.read()).toBeClose(dq, p.queries === 1 ? 1 : 1e-4);
    expect(await gradients.dk.read()).toBeClose(dk, 1e-4);
    expect(await gradients.dv.read()).toBeClose(dv, 1e-4);
  });
});
