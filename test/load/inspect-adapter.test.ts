import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { changeFigures } from "../../src/adapters/inspect/change-figures.ts";
import { peftLoraConfig } from "../../src/adapters/lora/lora-codec.ts";
import { inspectAdapter } from "../../src/load/inspect/inspect-adapter.ts";
import { peftFiles } from "../../src/load/lora-files.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { errorOf, filesOf } from "../io/helpers.ts";
import { fixturePath, readTensors } from "../support/fixtures.ts";

const [Q, V] = ["model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.v_proj"];

const LAYER = { inFeatures: 4, outFeatures: 3, r: 2, scale: 2 };

test("figures of a change whose singular values are known", () => {
  // A has orthonormal rows and B orthogonal columns of lengths 3 and 1: σ = 6 and 2.
  const A = Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0);
  const B = Float32Array.of(3, 0, 0, 1, 0, 0);
  const figures = changeFigures({ ...LAYER, A, B });
  expect(figures.norm).toBeCloseTo(Math.sqrt(40), 12);
  expect(figures.spectralNorm).toBeCloseTo(6, 12);
  expect(figures.stableRank).toBeCloseTo(40 / 36, 12);
  expect(figures.effectiveRank).toBeCloseTo(Math.exp(-0.75 * Math.log(0.75) - 0.25 * Math.log(0.25)), 12);
});

test("equal singular values have the whole rank; a change of zeros has none", () => {
  const A = Float32Array.of(1, 0, 0, 0, 0, 1, 0, 0);
  const figures = changeFigures({ ...LAYER, A, B: Float32Array.of(5, 0, 0, 5, 0, 0) });
  expect([figures.effectiveRank, figures.stableRank].map((x) => x.toFixed(9))).toEqual([
    "2.000000000",
    "2.000000000",
  ]);
  const none = changeFigures({ ...LAYER, A, B: new Float32Array(6) });
  expect(none).toEqual({ norm: 0, spectralNorm: 0, effectiveRank: 0, stableRank: 0 });
});

test.each(["llama-gqa", "llama-tied", "tasks/gpt2-sequence", "families/phi3"])(
  "the norms of the base's weights of %s",
  async (name) => {
    const folder = fixturePath(name);
    const base = folderFiles(folder);
    const report = await inspectAdapter(folderFiles(`${folder}/adapter`), { base });
    expect(report.findings).toEqual([]);
    expect(report.changes).toBe(true);
    for (const { ratio, norm, baseNorm, effectiveRank, r } of report.layers) {
      expect(ratio).toBeCloseTo(norm! / baseNorm!, 12);
      expect(effectiveRank! >= 1 && effectiveRank! <= r + 1e-9).toBe(true);
    }
    if (name !== "llama-gqa") return;
    const weights = await readTensors(folder, "model.safetensors");
    for (const { path, baseNorm } of report.layers)
      expect(baseNorm).toBeCloseTo(Math.hypot(...weights.get(`${path}.weight`)!), 5);
  },
);

interface Made {
  B?: (i: number) => number;
  config?: object;
  others?: Record<string, unknown>;
}

function made({ B = (i) => i + 1, config = {}, others = {} }: Made = {}) {
  const tensor = (shape: [number, number], value: (i: number) => number) => ({
    shape,
    data: Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => value(i)),
  });
  const layer = (b: (i: number) => number) => ({
    lora_A: tensor([2, 4], (i) => i % 3),
    lora_B: tensor([3, 2], b),
  });
  const files = peftFiles({
    config: peftLoraConfig({ r: 2, lora_alpha: 4, target_modules: ["q_proj", "v_proj"] }),
    tensors: new Map([
      [Q, layer(B)],
      [V, layer((i) => (B(0) === 0 ? 0 : i + 1))],
    ]),
  });
  const json = { ...(JSON.parse(files.get("adapter_config.json") as string) as object), ...config };
  return filesOf({ ...Object.fromEntries(files), "adapter_config.json": json, ...others });
}

const kindsOf = ({ findings }: { findings: readonly { level: string; message: string }[] }) =>
  findings.map(({ level, message }) => `${level}: ${message}`);

test("an adapter that changes nothing, and one that changes some layers only", async () => {
  const idle = await inspectAdapter(made({ B: () => 0 }));
  expect([idle.changes, kindsOf(idle)]).toEqual([
    false,
    ["error: the adapter has no effect: lora_B or lora_A is 0 in every layer"],
  ]);
  const half = await inspectAdapter(made({ B: (i) => (i === 0 ? 1e-30 : 0) }));
  expect([half.changes, kindsOf(half)]).toEqual([true, []]);
});

