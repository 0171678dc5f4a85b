import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { fromArray, type Tensor } from "../../src/gpu/tensor.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import { decodingOf } from "../../src/kernels/formats.ts";
import { Quantiser } from "../../src/kernels/quantise.ts";
import { emptyWeight, type QuantisedWeight } from "../../src/kernels/weight.ts";
import { encodeBf16, encodeF16 } from "../../src/util/half.ts";
import { type QuantiseKind, quantiseReference } from "../reference/quantise.ts";
import { floats, testDevice } from "../support/device.ts";
import { fixturePath } from "../support/fixtures.ts";

const KINDS: readonly QuantiseKind[] = [
  { format: "int8", block: 128 },
  { format: "int8", block: 136 },
  { format: "int4", block: 32 },
  { format: "int4", block: 64, zeros: "points" },
  { format: "fp8_e4m3", block: 128 },
  { format: "fp8_e5m2", block: 64 },
  { format: "nf4", block: 64 },
  { format: "fp4", block: 64 },
  { format: "mxfp4", block: 32, scales: "e8m0" },
];

async function quantised(
  device: Device,
  values: Tensor,
  shape: readonly [number, number],
  { format, ...how }: QuantiseKind,
): Promise<QuantisedWeight> {
  const weight = emptyWeight(device, shape, decodingOf(format, how)) as QuantisedWeight;
  const quantiser = new Quantiser(weight);
  const flat = values.reshape([values.size]);
  for (let first = 0; first < values.size; first += quantiser.unit)
    quantiser.add(flat.slice(first, Math.min(first + quantiser.unit, values.size)), first);
  await quantiser.finish();
  return weight;
}

/** The sum of four equally distributed numbers each, from integers that Python repeats exactly. */
function published(count: number): Float32Array {
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => (next() + next() + next() + next() - 2) * 0.04);
}

describe.each(
  KINDS.map(
    (kind) => [`${kind.format} in blocks of ${kind.block}, ${kind.zeros ?? "no"} zeros`, kind] as const,
  ),
)("%s", (_, kind) => {
  const shape = [40, 136] as const; // some blocks of 64 and 128 begin within a row, and the last is short
  const values = published(shape[0] * shape[1]);

  test("each value becomes the nearest of what the rules of the format allow", async () => {
    const device = await testDevice();
    const weight = await quantised(device, floats(device, values, shape), shape, kind);
    // Halfway between two values either is right: the largest magnitude of int4 without zero points always lies there.
    const error = (x: number, i: number) => Math.abs(x - values[i]!);
    const got = (await castToFloat(weight).read()).map(error);
    expect(got).toBeClose(quantiseReference(values, kind).map(error), 1e-4);
  });

  test("zeros stay zeros, alone and among others", async () => {
    const device = await testDevice();
    const some = values.map((value, i) => (i < 2 * kind.block || i % 5 === 0 ? 0 : value));
    const weight = await quantised(device, floats(device, some, shape), shape, kind);
    const got = await castToFloat(weight).read();
    expect(got.filter((value, i) => some[i] === 0 && value !== 0)).toHaveLength(0);
  });
});

test.each(["bf16", "f16"] as const)("values of %s", async (format) => {
  const device = await testDevice();
  const shape = [16, 64] as const;
  const codes = (format === "bf16" ? encodeBf16 : encodeF16)(published(1024));
  const values = fromArray(device, codes, shape, format);
  const plain = await castToFloat(values).read();
  const kind: QuantiseKind = { format: "nf4", block: 64 };
  const weight = await quantised(device, values, shape, kind);
  expect(await castToFloat(weight).read()).toBeClose(quantiseReference(plain, kind), 1e-6);
});

interface Published {
  readonly packed: string;
  readonly absmax: string;
  readonly nested_absmax: readonly number[];
  readonly nested_quant_map: readonly number[];
  readonly nested_offset: readonly [number];
}

describe("the same bytes as bitsandbytes", () => {
  const { shape, cases } = JSON.parse(readFileSync(fixturePath("quantised.json"), "utf8")) as {
    shape: [number, number];
    cases: Record<"nf4" | "fp4", Published>;
  };

  test.each(["nf4", "fp4"] as const)("%s with double quantisation", async (format) => {
    const device = await testDevice();
    const wanted = cases[format];
    const values = floats(device, published(shape[0] * shape[1]), shape);
    const weight = await quantised(device, values, shape, { format, block: 64, scales: "nested" });
    expect(Buffer.from(await weight.words.readBytes()).toString("base64")).toBe(wanted.packed);
    expect(Buffer.from(await weight.scales.readBytes()).toString("base64")).toBe(wanted.absmax);
    const head = new Float32Array((await weight.zeros!.readBytes()).buffer);
    expect(head[0]).toBeCloseTo(wanted.nested_offset[0], 8); // a mean, whose terms may be added in another order
    expect(head.subarray(1, 257)).toEqual(Float32Array.from(wanted.nested_quant_map));
    expect(head.subarray(257)).toBeClose(wanted.nested_absmax, 1e-6);
  });
});
