// Parts that mlx-lm's names choose by their number: the last layers of the model, and the first batches of rows to judge by.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { methodFor } from "../../src/cli/last-layers.ts";
import { withMethod } from "../../src/cli/method-table.ts";
import { settle } from "../../src/cli/settings.ts";
import { TRAIN_OPTIONS } from "../../src/cli/tables/train.ts";
import { TASKS } from "../../src/cli/tasks.ts";
import { adapterFiles } from "../../src/load/adapter.ts";
import type { Model } from "../../src/load/model.ts";
import { BUNDLED_MODEL, openTestModel } from "../support/fixtures.ts";

const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-partly-"));
let model: Model;

beforeAll(async () => {
  model = await openTestModel(BUNDLED_MODEL);
});
afterAll(() => rmSync(folder, { recursive: true }));

function settingsOf(values: Readonly<Record<string, unknown>>) {
  const given = Object.entries({ model: "m", data: "d", ...values }).map(([key, value]) => {
    return { key, name: key, value };
  });
  const { table, sources } = withMethod(TRAIN_OPTIONS, [given]);
  return settle("train", table, sources).settings;
}

describe("num_layers", () => {
  test("is the last ones, and PEFT's configuration names them", async () => {
    const adapter = attach(model, methodFor(model, settingsOf({ num_layers: 1 })));
    const last = model.config.numLayers - 1;
    const paths = adapter.sites.map(({ module }) => module.path);
    expect(paths).toHaveLength(7);
    expect(paths.every((path) => path.startsWith(`model.layers.${last}.`))).toBe(true);
    const config = (await adapterFiles(adapter)).get("adapter_config.json");
    expect(JSON.parse(`${config}`)).toMatchObject({ layers_to_transform: [last] });
    adapter.release();
  });

  test("is all of them by -1, and no more than there are", () => {
    const sites = (values: Readonly<Record<string, unknown>>) => {
      const adapter = attach(model, methodFor(model, settingsOf(values)));
      adapter.release();
      return adapter.sites.length;
    };
    expect(sites({ num_layers: -1 })).toBe(sites({}));
    expect(() => methodFor(model, settingsOf({ num_layers: 16 }))).toThrow(
      `num_layers: is 16, and the model has ${model.config.numLayers} layers`,
    );
  });
});

test.each([false, true])("val_batches takes the first rows to judge by; streamed: %s", async (streaming) => {
  const rows = ["barn", "attic", "shop", "hall", "shed"].map((place, i) => ({
    text: `Tom put ${i + 2} keys in the ${place}${" again".repeat(i)}.`,
  }));
  const write = (name: string, list: readonly object[]) => {
    writeFileSync(join(folder, name), list.map((row) => `${JSON.stringify(row)}\n`).join(""));
    return join(folder, name);
  };
  const [all, some] = [write("all.jsonl", rows), write("some.jsonl", rows.slice(0, 2))];
  const lossOn = async (path: string, most?: number) => {
    const settings = settingsOf({ data: all, eval_data: path, streaming, check_data: false });
    const { valid } = await TASKS["causal-lm"].readTraining(settings);
    return (await (await valid?.bind(model, settings, () => {}))?.evaluate(2, most))?.loss;
  };
  const first = await lossOn(some);
  expect(await lossOn(all, 2)).toBe(first);
  expect(await lossOn(all)).not.toBe(first);
});
