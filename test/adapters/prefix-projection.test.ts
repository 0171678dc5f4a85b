import { expect, test } from "vitest";
import { memoryFiles } from "../../src/io/files/files.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { fixturePath, openTestModel, readJsonFile } from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";

test("a projected prefix is run and written as it was read, and not trained", async () => {
  const folder = fixturePath("methods/prefix_tuning");
  const tensors = "adapter_model.safetensors";
  const files = folderFiles(folder);
  const bytes = await files.read(tensors, 0, (await files.size(tensors)) as number);
  const config = { ...readJsonFile<object>(folder, "adapter_config.json"), prefix_projection: true };
  const text = new TextEncoder().encode(JSON.stringify(config));
  const projected = memoryFiles(
    "projected",
    new Map([
      [tensors, bytes],
      ["adapter_config.json", text],
    ]),
  );
  const model = await openTestModel(fixturePath("llama-gqa"));
  const adapter = await loadAdapter(model, projected);
  const rows = [{ inputIds: [1, 2, 3], labels: [1, 2, 3] }];
  const training = trainSequences(model, adapter.parameters, rows).next();
  await expect(training).rejects.toThrow(/prefix_projection is set[\s\S]*train a new one/);
  const written = await wholeFiles(await adapterFiles(adapter));
  expect(JSON.parse(new TextDecoder().decode(written.get("adapter_config.json")))).toMatchObject({
    prefix_projection: true,
  });
  expect(Buffer.from(written.get(tensors)!).equals(Buffer.from(bytes))).toBe(true);
});
