import { describe, expect, test } from "vitest";
import type { CheckpointTensor } from "../../../src/io/formats/checkpoint.ts";
import { CheckpointWeights } from "../../../src/io/formats/checkpoint-weights.ts";
import { type PackedRows, rowsOfRun, spoiltPart } from "../../../src/io/formats/packed.ts";
import { rowsInto } from "../../../src/io/formats/weight-sink.ts";
import { castToFloat } from "../../../src/kernels/cast.ts";
import { decodingOf } from "../../../src/kernels/formats.ts";
import { emptyWeight, partSizes, type QuantisedWeight } from "../../../src/kernels/weight.ts";
import { testDevice } from "../../support/device.ts";
import { KINDS, type Kind, nameOf, randomWeight } from "../../support/weights.ts";

const COLUMNS = 256;
/** No multiple of a run of any format. */
const ROWS = 36;

/** A random weight's parts, and a reader of its rows. */
async function packedWeight(kind: Kind, rows = ROWS) {
  const { weight, values } = randomWeight(await testDevice(), [rows, COLUMNS], kind);
  const part = async (name: "words" | "scales" | "zeros") =>
    new Uint32Array((await weight[name]?.readBytes())?.buffer ?? new ArrayBuffer(0));
  const [words, scales, zeros] = [await part("words"), await part("scales"), await part("zeros")];
  const read = async (first: number, end: number): Promise<PackedRows> => {
    const [from, to] = [partSizes(first * COLUMNS, weight), partSizes(end * COLUMNS, weight)];
    return {
      words: words.slice(from.words, to.words),
      scales: scales.slice(from.scales, to.scales),
      zeros: zeros.slice(first === 0 ? 0 : from.zeros, to.zeros),
    };
  };
  return { weight, values, read };
}

test.each(KINDS.map((kind) => [nameOf(kind), kind] as const))("%s, some rows at a time", async (_, kind) => {
  const { weight, values, read } = await packedWeight(kind);
  const copy = emptyWeight(weight.device, weight.shape, weight.decoding) as QuantisedWeight;
  const sink = rowsInto(copy);
  for (let first = 0; first < ROWS; first += sink.unit)
    sink.writeRows(await read(first, Math.min(first + sink.unit, ROWS)), first);
  expect(await castToFloat(copy).read()).toBeClose(values, 1e-6);
});

test("rows of a run fill whole words", () => {
  expect(rowsOfRun(decodingOf("int4", { block: 32, scales: "f16", zeros: "points" }), 32)).toBe(4);
  expect(rowsOfRun(decodingOf("int8", { block: 32, scales: "superblock", zeros: "offsets" }), 512)).toBe(1);
  expect(rowsOfRun(decodingOf("mxfp4", { block: 32, scales: "e8m0" }), 96)).toBe(4);
  expect(rowsOfRun(decodingOf("int8", { block: 64 }), 36)).toBe(16);
});

test("scales that are no numbers are found", () => {
  const scales = (...values: number[]) => ({ words: new Uint32Array(), scales: Uint32Array.from(values) });
  const [one, infinite] = [0x3f800000, 0x7f800000];
  const f32 = decodingOf("int8", { block: 32, zeros: "offsets" });
  expect(spoiltPart(f32, scales(one, one))).toBeUndefined();
  expect(spoiltPart(f32, scales(one, infinite))).toBe(Number.POSITIVE_INFINITY);
  expect(spoiltPart(f32, { ...scales(one), zeros: Uint32Array.of(infinite) })).toBe(Number.POSITIVE_INFINITY);
  expect(spoiltPart(decodingOf("mxfp4", { block: 32, scales: "e8m0" }), scales(0xff00))).toBeNaN();
  const superblock = decodingOf("int4", { block: 64, scales: "superblock" });
  expect(spoiltPart(superblock, scales(0x3c00, 0xffffffff, 0x3c00, 0x7c00))).toBeUndefined();
  expect(spoiltPart(superblock, scales(0x3c00, 0, 0x7c00, 0))).toBe(Number.POSITIVE_INFINITY);
});

describe("a checkpoint with packed matrices", () => {
  const kind: Kind = { format: "int4", block: 32, scales: "superblock", zeros: "offsets" };

  async function open() {
    const { weight, values, read } = await packedWeight(kind);
    const packed = { type: "Q4_K", decoding: weight.decoding, read };
    const matrix: CheckpointTensor = {
      ...{ name: "a.weight", dtype: "U8", shape: weight.shape, begin: 0, end: 0, file: "x", packed },
    };
    const tensors = new Map([["a.weight", matrix]]);
    const checkpoint = {
      label: "memory",
      tensors,
      read: () => Promise.reject(new Error("nothing is dense")),
    };
    return { values, weights: new CheckpointWeights(weight.device, checkpoint) };
  }

  test("loads them as they are", async () => {
    const { values, weights } = await open();
    const weight = weights.root.weight("a.weight", [ROWS, COLUMNS]);
    await weights.finish();
    expect(weight.format).toBe("int4");
    expect(await castToFloat(weight).read()).toBeClose(values, 1e-6);
    weights.release();
  });

  test("says where they do not fit", async () => {
    const device = await testDevice();
    const { weights } = await open();
    const before = device.memory.stats.used;
    weights.root.weight("a.weight", [COLUMNS, ROWS]);
    weights.root.tensor("a.weight", [ROWS, COLUMNS]);
    const message = await weights.finish().catch((error: Error) => error.message);
    expect(message).toContain("a.weight is [36, 256], the config wants [256, 36]");
    expect(message).toContain("a.weight is Q4_K; supported are F32, BF16 and F16");
    expect(device.memory.stats.used).toBe(before);
  });
});
