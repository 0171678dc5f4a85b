// Adapters of a base whose vocabulary was resized in training: PEFT's files (make_resized.py), on a base resized as they say.
import { expect, test } from "vitest";
import { fromArray } from "../../src/gpu/tensor.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { readHeader } from "../../src/io/formats/safetensors.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type Model, openModel } from "../../src/load/model.ts";
import { tokenizerFiles, vocabularyOf } from "../../src/load/resized-vocabulary.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { contextOf } from "../support/context.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";

const BASE = folderFiles(fixturePath("llama-gqa"));

interface Golden {
  input_ids: number[];
  rows: number;
  logits: number[];
}

async function lastLogits(model: Model, ids: readonly number[]): Promise<Float32Array> {
  const input = fromArray(model.device, Uint32Array.from(ids), [1, ids.length]);
  const all = await model.logits(model.hidden(input, contextOf(input))).read();
  return all.slice(-model.config.vocabSize);
}

test.each(["more", "whole"])("%s: scores are PEFT's, and those of the merged model", async (name) => {
  const folder = fixturePath(`resized/${name}`);
  const adapter = folderFiles(folder);
  const { input_ids, rows, logits } = readJsonFile<Golden>(folder, "golden.json");
  const files = await vocabularyOf(BASE, adapter);
  const model = await openModel(files, await testDevice());
  expect(model.config.vocabSize).toBe(rows);
  const loaded = await loadAdapter(model, adapter);
  expect(await lastLogits(model, input_ids)).toBeClose(logits, 1e-5);
  const merged = memoryFiles("merged", await wholeFiles(await mergedFiles(model, loaded, files)));
  const whole = await openModel(merged, model.device);
  expect(await lastLogits(whole, input_ids)).toBeClose(logits, 1e-5);
});

test("what is trained on says in its file which rows the base had, as PEFT's", async () => {
  const adapter = folderFiles(fixturePath("resized/more"));
  const { input_ids, rows, logits } = readJsonFile<Golden>(fixturePath("resized/more"), "golden.json");
  const model = await openModel(await vocabularyOf(BASE, adapter), await testDevice());
  const written = await wholeFiles(await adapterFiles(await loadAdapter(model, adapter)));
  const again = memoryFiles("again", written);
  const shapesOf = async (files: typeof again) => {
    const { tensors } = await readHeader(files, "adapter_model.safetensors");
    return [...tensors.values()].map(({ name, shape }) => `${name} ${shape}`).sort();
  };
  expect(await shapesOf(again)).toEqual(await shapesOf(adapter));
  const other = await openModel(await vocabularyOf(BASE, again), model.device);
  expect(other.config.vocabSize).toBe(rows);
  await loadAdapter(other, again);
  expect(await lastLogits(other, input_ids)).toBeClose(logits, 1e-5);
});

test("a base of as many rows, and one whose matrices the file has not all, stay as they are", async () => {
  const adapter = folderFiles(fixturePath("resized/more"));
  const resized = await vocabularyOf(BASE, adapter);
  expect(await vocabularyOf(resized, adapter)).toBe(resized);
  expect(await vocabularyOf(BASE, folderFiles(fixturePath("methods/lora")))).toBe(BASE);
  const elsewhere = folderFiles(fixturePath("tasks/gpt2"));
  expect(await vocabularyOf(elsewhere, adapter)).toBe(elsewhere);
});

test("the tokenizer beside the adapter takes the place of the base's", async () => {
  const adapter = folderFiles(fixturePath("resized/more"));
  const text = new TextEncoder().encode('{"added": true}');
  const beside = {
    ...adapter,
    size: async (name: string) => (name === "tokenizer.json" ? text.length : adapter.size(name)),
    read: async (name: string, start: number, end: number) =>
      name === "tokenizer.json" ? text.slice(start, end) : adapter.read(name, start, end),
  };
  const files = await vocabularyOf(BASE, beside);
  expect(await files.size("tokenizer.json")).toBe(text.length);
  expect(await tokenizerFiles(files)).toEqual([["tokenizer.json", text]]);
  expect(await files.size("generation_config.json")).toBe(await BASE.size("generation_config.json"));
});
