import { describe, expect, test } from "vitest";
import { type RopeOptions, ropeAmplitude, ropeFrequencies } from "../../src/kernels/rope-frequencies.ts";
import { ConfigReader, type HfConfig } from "../../src/models/config-reader.ts";
import { planModel } from "../../src/models/families.ts";
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

describe("two spellings of one setting pass where they agree, and are refused where they differ", () => {
  const gemma = (config: HfConfig) => () =>
    read(config, (c) => readLayerRopes(c, 8, { maxPositions: 4096, thetas: { full: 1e6, sliding: 1e4 } }));
  const llama = (config: HfConfig) => () => read(config, (c) => readRope(c, 16));
  const stable = (config: HfConfig) => () => read(config, (c) => readRope(c, 16, { partial: 0.25 }));
  const names = { theta: "rotary_emb_base", partial: "rotary_pct" };
  const neox = (config: HfConfig) => () => read(config, (c) => readRope(c, 16, { partial: 0.25, names }));
  const linear = { rope_type: "linear", factor: 2 };
  const nested = { full_attention: { ...linear, rope_theta: 5e5 }, sliding_attention: { rope_theta: 2e4 } };
  const half = { rope_theta: 2e4, partial_rotary_factor: 0.5 };
  const yarn = { type: "yarn", factor: 2, original_max_position_embeddings: 2048 };
  const used = "which transformers 5.18 uses, is";

  // What is used: config.rope_parameters of the classes of transformers 5.18, made from these fields.
  test.each<[string, (config: HfConfig) => () => unknown, HfConfig, HfConfig, string]>([
    [
      ...(["rope_theta", llama, { rope_theta: 5e5, rope_parameters: { rope_theta: 5e5 } }] as const),
      ...([
        { rope_theta: 1e4 },
        `rope_theta is 10000 but rope_parameters.rope_theta, ${used} 500000`,
      ] as const),
    ],
    [
      ...([
        "rope_scaling",
        llama,
        { rope_parameters: linear, rope_scaling: { type: "linear", factor: 2 } },
      ] as const),
      { rope_scaling: { ...linear, factor: 4 } },
      `rope_parameters is ${JSON.stringify(linear)} but rope_scaling, ${used} {"rope_type":"linear","factor":4}`,
    ],
    [
      ...(["type", llama, { rope_scaling: { ...linear, type: "linear" } }] as const),
      { rope_scaling: { ...linear, type: "dynamic" } },
      `rope_scaling.type is "dynamic" but rope_scaling.rope_type, ${used} "linear"`,
    ],
    [
      ...(["a length", llama, { rope_scaling: yarn, original_max_position_embeddings: 2048 }] as const),
      { original_max_position_embeddings: 1024 },
      `rope_scaling.original_max_position_embeddings is 2048 but original_max_position_embeddings, ${used} 1024`,
    ],
    [
      ...(["a part", stable, { rope_parameters: half, partial_rotary_factor: 0.5 }] as const),
      { partial_rotary_factor: 0.25 },
      `partial_rotary_factor is 0.25 but rope_parameters.partial_rotary_factor, ${used} 0.5`,
    ],
    [
      ...(["rotary_pct", neox, { rope_parameters: half, rotary_pct: 0.5, rotary_emb_base: 2e4 }] as const),
      { rotary_pct: 1 },
      `rotary_pct is 1 but rope_parameters.partial_rotary_factor, ${used} 0.5`,
    ],
    [
      ...(["rotary_emb_base", neox, { rope_parameters: half, rotary_emb_base: 2e4 }] as const),
      { rotary_emb_base: 1e4 },
      `rotary_emb_base is 10000 but rope_parameters.rope_theta, ${used} 20000`,
    ],
    [
      ...(["Gemma 3's local one", gemma, { rope_parameters: nested, rope_local_base_freq: 2e4 }] as const),
      { rope_local_base_freq: 1e4 },
      `rope_local_base_freq is 10000 but rope_parameters.sliding_attention.rope_theta, ${used} 20000`,
    ],
    [
      ...([
        "Gemma 3's others",
        gemma,
        { rope_parameters: nested, rope_theta: 5e5, rope_scaling: linear },
      ] as const),
      { rope_theta: 1e6 },
      `rope_theta is 1000000 but rope_parameters.full_attention.rope_theta, ${used} 500000`,
    ],
  ])("%s", (_, reading, config, change, message) => {
    expect(reading(config)).not.toThrow();
    expect(reading({ ...config, ...change })).toThrow(message);
    expect(reading({ ...config, ...change })).toThrow("delete the field that the model was not trained with");
  });

  test("an empty object says nothing", () => {
    expect(read({ rope_parameters: {}, rope_scaling: linear }, (c) => readRope(c, 16)).scaling).toEqual(
      linear,
    );
    expect(read({ rope_parameters: linear, rope_scaling: {} }, (c) => readRope(c, 16)).scaling).toEqual(
      linear,
    );
  });

  test.each([
    [{ rotary_emb_base: 2e4, rope_theta: 2e4, rotary_pct: 0.5, partial_rotary_factor: 0.5 }, undefined],
    [{ rope_theta: 2e4 }, `rope_theta is 20000 but rotary_emb_base, ${used} 10000`],
    [{ partial_rotary_factor: 1 }, `partial_rotary_factor is 1 but rotary_pct, ${used} 0.25`],
  ])("GPT-NeoX reads names of its own: %o", (fields, message) => {
    const sizes = { hidden_size: 64, num_attention_heads: 4, intermediate_size: 64, num_hidden_layers: 1 };
    const config = { model_type: "gpt_neox", vocab_size: 32, ...sizes, ...fields };
    if (message) expect(() => planModel(config)).toThrow(message);
    else expect(planModel(config).architecture).toBe("GPTNeoXForCausalLM");
  });
});
