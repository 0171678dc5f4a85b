import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import type { Model } from "../../src/load/model.ts";
import type { HfConfig } from "../../src/models/config-reader.ts";
import { buildModel } from "../../src/models/families.ts";
import { shapeWeights } from "../../src/nn/initial-weights.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { testDevice } from "../support/device.ts";
import { readJsonFile, sharedPath } from "../support/fixtures.ts";

// Adapters that people published, on the models of the real configs; the base models' weights are not needed for that.
const published = [{ adapter: "gemma3_270m_svg", config: "gemma-3-270m-it.json", sites: 18 * 4 }];

describe.each(published)("$adapter", ({ adapter, config, sites }) => {
  const folder = sharedPath(`adapters/${adapter}`);
  const configs = sharedPath("model_configs");

  test.skipIf(!folder || !configs)("fits its model and is written back byte for byte", async () => {
    const device = await testDevice();
    const built = buildModel(
      device,
      readJsonFile<HfConfig>(configs as string, config),
      shapeWeights(device).root,
    );
    const model = { ...built, name: config, tokenizer: undefined, initialised: [] } as Model;
    const loaded = await loadAdapter(model, folderFiles(folder as string));
    expect(loaded.sites.length).toBe(sites);
    const bytes = (await adapterFiles(loaded)).get("adapter_model.safetensors") as Uint8Array;
    expect(Buffer.from(bytes).equals(readFileSync(`${folder}/adapter_model.safetensors`))).toBe(true);
    loaded.release();
  });
});
