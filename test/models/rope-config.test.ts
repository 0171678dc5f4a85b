import { describe, expect, test } from "vitest";
import { type RopeOptions, ropeAmplitude, ropeFrequencies } from "../../src/kernels/rope-frequencies.ts";
import { ConfigReader, type HfConfig } from "../../src/models/config-reader.ts";
import { readLayerRopes, readRope, stretchedPositions } from "../../src/models/rope-config.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

interface Scaled {
  rope_parameters: HfConfig & { rope_type: string; rope_theta: number };
  length: number;
  attention_scaling: number;
  inv_freq: number[];
}

/** Reads with every field accounted for. */
function read<T>(config: HfConfig, reading: (c: ConfigReader) => T): T {
  const c = new ConfigReader({ max_position_embeddings: 4096, ...config });
  c.ignore("max_position_embeddings", "original_max_position_embeddings");
  const result = reading(c);
  c.finish("test");
  return result;
}

const { scaled } = readJsonFile<{ scaled: Scaled[] }>(fixturePath("rope"), "rope.json");

// Oracle: ROPE_INIT_FUNCTIONS of transformers 5.18.
describe.each(scaled.map((golden, i) => ({ i, ...golden })))("rope_parameters $i", (golden) => {
  const { rope_parameters, length, attention_scaling, inv_freq } = golden;
  const { rope_type, rope_theta, ...rest } = rope_parameters;

  test.each([
    ["transformers 5", { rope_parameters }],
    ["transformers 4", { rope_theta, rope_scaling: { type: rope_type, ...rest } }],
  ])(`${rope_type} at ${length} as %s writes it`, (_, config) => {
    const options = read(config, (c) => readRope(c, 16));
    expect(ropeFrequencies(options, length)).toBeClose(inv_freq, 2e-6);
    expect(ropeAmplitude(options)).toBeCloseTo(attention_scaling, 9);
  });
});

const frequencies = (options: RopeOptions) => [...ropeFrequencies(options)];

test("one embedding for full and one for sliding layers, in both spellings", () => {
  const thetas = { full: 1e6, sliding: 1e4 };
  const scaling = { rope_type: "linear", factor: 8 };
  const old = { rope_theta: 5e5, rope_local_base_freq: 2e4, rope_scaling: scaling };
  const full = { ...scaling, rope_theta: 5e5 };
  const now = { rope_parameters: { full_attention: full, sliding_attention: { rope_theta: 2e4 } } };
  const wanted = {
    full: frequencies({ headDim: 8, theta: 5e5 }).map((frequency) => frequency / 8),
    sliding: frequencies({ headDim: 8, theta: 2e4 }),
  };
  for (const config of [old, now]) {
    const ropes = read(config, (c) => readLayerRopes(c, 8, { maxPositions: 4096, thetas }));
    expect({ full: frequencies(ropes.full), sliding: frequencies(ropes.sliding) }).toEqual(wanted);
  }
  expect(read({}, (c) => readLayerRopes(c, 8, { maxPositions: 4096, thetas }))).toMatchObject({
    full: { theta: 1e6 },
    sliding: { theta: 1e4 },
  });
});

test("partial rotation where the family knows it; elsewhere it is refused", () => {
  const half = { partial_rotary_factor: 0.5 };
  expect(read(half, (c) => readRope(c, 16, { partial: 1 })).rotaryDim).toBe(8);
  expect(read({ rope_parameters: half }, (c) => readRope(c, 16, { partial: 0.25 })).rotaryDim).toBe(8);
  expect(() => read(half, (c) => readRope(c, 16))).toThrow("partial_rotary_factor 0.5 is not supported");
});

test("a kind or a field that is not known is refused, a missing or wrong one named", () => {
  const scaling = (rope_scaling: HfConfig) => () => read({ rope_scaling }, (c) => readRope(c, 16));
  expect(scaling({ rope_type: "ntk" })).toThrow('rope_scaling.rope_type "ntk" is not supported');
  expect(scaling({ type: "linear" })).toThrow("rope_scaling.factor is missing, expected a number");
  expect(scaling({ type: "linear", factor: 2, short_mscale: 1.2 })).toThrow("rope_scaling.short_mscale 1.2");
  const long = { type: "longrope", short_factor: [1], long_factor: "x" };
  expect(scaling(long)).toThrow('rope_scaling.long_factor is "x", expected a list of numbers');
  expect(scaling(long)).toThrow("rope_scaling.short_factor has 1 entries for 8 pairs of a head");
});

test("the family's context stands in for one that the config leaves out", () => {
  const c = new ConfigReader({ rope_scaling: { type: "dynamic", factor: 2 } });
  expect(readRope(c, 16, { maxPositions: 512 }).scaling).toMatchObject({ max_position_embeddings: 512 });
});

test("an odd number of rotated dimensions is refused", () => {
  expect(() => read({}, (c) => readRope(c, 7))).toThrow("head_dim 7 gives 7 rotated dimensions");
  expect(() => read({}, (c) => readRope(c, 2, { partial: 0.25 }))).toThrow("gives 0 rotated dimensions");
});

test("kinds that stretch the context have more positions", () => {
  const positions = (rope_scaling: HfConfig) =>
    stretchedPositions(
      4096,
      read({ rope_scaling }, (c) => readRope(c, 16)),
    );
  expect(positions({ type: "linear", factor: 2 })).toBe(4096);
  expect(positions({ type: "dynamic", factor: 2 })).toBe(8192);
  expect(positions({ type: "yarn", factor: 4, original_max_position_embeddings: 2048 })).toBe(8192);
});

test("numbers that no size can be are told as they are", () => {
  const c = new ConfigReader({ a: Infinity, b: Number.NaN, c: 2 ** 53 });
  for (const name of ["a", "b", "c"]) c.size(name);
  expect(() => c.finish("m")).toThrow(
    /a is Infinity, expected[\s\S]*b is NaN, expected[\s\S]*c is 9007199254740992, expected a positive whole number/,
  );
});

test("both spellings of the scaling pass where they agree, and are refused where they differ", () => {
  const linear = { rope_type: "linear", factor: 2 };
  const both = (rope_parameters: HfConfig, rope_scaling: HfConfig) => () =>
    read({ rope_parameters, rope_scaling }, (c) => readRope(c, 16));
  expect(both(linear, linear)().scaling).toEqual(linear);
  expect(both(linear, { ...linear, factor: 4 })).toThrow(/rope_parameters and rope_scaling differ/);
  expect(both({}, linear)).toThrow(/rope_parameters and rope_scaling differ[\s\S]*would give wrong results/);
});
