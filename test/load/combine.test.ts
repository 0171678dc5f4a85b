import { expect, test } from "vitest";
import { denseChange } from "../../src/adapters/combine/low-rank.ts";
import { peftLoraConfig } from "../../src/adapters/lora/lora-codec.ts";
import type { PeftLoraConfig } from "../../src/adapters/lora/lora-fields.ts";
import { type FileContent, type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import {
  type CombineOptions,
  changeOf,
  combineAdapters,
  type WeightedAdapter,
} from "../../src/load/combine/combine-adapters.ts";
import { peftFiles, readPeftAdapter } from "../../src/load/lora-files.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { createRandom } from "../../src/util/random.ts";
import { errorOf } from "../io/helpers.ts";
import { relativeNormError } from "../support/compare.ts";
import { fixturePath } from "../support/fixtures.ts";

const [Q, V] = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"];

interface Made {
  config?: Partial<PeftLoraConfig>;
  /** Of each layer in, out and rank. */
  layers?: Record<string, [number, number, number]>;
  saved?: Record<string, number[]>;
  others?: Record<string, string>;
  weight?: number;
  seed?: number;
  value?: number;
}

const source = (label: string, files: ReadonlyMap<string, FileContent>): FileSource =>
  memoryFiles(
    label,
    new Map(
      [...files].map(([name, content]) => [
        name,
        typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array),
      ]),
    ),
  );

function made(
  label: string,
  { config, layers, saved = {}, others = {}, weight, seed = 1, value }: Made = {},
): WeightedAdapter {
  const random = createRandom(seed);
  const tensor = (...shape: [number, number]) => ({
    shape,
    data: Float32Array.from({ length: shape[0] * shape[1] }, () => value ?? random.normal()),
  });
  const tensors = Object.entries(layers ?? { [Q]: [6, 5, 2], [V]: [6, 4, 2] }).map(
    ([path, [inside, out, r]]) => [path, { lora_A: tensor(r, inside), lora_B: tensor(out, r) }] as const,
  );
  const files = peftFiles({
    config: peftLoraConfig({ r: 2, lora_alpha: 4, target_modules: ["q_proj", "v_proj"], ...config }),
    tensors: new Map(tensors),
    saved: new Map(
      Object.entries(saved).map(([name, data]) => [
        name,
        { shape: [data.length], data: Float32Array.from(data) },
      ]),
    ),
  });
  return { files: source(label, new Map([...files, ...Object.entries(others)])), weight };
}

async function deltasOf(files: FileSource): Promise<Map<string, Float32Array>> {
  const { tensors } = await readPeftAdapter(files);
  return new Map([...tensors].map(([path, module]) => [path, denseChange(changeOf(module))]));
}

async function expectSum(adapters: readonly WeightedAdapter[], options: CombineOptions = {}) {
  const { files } = await combineAdapters(adapters, options);
  const got = await deltasOf(source("combined", files));
  const want = new Map<string, Float64Array>();
  for (const { files, weight = 1 } of adapters)
    for (const [path, delta] of await deltasOf(files)) {
      const sum = want.get(path) ?? new Float64Array(delta.length);
      want.set(
        path,
        sum.map((value, i) => value + weight * delta[i]!),
      );
    }
  expect([...got.keys()].sort()).toEqual([...want.keys()].sort());
  for (const [path, sum] of want) expect(relativeNormError(got.get(path)!, sum)).toBeLessThan(2e-6);
  return readPeftAdapter(source("combined", files));
}

test("different ranks, scales and layers, with one taken away: the exact sum", async () => {
  const adapters = [
    made("plain"),
    made("rslora", { config: { r: 3, use_rslora: true }, layers: { [Q]: [6, 5, 3] }, weight: -1.5, seed: 2 }),
    made("patterns", { config: { alpha_pattern: { v_proj: 9 } }, weight: 0.3, seed: 3 }),
  ];
  const { config } = await expectSum(adapters);
  expect(config).toMatchObject({ use_rslora: false, target_modules: [Q, V], lora_alpha: config.r });
  expect(config.rank_pattern).toEqual({ "^model\\.layers\\.0\\.self_attn\\.v_proj": 4 });
  await expectSum(adapters, { combinationType: "svd", svdRank: 7 });
});

test("adapters that say the same keep their own words for the targets", async () => {
  const { config } = await expectSum([made("a"), made("b", { seed: 2 })]);
  expect(config.target_modules).toEqual(["q_proj", "v_proj"]);
});

test("what was trained whole and what lies beside the adapter is taken over", async () => {
  const head = {
    config: { modules_to_save: ["score"] },
    saved: { "score.weight": [1, 2] },
    others: { "labels.json": '["a"]' },
  };
  const warnings: string[] = [];
  const onWarning = (warning: string) => warnings.push(warning);
  const { files } = await combineAdapters(
    [made("a", { ...head, weight: 0.5 }), made("b", { seed: 2, others: { "chat_template.jinja": "x" } })],
    { onWarning },
  );
  const { config, saved } = await readPeftAdapter(source("combined", files));
  expect(config.modules_to_save).toEqual(["score"]);
  expect([...(saved.get("score.weight")?.data ?? [])]).toEqual([1, 2]);
  expect([files.get("labels.json"), files.get("chat_template.jinja")]).toEqual(['["a"]', "x"]);
  expect(warnings).toEqual([
    "a: what was trained whole (score.weight) is taken as it is, whatever the weight",
  ]);
});