test("NaN is told, and no figures are made of it", async () => {
  const report = await inspectAdapter(made({ B: (i) => (i === 1 ? Number.NaN : 1) }));
  expect(kindsOf(report)).toEqual([`error: NaN or infinity in ${Q}`]);
  expect(report.layers.map(({ norm }) => norm === undefined)).toEqual([true, false]);
  expect(JSON.parse(JSON.stringify(report))).toMatchObject({ changes: true });
});

test("where it comes from, and what differs from PEFT's defaults", async () => {
  const card = "---\nbase_model: owner/base\nlicense: mit\ndatasets:\n- a\n---\n# Card\n";
  const report = await inspectAdapter(
    made({
      config: { base_model_name_or_path: "owner/base", revision: "v2", use_rslora: true },
      others: { "README.md": card },
    }),
  );
  expect(report.origin).toEqual({
    baseModel: "owner/base",
    revision: "v2",
    peftVersion: "0.21.0",
    card: { base_model: "owner/base", license: "mit", datasets: ["a"] },
  });
  expect(report.settings).toEqual({
    r: 2,
    lora_alpha: 4,
    use_rslora: true,
    target_modules: ["q_proj", "v_proj"],
  });
  expect(report).toMatchObject({ type: "LORA", parameters: 28, bytes: 112, dtypes: { F32: 28 } });
});

test.each([
  ["no front matter", "# Card"],
  ["broken YAML", "---\na: [\n---\n"],
  ["no object", "---\n- a\n---\n"],
])("a model card with %s is no fault", async (_, card) => {
  const { origin, findings } = await inspectAdapter(made({ others: { "README.md": card } }));
  expect([origin.card, findings]).toEqual([undefined, []]);
});

test("an adapter that the engine can't apply is described as far as its files go", async () => {
  const report = await inspectAdapter(made({ config: { peft_type: "BOFT" } }));
  expect(report).toMatchObject({ type: "BOFT", layers: [], changes: undefined, parameters: 28 });
  expect(report.others).toHaveLength(4);
  expect(report.findings[0]).toMatchObject({ level: "error" });
  expect(report.findings[0]?.message).toMatch(/BOFT/);
});

test.each([
  ["dora", 8, /DoRA's magnitudes/],
  ["lora-embedding", 4, undefined],
  ["lora-tokens", 2, undefined],
  ["lora-biases", 4, undefined],
  ["lora-activated", 6, /from alora_invocation_tokens on/],
  ["lora-replicated", 9, undefined],
])("LoRA with more than its two matrices: %s", async (name, count, remark) => {
  const folder = fixturePath(`methods/${name}`);
  const { base_model_name_or_path } = JSON.parse(readFileSync(`${folder}/adapter_config.json`, "utf8")) as {
    base_model_name_or_path: string;
  };
  const base = folderFiles(base_model_name_or_path);
  const report = await inspectAdapter(folderFiles(folder), { base });
  expect(report.layers.map(({ ratio }) => ratio !== undefined && ratio > 0)).toEqual(
    Array<boolean>(count).fill(true),
  );
  expect(report.changes).toBe(true);
  expect(report.others.filter(({ name }) => /lora_(?:embedding_)?[AB]/.test(name))).toEqual([]);
  if (remark) expect(kindsOf(report).join()).toMatch(remark);
  else expect(report.findings).toEqual([]);
});

test("DoRA whose B is 0 may have other magnitudes than its base: whether it changes anything is not told", async () => {
  const folder = fixturePath("methods/dora");
  const [config, bytes] = ["adapter_config.json", "adapter_model.safetensors"].map((name) =>
    readFileSync(`${folder}/${name}`),
  );
  const length = Number(bytes!.readBigUInt64LE(0));
  const header = JSON.parse(bytes!.toString("utf8", 8, 8 + length)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  for (const [name, entry] of Object.entries(header))
    if (name.includes("lora_B")) bytes!.fill(0, ...entry.data_offsets.map((at) => 8 + length + at));
  const report = await inspectAdapter(
    filesOf({ "adapter_config.json": JSON.parse(config!.toString()), "adapter_model.safetensors": bytes! }),
  );
  expect([report.changes, report.layers[0]?.norm]).toEqual([undefined, 0]);
  expect(kindsOf(report).join()).not.toMatch(/error/);
});

test("another base model, and a folder without an adapter", async () => {
  const adapter = folderFiles(`${fixturePath("llama-gqa")}/adapter`);
  const other = await inspectAdapter(adapter, { base: folderFiles(fixturePath("llama-tied")) });
  expect(kindsOf(other).join("\n")).toMatch(/has other sizes at model\.layers/);
  expect((await errorOf(() => inspectAdapter(filesOf({})))).message).toMatch(
    /adapter_config\.json: no such file/,
  );
});
