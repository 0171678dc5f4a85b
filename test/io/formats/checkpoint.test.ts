import { describe, expect, test } from "vitest";
import { memoryFiles } from "../../../src/io/files/files.ts";
import { openCheckpoint } from "../../../src/io/formats/checkpoint.ts";
import { writeSafetensors } from "../../../src/io/formats/safetensors-writer.ts";
import { LoraError } from "../../../src/util/fail.ts";
import { errorOf, filesOf } from "../helpers.ts";

function weights(...names: string[]): Uint8Array {
  return writeSafetensors(
    names.map((name, i) => ({ name, dtype: "U8", shape: [4], data: Uint8Array.of(i, i + 1, i + 2, i + 3) })),
  );
}

const config = { model_type: "llama" };
const INDEX = "model.safetensors.index.json";

describe("openCheckpoint", () => {
  test("one file", async () => {
    const files = filesOf({ "config.json": config, "model.safetensors": weights("a", "b") });
    const checkpoint = await openCheckpoint(files);
    expect(checkpoint.label).toBe("memory");
    expect(checkpoint.config).toEqual(config);
    expect(checkpoint.generationConfig).toBeUndefined();
    const b = checkpoint.tensors.get("b")!;
    expect(b).toMatchObject({ file: "model.safetensors", dtype: "U8", shape: [4] });
    expect([...(await checkpoint.read(b))]).toEqual([1, 2, 3, 4]);
    expect([...(await checkpoint.read(b, 1, 3))]).toEqual([2, 3]);
    expect((await errorOf(() => checkpoint.read(b, 0, 5))).message).toContain(
      "model.safetensors/b: cannot read",
    );
  });

  test("shards, and one file wins over an index", async () => {
    const contents = {
      "config.json": config,
      "generation_config.json": { eos_token_id: 2 },
      [INDEX]: {
        metadata: {},
        weight_map: { a: "s1.safetensors", b: "s1.safetensors", c: "sub/s2.safetensors" },
      },
      "s1.safetensors": weights("a", "b"),
      "sub/s2.safetensors": weights("c"),
    };
    const sharded = await openCheckpoint(filesOf(contents));
    expect(sharded.generationConfig).toEqual({ eos_token_id: 2 });
    expect([...sharded.tensors.keys()]).toEqual(["a", "b", "c"]);
    expect([...(await sharded.read(sharded.tensors.get("c")!))]).toEqual([0, 1, 2, 3]);
    const single = await openCheckpoint(filesOf({ ...contents, "model.safetensors": weights("z") }));
    expect([...single.tensors.keys()]).toEqual(["z"]);
  });

  test("reports every problem of every file at once", async () => {
    const files = filesOf({
      "config.json": "{",
      "generation_config.json": [],
      [INDEX]: {
        weight_map: {
          a: "s1.safetensors",
          evil: "../evil.safetensors",
          broken: "broken.safetensors",
        },
      },
      "s1.safetensors": weights("a"),
      "broken.safetensors": weights("broken").subarray(0, 20),
    });
    const { message } = await errorOf(() => openCheckpoint(files));
    for (const part of [
      "memory/config.json: invalid JSON",
      "memory/generation_config.json: expected a JSON object",
      '"../evil.safetensors" leaves the folder',
      "memory/broken.safetensors: the header would be",
    ]) {
      expect(message).toContain(part);
    }
    expect(message).toMatch(/^memory: 4 problems/);
  });

  test("what the shards hold counts, not what the index says of it", async () => {
    const weight_map = {
      a: "s1.safetensors",
      absent: "s1.safetensors",
      moved: "s2.safetensors",
      gone: "missing.safetensors",
    };
    const files = filesOf({
      "config.json": config,
      [INDEX]: { weight_map },
      "s1.safetensors": weights("a", "moved", "unlisted"),
      "s2.safetensors": weights("moved"),
    });
    const { tensors, absent, warnings } = await openCheckpoint(files);
    expect([...tensors.values()].map(({ name, file }) => [name, file])).toEqual([
      ["a", "s1.safetensors"],
      ["moved", "s2.safetensors"],
      ["unlisted", "s1.safetensors"],
    ]);
    expect(absent).toEqual(
      new Map([
        ["absent", { file: "s1.safetensors", fileExists: true }],
        ["gone", { file: "missing.safetensors", fileExists: false }],
      ]),
    );
    expect(warnings).toEqual([
      `memory/${INDEX}: moved is in s1.safetensors and in s2.safetensors; the latter is used, as by transformers`,
    ]);
  });

  test.each([
    [{ weight_map: [] }, "weight_map is missing"],
    [{}, "weight_map is missing"],
    [{ weight_map: { a: 1, b: null } }, "weight_map.b is null, expected a file name"],
    [[], "expected a JSON object"],
  ])("refuses the index %j", async (index, message) => {
    const files = filesOf({ "config.json": config, [INDEX]: index });
    expect((await errorOf(() => openCheckpoint(files))).message).toContain(message);
  });

  test.each([
    ["pytorch_model.bin", "save_pretrained"],
    ["model-Q4_K_M.gguf", "name the GGUF file: …/model-Q4_K_M.gguf"],
    ["adapter_model.safetensors", "this is an adapter"],
    ["notes.txt", "notes.txt"],
  ])("with only %s says what to do", async (name, help) => {
    const { message } = await errorOf(() => openCheckpoint(filesOf({ "config.json": config, [name]: "x" })));
    expect(message).toContain("found neither model.safetensors nor model.safetensors.index.json");
    expect(message).toContain(help);
  });

  test("a source that cannot list is probed for foreign weights", async () => {
    const { list: _, ...files } = filesOf({ "config.json": config, "pytorch_model.bin": "x" });
    expect((await errorOf(() => openCheckpoint(files))).message).toContain("only pytorch_model.bin");
  });

  test("a network failure passes through as what it is", async () => {
    const files = memoryFiles("memory", new Map());
    const broken = { ...files, size: () => Promise.reject(new LoraError("network", "hub", "timed out")) };
    expect((await errorOf(() => openCheckpoint(broken))).kind).toBe("network");
  });
});
