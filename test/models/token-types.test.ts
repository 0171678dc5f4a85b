import { expect, test } from "vitest";
import { requireTask } from "../../src/models/model.ts";
import { sequenceClassification } from "../../src/train/classification.ts";
import { createRandom } from "../../src/util/random.ts";
import { fixturePath, readJsonFile, readTensors } from "../support/fixtures.ts";
import { openTestTask, type TaskGolden } from "../support/task-fixtures.ts";

// Oracle: transformers 5.18 (test/fixtures/make_tasks.py).
test("BERT tells the segments of a text apart", async () => {
  const folder = fixturePath("tasks/bert-sequence");
  const golden = readJsonFile<TaskGolden>(folder, "golden.json");
  const tensors = await readTensors(folder, "golden.safetensors");
  const model = requireTask(await openTestTask(folder), "sequence-classification");
  const [, width] = golden.input_ids.shape as [number, number];
  const items = golden.lengths.map((length, row) => ({
    inputIds: golden.input_ids.data.slice(row * width, row * width + length),
    segments: Array.from({ length }, (_, i) => (i >= 2 ? 1 : 0)),
    label: 0,
  }));
  const objective = sequenceClassification(model);
  const logits = objective.logits(objective.collate(items, createRandom(0)), { training: false, seed: 0 });
  expect(await logits.read()).toBeClose(tensors.get("typed_logits")!, 1e-4);
});
