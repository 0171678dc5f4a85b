import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../../src/io/checkpoint.ts";
import { CheckpointWeights } from "../../src/io/checkpoint-weights.ts";
import { type FileSource, memoryFiles } from "../../src/io/files.ts";
import { writeSafetensors } from "../../src/io/safetensors-writer.ts";
import { openModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { encodeBf16, encodeF16 } from "../../src/util/half.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

const bytes = (data: Float32Array | Uint16Array | Int32Array) => new Uint8Array(data.buffer);
const values = Float32Array.of(1, -2, 0.5, 3, 0.25, 8);

function checkpointFiles(): FileSource {
  const tensors = [
    { name: "f32", dtype: "F32", shape: [2, 3], data: bytes(values) },
    { name: "bf16", dtype: "BF16", shape: [3], data: bytes(encodeBf16(values.slice(0, 3))) },
    { name: "f16", dtype: "F16", shape: [3], data: bytes(encodeF16(values.slice(3))) },
    { name: "i32", dtype: "I32", shape: [1], data: bytes(Int32Array.of(1)) },
  ] as const;
  return memoryFiles(
    "memory",
    new Map([
      ["config.json", new TextEncoder().encode("{}")],
      [
        "model.safetensors",
        writeSafetensors(tensors.map((tensor) => ({ ...tensor, shape: [...tensor.shape] }))),
      ],
    ]),
  );
}

describe("CheckpointWeights", () => {
  test("keeps words as they are stored and widens what must be f32", async () => {
    const device = await testDevice();
    const weights = new CheckpointWeights(device, await openCheckpoint(checkpointFiles()));
    const f32 = weights.root.tensor("f32", [2, 3]);
    const bf16 = weights.root.tensor("bf16", [3], { storage: "f32" });
    const f16 = weights.root.tensor("f16", [3], { storage: "f32" });
    const words = weights.root.tensor("bf16", [3]);
    await weights.finish({ optional: ["i32"] });
    expect([...(await f32.read())]).toEqual([...values]);
    expect([...(await bf16.read())]).toEqual([...values.slice(0, 3)]);
    expect([...(await f16.read())]).toEqual([...values.slice(3)]);
    expect(words.dtype).toBe("bf16");
    expect(await words.readBytes()).toEqual(bytes(encodeBf16(values.slice(0, 3))));
  });

  test("reports every missing, misshapen, unsupported and unused tensor at once, and keeps nothing", async () => {
    const device = await testDevice();
    const before = device.memory.stats.used;
    const weights = new CheckpointWeights(device, await openCheckpoint(checkpointFiles()));
    weights.root.tensor("f32", [3, 2]);
    weights.root.at("layer").tensor("absent", [4]);
    weights.root.tensor("i32", [1]);
    weights.root.tensor("f16", [3]);
    const message = await weights.finish().catch((error: Error) => error.message);
    expect(message).toContain("memory: 4 problems:");
    expect(message).toContain("f32 is [2, 3], the config wants [3, 2]");
    expect(message).toContain("layer.absent [4] is missing");
    expect(message).toContain("i32 is I32; supported are F32, BF16 and F16");
    expect(message).toContain("bf16 is in the checkpoint, but the model has no use for it");
    expect(device.memory.stats.used).toBe(before);
  });
});

describe("openModel", () => {
  const folder = fixturePath("llama-gqa");
  const files = folderFiles(folder);
  const withConfig = (change: Record<string, unknown>): FileSource => {
    const config = new TextEncoder().encode(
      JSON.stringify({ ...readJsonFile<object>(folder, "config.json"), ...change }),
    );
    return {
      label: "changed",
      size: async (name) => (name === "config.json" ? config.length : files.size(name)),
      read: async (name, start, end) =>
        name === "config.json" ? config.slice(start, end) : files.read(name, start, end),
    };
  };

  test("reads no more than a few MiB at a time", async () => {
    const reads: number[] = [];
    const watched: FileSource = {
      ...files,
      read(name, start, end) {
        reads.push(end - start);
        return files.read(name, start, end);
      },
    };
    (await openModel(watched, await testDevice())).release();
    expect(Math.max(...reads)).toBeLessThanOrEqual(4 * 2 ** 20);
  });

  test("a model that is released gives all its memory back", async () => {
    const device = await testDevice();
    const before = device.memory.stats.used;
    (await openModel(files, device)).release();
    expect(device.memory.stats.used).toBe(before);
  });

  test.each([
    [
      { architectures: ["MambaForCausalLM"] },
      /architecture MambaForCausalLM is not supported[\s\S]*LlamaForCausalLM/,
    ],
    [
      { architectures: undefined, model_type: undefined },
      /names neither architectures nor model_type[\s\S]*LlamaForCausalLM/,
    ],
    [{ hidden_act: "mish" }, /hidden_act "mish" is not supported/],
    [{ hidden_act: "mish", hidden_size: "big" }, /hidden_size is "big"[\s\S]*hidden_act "mish"/],
    [{ attention_sink_size: 4 }, /attention_sink_size 4 is not supported/],
    [{ hidden_size: "big" }, /hidden_size is "big", expected a number/],
    [
      { rope_parameters: { rope_type: "mrope", rope_theta: 1 } },
      /rope_parameters\.rope_type "mrope" is not supported; supported: "default"/,
    ],
    [{ num_hidden_layers: 3 }, /layers\.2\.input_layernorm\.weight \[32\] is missing/],
    [
      { num_hidden_layers: 1 },
      /layers\.1\.mlp\.up_proj\.weight is in the checkpoint, but the model has no use for it/,
    ],
    [{ intermediate_size: 60 }, /gate_proj\.weight is \[56, 32\], the config wants \[60, 32\]/],
  ])("a config with %j is refused and leaves nothing behind", async (change, message) => {
    const device = await testDevice();
    const before = device.memory.stats.used;
    await expect(openModel(withConfig(change), device)).rejects.toThrow(message);
    expect(device.memory.stats.used).toBe(before);
  });
});