test("a rank that is too large, and one adapter at a lower one", async () => {
  const { files, layers } = await combineAdapters([made("a")], { combinationType: "svd", svdRank: 1 });
  expect(layers.map(({ path, r }) => [path, r])).toEqual([
    [Q, 1],
    [V, 1],
  ]);
  const [got, want] = [await deltasOf(source("reduced", files)), await deltasOf(made("a").files)];
  for (const { path, error } of layers)
    expect(relativeNormError(got.get(path)!, want.get(path)!)).toBeCloseTo(error!, 5);
  const all = await combineAdapters([made("a")], { combinationType: "svd", svdRank: 100 });
  expect(all.layers.map(({ r }) => r)).toEqual([2, 2]);
});

const REFUSED: [what: string, adapters: WeightedAdapter[], options: CombineOptions, message: RegExp][] = [
  ["no adapter", [], {}, /there is no adapter/],
  ["a weight of 0", [made("a", { weight: 0 })], {}, /the weight of a is 0/],
  ["a weight of NaN", [made("a", { weight: Number.NaN })], {}, /the weight of a is NaN/],
  ["NaN in a tensor", [made("a", { value: Number.NaN })], {}, /a: .*lora_A holds NaN/],
  [
    "other bases",
    [
      made("a", { config: { base_model_name_or_path: "x" } }),
      made("b", { config: { base_model_name_or_path: "y" } }),
    ],
    {},
    /base models differ: x \(a\), y \(b\)[\s\S]*--base-model/,
  ],
  [
    "other revisions",
    [made("a", { config: { revision: "x" } }), made("b", { config: { revision: "y" } })],
    {},
    /revisions of the base model differ/,
  ],
  [
    "other tasks",
    [
      made("a", { config: { task_type: "CAUSAL_LM" } }),
      made("b", { config: { task_type: "FEATURE_EXTRACTION" } }),
    ],
    {},
    /tasks differ/,
  ],
  [
    "other shapes",
    [made("a"), made("b", { layers: { [Q]: [6, 7, 2] } })],
    {},
    /a and b have layers of other sizes: 6 → 5 and 6 → 7 at .*q_proj/,
  ],
  [
    "other ranks",
    [made("a"), made("b", { config: { r: 3 }, layers: { [Q]: [6, 5, 3] } })],
    { combinationType: "linear" },
    /different ranks: r 2 and r 3[\s\S]*cat or svd/,
  ],
  [
    "a vote against a negative weight",
    [made("a"), made("b", { weight: -1 })],
    { combinationType: "ties", density: 0.5 },
    /the weight of b is -1, and the signs are voted on/,
  ],
  [
    "heads that differ",
    [1, 2].map((x) =>
      made(`${x}`, { config: { modules_to_save: ["score"] }, saved: { "score.weight": [x] } }),
    ),
    {},
    /1 and 2 have both trained score.weight whole/,
  ],
  [
    "a head beside LoRA on it",
    [
      made("a", { config: { modules_to_save: ["score"] }, saved: { "score.weight": [1] } }),
      made("b", { layers: { score: [6, 5, 2] } }),
    ],
    {},
    /a has trained score.weight whole, and another adapts it/,
  ],
  ["pruning without density", [made("a")], { combinationType: "dare_ties" }, /dare_ties needs density/],
  ["a density without pruning", [made("a")], { density: 0.5 }, /density means nothing to cat/],
  [
    "a rank for what has none to choose",
    [made("a")],
    { combinationType: "linear", svdRank: 2 },
    /svd_rank means nothing to linear/,
  ],
  ["half a rank", [made("a")], { combinationType: "svd", svdRank: 1.5 }, /svd_rank is 1.5/],
  [
    "a share for ties_svd",
    [made("a")],
    { combinationType: "ties_svd", density: 0.5, svdRank: 0.5 },
    /only svd takes a share/,
  ],
  [
    "an unknown option",
    [made("a")],
    { combination_type: "svd" } as CombineOptions,
    /did you mean combinationType/,
  ],
];

test.each(REFUSED)("refused: %s", async (_, adapters, options, message) => {
  expect((await errorOf(() => combineAdapters(adapters, options))).message).toMatch(message);
});

test("a base that is named settles bases by different names", async () => {
  const adapters = ["x", "y"].map((base, i) =>
    made(base, { config: { base_model_name_or_path: base }, seed: i }),
  );
  const { config } = await expectSum(adapters, { baseModel: "z" });
  expect(config.base_model_name_or_path).toBe("z");
});

test("all that is wrong is told at once", async () => {
  const adapters = [
    made("a", { weight: 0, config: { revision: "x" } }),
    made("b", { config: { revision: "y" }, layers: { [Q]: [6, 7, 2] } }),
  ];
  expect((await errorOf(() => combineAdapters(adapters))).message).toMatch(/3 problems/);
});

test.each([
  ["ia3", "webgpu-lora convert ADAPTER --to peft --lora-rank 16"],
  ["prompt_tuning", "use it as it is; generate and eval take several at once"],
  ["ln_tuning", "use it as it is"],
])("an adapter of %s is refused with a remedy that works for it", async (name, remedy) => {
  const files = folderFiles(fixturePath(`methods/${name}`));
  expect((await errorOf(() => combineAdapters([{ files }]))).message).toContain(remedy);
});
