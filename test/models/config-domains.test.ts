import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { HfConfig } from "../../src/models/config-reader.ts";
import { planModel } from "../../src/models/families.ts";
import { LoraError } from "../../src/util/fail.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

/** What nobody means, in place of any number. */
const NONSENSE = [Number.NaN, Number.POSITIVE_INFINITY, -1, -0.5, 1e308, 1e12];

/** Numbers that no model reads: dropout of a frozen base, ids, initialisation, and the like. */
const UNREAD =
  /pdrop|dropout|token_id|_range$|initializer_factor|init_std|version|id2label|label2id|num_labels|layerdrop|pooler|summary|n_ctx|pretraining_tp|classifier_|encoder_stride|hidden_act|router_aux/;

/** Fields whose range is wider than that of the nonsense: all that transformers takes there means something. */
const WIDE: Readonly<Record<string, readonly number[]>> = {
  embedding_multiplier: [-1, -0.5, 1e12],
  attention_multiplier: [-1, -0.5, 1e12],
  residual_multiplier: [-1, -0.5, 1e12],
  // Above 0, and as large as a number of 32 bits.
  ...Object.fromEntries(
    [
      ...["rope_theta", "rope_local_base_freq", "rotary_emb_base", "logits_scaling", "query_pre_attn_scalar"],
      ...["attn_logit_softcapping", "final_logit_softcapping", "rms_norm_eps", "layer_norm_eps"],
      ...["layer_norm_epsilon", "factor", "low_freq_factor", "high_freq_factor", "attention_factor"],
      ...["beta_fast", "beta_slow", "original_max_position_embeddings", "short_factor", "long_factor"],
    ].map((name) => [name, [1e12]]),
  ),
};

/** The folders of all fixtures with a config: one or more for each family. */
const FOLDERS = ["families", "tasks"].flatMap((group) =>
  readdirSync(fixturePath(group))
    .map((name) => fixturePath(`${group}/${name}`))
    .filter((folder) => existsSync(`${folder}/config.json`)),
);

/** Every number of a config: the path to it, and the config with another one in its place. */
function* numbersOf(
  config: HfConfig,
  path: readonly string[] = [],
): Generator<{ path: readonly string[]; set: (value: number) => HfConfig }> {
  for (const [name, value] of Object.entries(config)) {
    if (typeof value === "number")
      yield { path: [...path, name], set: (next) => ({ ...config, [name]: next }) };
    if (typeof value !== "object" || value === null) continue;
    for (const { path: inner, set } of numbersOf(value as HfConfig, [...path, name])) {
      const put = (next: number) => {
        const changed = set(next);
        return { ...config, [name]: Array.isArray(value) ? Object.values(changed) : changed };
      };
      yield { path: inner, set: put };
    }
  }
}

const outcome = (config: HfConfig): unknown => {
  try {
    planModel(config);
    return undefined;
  } catch (error) {
    return error;
  }
};

describe.each(FOLDERS)("%s", (folder) => {
  const config = readJsonFile<HfConfig>(folder, "config.json");

  test("nonsense in any field that is read is refused, by the field's name", () => {
    expect(outcome(config)).toBeUndefined();
    const silent: string[] = [];
    for (const { path, set } of numbersOf(config)) {
      if (UNREAD.test(path.join("."))) continue;
      const field = path.findLast((name) => !/^\d+$/.test(name)) as string;
      for (const value of NONSENSE.filter((value) => !WIDE[field]?.includes(value))) {
        const error = outcome(set(value));
        const isNamed = error instanceof LoraError && error.message.includes(field);
        if (!isNamed) silent.push(`${path.join(".")} = ${value}: ${error}`);
      }
    }
    expect(silent).toEqual([]);
  });
});

const llama = readJsonFile<HfConfig>(fixturePath("llama-tied"), "config.json");

test.each<[object, RegExp]>([
  [{ rope_theta: 0 }, /rope_theta is 0, expected a number above 0/],
  [{ rms_norm_eps: -1e-6 }, /rms_norm_eps is -0.000001, expected a number of at least 0/],
  [{ rope_scaling: { type: "linear", factor: 0 } }, /rope_scaling.factor is 0, expected a number above 0/],
  [{ num_hidden_layers: 1e9 }, /num_hidden_layers is 1000000000, expected .* at most 2000/],
  [{ vocab_size: 2 ** 40 }, /vocab_size is 1099511627776, expected .* at most 2147483647/],
  [{ rope_theta: 1e39 }, /rope_theta is 1e\+39, expected a number above 0 of 32 bits/],
  [
    {
      rope_theta: 1,
      rope_scaling: { type: "yarn", factor: 2, original_max_position_embeddings: 4096 },
    },
    /rope_theta 1 and the yarn scaling give angles that are NaN or infinite/,
  ],
  [{ hidden_size: "x", rope_theta: -1 }, /2 problems[\s\S]*hidden_size is "x"[\s\S]*rope_theta is -1/],
])("%j", (change, message) => {
  const rest = Object.fromEntries(Object.entries(llama).filter(([name]) => name !== "rope_parameters"));
  expect(String(outcome({ ...rest, head_dim: 16, ...change }))).toMatch(message);
});

// What transformers runs: an ε of 0, a factor below 1, a window that is switched off, whatever it holds.
test.each<object>([
  { rms_norm_eps: 0 },
  { rope_scaling: { type: "linear", factor: 0.5 } },
  { rope_scaling: { type: "dynamic", factor: 1 } },
])("%j is taken", (change) => {
  const rest = Object.fromEntries(Object.entries(llama).filter(([name]) => name !== "rope_parameters"));
  expect(outcome({ ...rest, ...change })).toBeUndefined();
});

test("a sliding window that is switched off may hold anything", () => {
  const qwen = readJsonFile<HfConfig>(fixturePath("families/qwen2"), "config.json");
  expect(
    outcome({ ...qwen, layer_types: undefined, use_sliding_window: false, sliding_window: 0 }),
  ).toBeUndefined();
  const on = outcome({ ...qwen, layer_types: undefined, use_sliding_window: true, sliding_window: 0 });
  expect(String(on)).toContain("sliding_window is 0, expected a positive whole number");
});
