import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { openModelText } from "../../src/load/model-text.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { BUNDLED_MODEL, fixturePath, openTestModel } from "../support/fixtures.ts";

const decoders = readdirSync(fixturePath("families")).filter((name) => !/bert|roberta|electra/.test(name));

test.each(decoders)("the limits of %s are read without its weights", async (name) => {
  const model = await openTestModel(fixturePath(`families/${name}`));
  const { maxPositions, vocabSize } = model.config;
  const text = await openModelText(folderFiles(fixturePath(`families/${name}`)));
  expect(text.config).toEqual({ maxPositions, vocabSize });
  model.release();
});

test("tokenizer and templates are the model's", async () => {
  const model = await openTestModel(BUNDLED_MODEL);
  const text = await openModelText(folderFiles(BUNDLED_MODEL));
  expect(text).toMatchObject({ name: model.name, chatTemplates: model.chatTemplates });
  expect(text.tokenizer?.encode("Tom put 9")).toEqual(model.tokenizer?.encode("Tom put 9"));
  model.release();
});
