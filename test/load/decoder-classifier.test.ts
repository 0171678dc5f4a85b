import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { openTaskModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { sequenceClassification } from "../../src/train/classification.ts";
import { trainObjective } from "../../src/train/trainer.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath } from "../support/fixtures.ts";

const open = async (name: string) =>
  openTaskModel(folderFiles(fixturePath(name)), await testDevice(), {
    task: "sequence-classification",
    labels: ["no", "yes"],
  });

describe.each(["llama-gqa", "families/gemma2", "families/phi3"])(
  "a language model as a classifier: %s",
  (name) => {
    test("gets a new head, drops the old one, and learns to tell texts by their last token", async () => {
      const model = await open(name);
      expect(model.initialised).toEqual(["score.weight"]);
      const adapter = attach(model, lora({ r: 4, alpha: 8 }), { seed: 1 });
      expect(adapter.saved.map(({ module }) => module.path)).toEqual(["score"]);
      const items = [5, 9, 20, 31].flatMap((first, i) => [
        { inputIds: [first, 7, 11, 4].slice(0, 2 + (i % 3)), label: 0 },
        { inputIds: [first, 7, 11, 40].slice(-2 - (i % 3)), label: 1 },
      ]);
      const losses: number[] = [];
      const options = { maxSteps: 15, batchSize: items.length, learningRate: 2e-2, shuffle: false };
      for await (const { loss } of trainObjective(
        sequenceClassification(model),
        adapter.parameters,
        items,
        options,
      ))
        losses.push(loss);
      expect(losses.at(-1)).toBeLessThan(0.5 * losses[0]!);
      adapter.release();
      model.release();
    });
  },
);
