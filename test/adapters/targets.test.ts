import { describe, expect, test } from "vitest";
import {
  describeUnmatchedTargets,
  matchesTarget,
  type TargetOptions,
  targetNames,
  unmatchedTargets,
} from "../../src/adapters/sites/targets.ts";
import { errorOf } from "../io/helpers.ts";

const PATHS = {
  q0: "model.layers.0.self_attn.q_proj",
  q1: "model.layers.1.self_attn.q_proj",
  down10: "model.layers.10.mlp.down_proj",
  expert: "model.layers.2.mlp.experts.1.down_proj",
  bare0: "layers.0.q_proj",
  q: "q_proj",
  Q: "Q_proj",
  c0: "transformer.h.0.attn.c_attn",
  c1: "transformer.h.1.attn.c_attn",
  embed: "model.embed_tokens",
  head: "lm_head",
  norm: "model.layers.0.input_layernorm",
};

/**
 * What PEFT 0.21.0 selects: `bool(check_target_module_exists(LoraConfig(...), path))` of `peft.tuners.tuners_utils`,
 * run over PATHS with Python 3.11.
 */
const VERIFIED: readonly [string[] | string, TargetOptions, string][] = [
  [["q_proj"], {}, "q0 q1 bare0 q"],
  [["proj"], {}, ""],
  [["attn.q_proj"], {}, ""],
  [["self_attn.q_proj"], {}, "q0 q1"],
  [["Q_proj"], {}, "Q"],
  [["model.layers.0.self_attn.q_proj"], {}, "q0"],
  ["q_proj", {}, "q"],
  [".*\\.q_proj", {}, "q0 q1 bare0"],
  ["(?i).*q_proj", {}, "q0 q1 bare0 q Q"],
  ["model\\.layers\\.(?P<i>\\d+)\\..*_proj", {}, "q0 q1 down10 expert"],
  ["q_proj|.*\\.c_attn", {}, "q c0 c1"],
  ["^.*attn.*$", {}, "q0 q1 c0 c1"],
  [["q_proj", "down_proj"], { excludeModules: ["layers.1.self_attn.q_proj"] }, "q0 down10 expert bare0 q"],
  [["q_proj", "down_proj"], { excludeModules: ".*experts.*" }, "q0 q1 down10 bare0 q"],
  [["q_proj"], { excludeModules: "q_proj" }, "q0 q1 bare0"],
  [["q_proj"], { excludeModules: ["q_proj"] }, ""],
  [["q_proj", "embed_tokens", "c_attn", "down_proj"], { layersToTransform: [0, 2] }, "q0 expert q c0"],
  [["q_proj", "c_attn"], { layersToTransform: 1 }, "q1 q c1"],
  [["q_proj", "c_attn"], { layersToTransform: [] }, "q0 q1 bare0 q c0 c1"],
  [["model.layers.1.self_attn.q_proj", "c_attn"], { layersToTransform: [0] }, "q1 c0"],
  [
    ["q_proj", "down_proj", "c_attn"],
    { layersToTransform: [0, 1, 2], layersPattern: "layers" },
    "q0 q1 expert bare0 q",
  ],
  [
    ["q_proj", "down_proj", "c_attn"],
    { layersToTransform: [0, 1], layersPattern: ["h", "experts"] },
    "expert q c0 c1",
  ],
  [["q_proj", "c_attn"], { layersToTransform: [0], layersPattern: "" }, "q0 q c0"],
  [["q_proj", "c_attn"], { layersToTransform: [0], layersPattern: "layers|h" }, "q"],
  [[], {}, ""],
];

describe("matchesTarget", () => {
  test.each(VERIFIED)("%j %j selects what PEFT selects: %s", (targets, options, expected) => {
    const found = Object.entries(PATHS).filter(([, path]) => matchesTarget(path, targets, options));
    expect(found.map(([name]) => name).join(" ")).toBe(expected);
  });

  // PEFT: get_peft_model(LlamaForCausalLM | GPT2LMHeadModel, LoraConfig(target_modules="All-Linear")) leaves out lm_head.
  test("all-linear is every linear layer but the output layer", () => {
    expect(matchesTarget("lm_head", "all-linear", { isOutput: true })).toBe(false);
    expect(matchesTarget("lm_head", ["lm_head"], { isOutput: true })).toBe(true);
    expect(matchesTarget(PATHS.q0, "All-Linear")).toBe(true);
    expect(matchesTarget(PATHS.q0, "all-linear", { excludeModules: ["q_proj"] })).toBe(false);
  });

  test("refuses what PEFT refuses", async () => {
    const layers = await errorOf(() => matchesTarget("a", ".*", { layersToTransform: [0] }));
    expect(layers.message).toContain("layersToTransform: has no effect on the expression");
    const pattern = await errorOf(() => matchesTarget("a", ["a"], { layersPattern: "h" }));
    expect(pattern.message).toContain("give layersToTransform too");
    expect((await errorOf(() => matchesTarget("a", "(q"))).message).toContain('the pattern "(q"');
    expect((await errorOf(() => matchesTarget("a", "a)|(b"))).message).toContain("regular expression");
  });

  test("reads Python's spelling of expressions", () => {
    expect(matchesTarget("a.a", String.raw`(?P<x>\w)\.(?P=x)`)).toBe(true);
    expect(matchesTarget("a.b", String.raw`\A(?P<x>\w)\.b\Z`)).toBe(true);
    expect(matchesTarget("aa", "a{,2}")).toBe(true);
    expect(matchesTarget("a]", "[]a]+")).toBe(true);
    expect(matchesTarget("b", "[^]a]")).toBe(true);
    expect(matchesTarget("(", "[(?P<]")).toBe(true);
  });
});

describe("unmatchedTargets", () => {
  const paths = Object.values(PATHS);

  test("lists entries without a module", () => {
    expect(unmatchedTargets(paths, ["q_proj", "v_proj", "proj"])).toEqual(["v_proj", "proj"]);
    expect(unmatchedTargets(paths, ["lm_head"])).toEqual([]);
    expect(unmatchedTargets(paths, "all-linear")).toEqual([]);
    expect(unmatchedTargets(paths, ".*attn.*")).toEqual([]);
    expect(unmatchedTargets(paths, "v_proj")).toEqual(["v_proj"]);
  });

  test("says what was probably meant", () => {
    expect(describeUnmatchedTargets(paths, ["q_porj", "self_atn.q_proj", "zzz"])).toEqual([
      '"q_porj" matches no module; did you mean "q_proj"?',
      '"self_atn.q_proj" matches no module; did you mean "self_attn.q_proj"?',
      '"zzz" matches no module',
    ]);
    expect(describeUnmatchedTargets(paths, "c_attn")).toEqual([
      'the expression "c_attn" matches no whole path; for these names write ["c_attn"]',
    ]);
    expect(targetNames(paths).slice(0, 3)).toEqual(["q_proj", "down_proj", "Q_proj"]);
  });
});
