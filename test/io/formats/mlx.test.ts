import { describe, expect, test } from "vitest";
import { mlxFiles, readMlxAdapter } from "../../../src/io/formats/mlx.ts";
import type { LoraSource } from "../../../src/io/formats/plain-lora.ts";
import { type TensorEntry, writeSafetensors } from "../../../src/io/formats/safetensors-writer.ts";
import { filesOf } from "../helpers.ts";

const PARAMETERS = { rank: 2, scale: 10, dropout: 0.1 };
const Q = "model.layers.1.self_attn.q_proj";

function tensor(name: string, shape: readonly number[], dtype: TensorEntry["dtype"] = "F32"): TensorEntry {
  const count = shape.reduce((product, size) => product * size, 1);
  const values = Float32Array.from({ length: count }, (_, i) => i + 1);
  const codes = dtype === "F32" ? values : Uint16Array.from(values, () => 0x3c00);
  return { name, dtype, shape, data: new Uint8Array(codes.buffer) };
}

const PAIR = [tensor(`${Q}.lora_a`, [3, 2]), tensor(`${Q}.lora_b`, [2, 4])];

function adapter(config: object, tensors: readonly TensorEntry[] = PAIR) {
  return filesOf({
    "adapter_config.json": config,
    "adapters.safetensors": writeSafetensors(tensors),
  });
}

describe("an adapter of mlx-lm", () => {
  test("is read with its matrices turned and alpha for its scale", async () => {
    const config = { fine_tune_type: "lora", num_layers: 1, lora_parameters: PARAMETERS, model: "org/name" };
    const { modules, ...rest } = await readMlxAdapter(adapter(config));
    expect(rest).toEqual({ dropout: 0.1, base: "org/name", isWhole: false });
    expect([...modules]).toEqual([
      [
        Q,
        {
          lora_A: { shape: [2, 3], data: Float32Array.of(1, 3, 5, 2, 4, 6) },
          lora_B: { shape: [4, 2], data: Float32Array.of(1, 5, 2, 6, 3, 7, 4, 8) },
          r: 2,
          alpha: 20,
        },
      ],
    ]);
  });

  test("has mlx-lm's defaults where it says nothing, and 16-bit numbers", async () => {
    const pair = [tensor(`${Q}.lora_a`, [3, 8], "F16"), tensor(`${Q}.lora_b`, [8, 4], "F16")];
    const { modules, dropout } = await readMlxAdapter(adapter({}, pair));
    expect(dropout).toBe(0);
    expect(modules.get(Q)).toMatchObject({ r: 8, alpha: 160 });
    expect(modules.get(Q)?.lora_A.data).toEqual(new Float32Array(24).fill(1));
  });

  test("is refused with all that is wrong", async () => {
    const config = { lora_parameters: { rank: 4, scale: "x", dropout: 1 } };
    const broken = adapter(config, [
      ...PAIR,
      tensor("model.layers.0.mlp.up_proj.lora_a", [3, 2]),
      tensor("model.layers.0.mlp.down_proj.m", [3]),
      tensor("model.embed_tokens.lora_a", [9, 4]),
      tensor("model.embed_tokens.lora_b", [4, 3]),
    ]);
    const message = await readMlxAdapter(broken).catch((error: Error) => error.message);
    expect(message).toMatch(/6 problems/);
    for (const part of [
      /lora_parameters.scale is "x", expected a number/,
      /lora_parameters.dropout is 1, expected a number of at least 0 and below 1/,
      /q_proj has lora_a \[3,2\] and lora_b \[2,4\], and lora_parameters.rank is 4/,
      /up_proj has lora_a alone/,
      /down_proj.m \[3\] is no lora_a or lora_b/,
      /model.embed_tokens is an embedding/,
    ]) {
      expect(message).toMatch(part);
    }
  });

  test.each(["dora", "full"])("of the type %s is refused with a remedy", async (fine_tune_type) => {
    await expect(readMlxAdapter(adapter({ fine_tune_type }))).rejects.toThrow(
      /fine_tune_type is.*\n.*mlx_lm.fuse/,
    );
  });

  test("beside PEFT's configuration is refused", async () => {
    await expect(readMlxAdapter(adapter({ peft_type: "LORA" }))).rejects.toThrow(
      /keep the files of two adapters/,
    );
  });
});

function source(paths: readonly string[], changes: Partial<LoraSource["config"]> = {}): LoraSource {
  const lora_A = { shape: [2, 3], data: Float32Array.of(1, 3, 5, 2, 4, 6) };
  const lora_B = { shape: [4, 2], data: Float32Array.of(1, 5, 2, 6, 3, 7, 4, 8) };
  const config = { base_model_name_or_path: null, lora_dropout: 0, layers_to_transform: null, ...changes };
  const tensors = new Map(paths.map((path) => [path, { lora_A, lora_B, r: 2, scale: 10 }]));
  return { config, tensors, saved: new Map() };
}

describe("what is written for mlx-lm", () => {
  const all = [0, 1].map((layer) => `model.layers.${layer}.self_attn.q_proj`);

  test("has mlx-lm's names and settings", async () => {
    const files = mlxFiles(source(all), { label: "adapter" });
    expect(JSON.parse(String(files.get("adapter_config.json")))).toEqual({
      fine_tune_type: "lora",
      lora_parameters: { rank: 2, scale: 10, dropout: 0, keys: ["self_attn.q_proj"] },
      model: null,
      num_layers: 2,
    });
    const again = await readMlxAdapter(filesOf(Object.fromEntries(files)));
    expect(again.isWhole).toBe(true);
    expect([...again.modules]).toEqual(
      [...source(all).tensors].map(([path, { lora_A, lora_B, r }]) => [
        path,
        { lora_A, lora_B, r, alpha: 20 },
      ]),
    );
  });

  test("counts layers from the last", () => {
    const narrow = source(all.slice(1), { layers_to_transform: [1] });
    expect(() => mlxFiles(narrow, { label: "adapter" })).toThrow(
      /the base model's number is needed\n.*--model/,
    );
    const { num_layers } = JSON.parse(
      String(mlxFiles(narrow, { label: "adapter", numLayers: 5 }).get("adapter_config.json")),
    );
    expect(num_layers).toBe(4);
  });

  test("is refused with all that mlx-lm has no place for", () => {
    const { config, tensors } = source([...all, "lm_head"]);
    const [first] = tensors;
    if (!first) throw new Error("no module");
    const [path, module] = first;
    const mixed = new Map([...tensors, [path, { ...module, r: 4, scale: 5 }]]);
    expect(() =>
      mlxFiles({ config, tensors: mixed, saved: new Map([["score.weight", 0]]) }, { label: "adapter" }),
    ).toThrow(/4 problems:[\s\S]*different ranks[\s\S]*different scales[\s\S]*lm_head[\s\S]*score.weight/);
  });
});
