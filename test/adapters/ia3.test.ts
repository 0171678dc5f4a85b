import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { ia3 } from "../../src/adapters/ia3/ia3.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";

const LLAMA = fixturePath("llama-gqa");

test("without targets it takes PEFT's for the type of the model", async () => {
  const adapter = attach(await openTestModel(LLAMA), ia3());
  const ends = new Set(adapter.sites.map(({ module }) => module.path.split(".").at(-1)));
  expect(ends).toEqual(new Set(["k_proj", "v_proj", "down_proj"]));
  const files = await wholeFiles(await adapterFiles(adapter));
  const config = JSON.parse(new TextDecoder().decode(files.get("adapter_config.json")));
  expect(config).toMatchObject({
    target_modules: ["k_proj", "v_proj", "down_proj"],
    feedforward_modules: ["down_proj"],
  });
});

test("feed-forward layers are scaled at their inputs", async () => {
  const model = await openTestModel(LLAMA);
  const adapter = attach(model, ia3({ targetModules: "all-linear", feedforwardModules: ".*mlp.*" }));
  for (const { module, tensors } of adapter.sites) {
    const isInput = module.path.includes("mlp");
    expect(tensors.ia3_l?.shape[isInput ? 0 : 1], module.path).toBe(1);
  }
  const files = memoryFiles("written", await wholeFiles(await adapterFiles(adapter)));
  const again = await loadAdapter(await openTestModel(LLAMA), files);
  expect(again.sites.map(({ tensors }) => tensors.ia3_l?.shape)).toEqual(
    adapter.sites.map(({ tensors }) => tensors.ia3_l?.shape),
  );
});

test("names that are no targets, and models that PEFT has no choice for, are refused", () => {
  expect(() => ia3({ targetModules: ["k_proj"], feedforwardModules: ["down_proj"] })).toThrow(
    'feedforwardModules has "down_proj", which targetModules lacks',
  );
  expect(() => ia3().targetsIn({ modelType: "phi3" })).toThrow("PEFT has no targets for phi3");
  expect(() => ia3({ targets: ["k_proj"] } as never)).toThrow("targetModules");
});

test("a file whose shapes are not those of its configuration is refused", async () => {
  const adapter = attach(await openTestModel(LLAMA), ia3({ targetModules: ["v_proj"] }));
  const files = await wholeFiles(await adapterFiles(adapter));
  const config = JSON.parse(new TextDecoder().decode(files.get("adapter_config.json")));
  const edited = JSON.stringify({ ...config, feedforward_modules: ["v_proj"] });
  const changed = new Map([...files, ["adapter_config.json", new TextEncoder().encode(edited)]]);
  const loading = loadAdapter(await openTestModel(LLAMA), memoryFiles("edited", changed));
  await expect(loading).rejects.toThrow("the shape is not [1, in]");
});
