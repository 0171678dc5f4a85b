import { expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { requireTask } from "../../src/models/model.ts";
import { fixturePath, readJsonFile, readTensors } from "../support/fixtures.ts";
import { openTestTask, type TaskGolden } from "../support/task-fixtures.ts";

// Oracle: transformers 5.18 (test/fixtures/make_tasks.py).
test("BERT tells the segments of a text apart", async () => {
  const folder = fixturePath("tasks/bert-sequence");
  const golden = readJsonFile<TaskGolden>(folder, "golden.json");
  const tensors = await readTensors(folder, "golden.safetensors");
  const model = requireTask(await openTestTask(folder), "sequence-classification");
  const [batch, length] = golden.input_ids.shape as [number, number];
  const upload = (values: ArrayLike<number>, shape: readonly number[]) =>
    fromArray(model.device, Uint32Array.from(values), shape);
  const types = Array.from({ length: batch * length }, (_, i) => (i % length >= 2 ? 1 : 0));
  const logits = model.logits(upload(golden.input_ids.data, [batch, length]), {
    training: false,
    seed: 0,
    lengths: upload(golden.lengths, [batch]),
    tokenTypes: upload(types, [batch, length]),
  });
  expect(await logits.read()).toBeClose(tensors.get("typed_logits")!, 1e-4);
});
