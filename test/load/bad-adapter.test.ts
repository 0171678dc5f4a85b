import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { FileContent, FileSource } from "../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import type { Model } from "../../src/load/model.ts";
import { type AdapterEdit, editedAdapter } from "../support/adapters.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";

let model: Model;
let files: ReadonlyMap<string, FileContent>;
beforeAll(async () => {
  model = await openTestModel(fixturePath("llama-gqa"));
  const adapter = attach(model, lora({ r: 2, targetModules: ["q_proj"] }));
  files = await adapterFiles(adapter);
  adapter.release();
});
afterAll(() => model.release());

const edited = (edit: AdapterEdit = {}): FileSource => editedAdapter(files, edit);

/** No value is 0. */
const trained: AdapterEdit = {
  change: (entry) => ({ ...entry, data: entry.data.map((_, i) => (i % 4 === 2 ? 128 : 62)) }),
};

describe("what a strict reader refuses, as merge is", () => {
  test.each<[string, AdapterEdit, RegExp]>([
    ["no effect", {}, /1 problem:\n.*the adapter has no effect: .* in every layer\n.*--force/],
    [
      "another base, and no effect",
      { config: { base_model_name_or_path: "someone/else" } },
      /2 problems:\n.*trained on someone\/else, .*\n.*has no effect/,
    ],
    [
      "all else with it",
      {
        config: { base_model_name_or_path: "someone/else" },
        add: {
          "model.layers.9.q_proj.lora_A.weight": [2, 32],
          "model.layers.9.q_proj.lora_B.weight": [32, 2],
        },
      },
      /model\.layers\.9\.q_proj is no linear layer of the model\n.*someone\/else/,
    ],
  ])("%s", async (_, edit, message) => {
    const fromHub = { ...model.withAdapters([]), hub: { repo: "owner/base", revision: undefined } };
    await expect(loadAdapter(fromHub, edited(edit), { strict: true })).rejects.toThrow(message);
    expect(fromHub.adapters.all).toEqual([]);
  });

  test("but not what names another folder, which may have been moved: it is told", async () => {
    const warnings: string[] = [];
    const onWarning = (line: string) => warnings.push(line);
    const edit = { ...trained, config: { base_model_name_or_path: "models/elsewhere" } };
    (await loadAdapter(model, edited(edit), { strict: true, onWarning })).release();
    expect(warnings).toEqual([expect.stringMatching(/trained on models\/elsewhere, and the model is /)]);
  });

  test("and takes what is none of that; others are only warned", async () => {
    const warnings: string[] = [];
    const loaded: Adapter = await loadAdapter(model, edited(), { onWarning: (line) => warnings.push(line) });
    expect(warnings).toEqual(["the adapter has no effect: lora_B or lora_A is 0 in every layer"]);
    loaded.release();
    (await loadAdapter(model, edited(trained), { strict: true })).release();
  });
});
