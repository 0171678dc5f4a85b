import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { FileContent } from "../../src/io/files/files.ts";
import { type ConvertOptions, convertAdapter } from "../../src/load/convert/convert-adapter.ts";
import { onlyFile } from "../../src/load/convert/formats.ts";
import { type PeftAdapter, peftFiles, readPeftAdapter } from "../../src/load/lora-files.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { filesOf } from "../io/helpers.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

const MODEL = fixturePath("llama-gqa");
const ADAPTER = folderFiles(`${MODEL}/adapter`);
const WEIGHTS = "adapter_model.safetensors";
const PUBLISHED = "../shared/data/adapters/mlx_wyek1n";

const configOf = (name: string) => async () =>
  readJsonFile<Record<string, unknown>>(fixturePath(name), "config.json");
const options = (to: ConvertOptions["to"]): ConvertOptions => ({ to, baseConfig: configOf("llama-gqa") });
const sourceOf = (files: ReadonlyMap<string, FileContent>) => filesOf(Object.fromEntries(files));

async function converted(source: Parameters<typeof convertAdapter>[0], to: ConvertOptions["to"]) {
  const { files } = await convertAdapter(source, options(to));
  return { files, source: sourceOf(files) };
}

/** An adapter of the fixture with something changed. */
async function changed(change: (adapter: PeftAdapter) => Partial<PeftAdapter>) {
  const read = await readPeftAdapter(ADAPTER);
  return sourceOf(peftFiles({ ...read, ...change(read) }));
}

describe("PEFT's adapter", () => {
  const bytes = new Uint8Array(readFileSync(`${MODEL}/adapter/${WEIGHTS}`));

  test.each(["mlx", "gguf"] as const)("goes to %s and back byte for byte", async (format) => {
    const there = await converted(ADAPTER, format);
    const back = await converted(there.source, "peft");
    expect(back.files.get(WEIGHTS)).toEqual(bytes);
    expect((await readPeftAdapter(back.source)).config).toMatchObject({ r: 4, lora_alpha: 8 });
  });

  test("goes from mlx to gguf as from PEFT", async () => {
    const mlx = await converted(ADAPTER, "mlx");
    const direct = await converted(ADAPTER, "gguf");
    expect((await converted(mlx.source, "gguf")).files).toEqual(direct.files);
  });

  test("of different ranks and scales has one alpha in GGUF, and computes the same", async () => {
    const source = await changed(({ config, tensors }) => {
      const [path = ""] = tensors.keys();
      return { config: { ...config, alpha_pattern: { [`^${path}`]: 5 } }, tensors: withoutAlpha(tensors) };
    });
    const back = await converted((await converted(source, "gguf")).source, "peft");
    const [before, after] = [await readPeftAdapter(source), await readPeftAdapter(back.source)];
    expect(after.config.alpha_pattern).toEqual({});
    for (const [path, { lora_B, scale }] of before.tensors) {
      const own = after.tensors.get(path);
      const wanted = lora_B.data.map((value) => value * scale);
      const got = own?.lora_B.data.map((value) => value * own.scale) ?? new Float32Array(0);
      expect(Math.max(...wanted.map((value, i) => Math.abs(value - (got[i] ?? 9))))).toBeLessThan(1e-7);
    }
  });

  test("is refused where the other format has no place for it", async () => {
    const refusal = async (source: Parameters<typeof convertAdapter>[0], changes: Partial<ConvertOptions>) =>
      convertAdapter(source, { ...options("gguf"), ...changes }).catch((error: Error) => error.message);
    expect(await refusal(ADAPTER, { to: "peft" })).toMatch(/it is in the format peft already/);
    const gpt2 = folderFiles(fixturePath("tasks/gpt2/adapter"));
    expect(await refusal(gpt2, { baseConfig: configOf("tasks/gpt2") })).toMatch(
      /gpt2 cannot be written as GGUF/,
    );
    const phi3 = { baseConfig: configOf("families/phi3") };
    expect(await refusal(ADAPTER, phi3)).toMatch(
      /llama.cpp's phi3 has no linear layer for model.layers.0.self_attn.q_proj/,
    );
    const whole = folderFiles(fixturePath("tasks/llama-sequence/adapter"));
    expect(await refusal(whole, { to: "mlx" })).toMatch(/score.weight was trained whole/);
    expect(await refusal(whole, {})).toMatch(/score.weight was trained whole/);
    const nan = await changed(({ tensors }) => {
      const [[path, module] = fail()] = tensors;
      const data = module.lora_B.data.map(() => Number.NaN);
      return { tensors: new Map([...tensors, [path, { ...module, lora_B: { ...module.lora_B, data } }]]) };
    });
    expect(await refusal(nan, {})).toMatch(/lora_B holds NaN/);
  });
});

const fail = (): never => {
  throw new Error("no module");
};

const withoutAlpha = (tensors: PeftAdapter["tensors"]) =>
  new Map([...tensors].map(([path, { alpha: _, ...module }]) => [path, module as never]));

describe("a GGUF adapter", () => {
  test("is refused with all that is wrong", async () => {
    const { source } = await converted(ADAPTER, "gguf");
    const other = convertAdapter(source, { to: "peft", baseConfig: configOf("families/qwen2") });
    await expect(other).rejects.toThrow(/for the architecture "llama", and the model's is qwen2/);
    const files = filesOf({ "a.gguf": "x", "b.gguf": "y" });
    await expect(convertAdapter(files, options("peft"))).rejects.toThrow(
      /several GGUF files: a.gguf, b.gguf/,
    );
    await expect(convertAdapter(onlyFile(files, "a.gguf"), options("peft"))).rejects.toThrow(
      /too few for a GGUF/,
    );
  });
});

test.skipIf(!existsSync(PUBLISHED))(
  "a published adapter of mlx-lm becomes PEFT's, and mlx-lm's again",
  async () => {
    const peft = await converted(folderFiles(PUBLISHED), "peft");
    const { config } = await readPeftAdapter(peft.source);
    expect(config).toMatchObject({
      ...{ r: 8, lora_alpha: 80, layers_to_transform: [20, 21, 22, 23] },
      target_modules: ["self_attn.q_proj", "self_attn.v_proj"],
    });
    const baseConfig = async () =>
      readJsonFile<Record<string, unknown>>("../shared/data/model_configs", "qwen2.5-0.5b-instruct.json");
    const again = await convertAdapter(peft.source, { to: "mlx", baseConfig });
    const { source } = await converted(sourceOf(again.files), "peft");
    expect(await source.read(WEIGHTS, 0, 1000)).toEqual(await peft.source.read(WEIGHTS, 0, 1000));
    expect(JSON.parse(String(again.files.get("adapter_config.json")))).toMatchObject({
      num_layers: 4,
      lora_parameters: { rank: 8, scale: 10 },
    });
  },
);
