import { expect, test } from "vitest";
import { memoryFiles } from "../../src/io/files/files.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type LoadedModel, openTaskModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath } from "../support/fixtures.ts";
import { logitsOf, wholeFiles } from "../support/merged-cases.ts";

const FIXTURE = "llama-gqa";

test.each([0.5, -1, 0])(
  "merged %s times as strong, a model computes what the scaled adapter does",
  async (scale) => {
    const files = folderFiles(fixturePath(FIXTURE));
    const open = async (source = files): Promise<LoadedModel> => openTaskModel(source, await testDevice());
    const model = await open();
    const adapter = await loadAdapter(model, folderFiles(`${fixturePath(FIXTURE)}/adapter`));
    const merged = memoryFiles(
      "merged",
      await wholeFiles(await mergedFiles(model, adapter, files, { scale })),
    );
    const scaled = Object.assign({}, model, model.withAdapters([adapter.scaled(scale)]));
    const wanted = await logitsOf(scaled, FIXTURE);
    const got = await logitsOf(await open(merged), FIXTURE);
    const plain = await logitsOf(Object.assign({}, model, model.withAdapters([])), FIXTURE);
    const far = (a: Float32Array, b: Float32Array) =>
      Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
    expect(far(got, wanted)).toBeLessThan(1e-4);
    if (scale === 0) expect(far(got, plain)).toBe(0);
    else expect(far(got, plain)).toBeGreaterThan(1e-2);
  },
);

test("a method without a factor is refused", async () => {
  const files = folderFiles(fixturePath(FIXTURE));
  const model: LoadedModel = await openTaskModel(files, await testDevice());
  const dora = await loadAdapter(model, folderFiles(fixturePath("methods/dora")));
  await expect(mergedFiles(model, dora, files, { scale: 0.5 })).rejects.toThrow(
    "LORA has no factor of its update",
  );
});
