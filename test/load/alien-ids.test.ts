import { expect, test } from "vitest";
import { openTaskModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { sequenceClassification } from "../../src/train/classification.ts";
import { evaluate } from "../../src/train/evaluate-rows.ts";
import { generate } from "../../src/train/generate-text.ts";
import { withTokenizer } from "../support/checkpoint-edits.ts";
import { testDevice } from "../support/device.ts";
import { BUNDLED_MODEL, fixturePath, readJsonFile } from "../support/fixtures.ts";

const { vocab_size: rows } = readJsonFile<{ vocab_size: number }>(BUNDLED_MODEL, "config.json");

/** The bundled model, whose tokenizer has one token more than the embedding has rows. */
async function open() {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  const files = withTokenizer(folderFiles(BUNDLED_MODEL), BUNDLED_MODEL, (json) => ({
    ...json,
    added_tokens: [...(json.added_tokens as object[]), { id: rows, content: "<image>", ...flags }],
  }));
  const warnings: string[] = [];
  const onWarning = (warning: string) => warnings.push(warning);
  const model = await openTaskModel(files, await testDevice(), { task: "causal-lm", onWarning });
  return { model, warnings };
}

test("a token beyond the embedding is told on loading, and refused where a text holds it", async () => {
  const { model, warnings } = await open();
  expect(warnings).toEqual([
    expect.stringMatching(
      new RegExp(`ids up to ${rows}, and .* of ${rows} rows \\("<image>" \\(id ${rows}\\)\\)`),
    ),
  ]);
  expect((await evaluate(model, [{ text: "The fox" }])).loss).toBeGreaterThan(0);
  const texts = [{ text: "a" }, { text: "an <image>" }, { prompt: "<image>", completion: "b" }];
  const refusal = evaluate(model, texts);
  await expect(refusal).rejects.toThrow(
    new RegExp(
      `2 problems:\\n  - row 2 holds the token "<image>" \\(id ${rows}\\); the model's embedding has ${rows} rows\\n  - row 3 .*\\n  → .*resize_token_embeddings`,
    ),
  );
  const generation = generate(model, "an <image>", { maxNewTokens: 1 }).next();
  await expect(generation).rejects.toThrow(/the prompt holds the token "<image>"/);
  const pieces: string[] = [];
  for await (const piece of generate(model, "The", { maxNewTokens: 2 })) pieces.push(piece);
  expect(pieces.length).toBeGreaterThan(0);
  model.release();
});

test("ids that are no rows of the embedding are refused when they are given as such", async () => {
  const folder = folderFiles(fixturePath("tasks/bert-sequence"));
  const model = await openTaskModel(folder, await testDevice(), { task: "sequence-classification" });
  const objective = sequenceClassification(model);
  expect(() => objective.collate([{ inputIds: [1, 100_000], label: 0 }], undefined as never)).toThrow(
    /row 1 has inputIds\[1\] 100000, .* rows of the model's embedding/,
  );
  model.release();
});
