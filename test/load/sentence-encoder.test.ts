import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Tape } from "../../src/autograd/tape.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { openTaskModel } from "../../src/load/model.ts";
import { modules } from "../../src/nn/module.ts";
import { unitLength } from "../../src/nn/norm.ts";
import { pool } from "../../src/nn/pooling.ts";
import type { PoolingMode } from "../../src/nn/pooling-modes.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { relativeNormError } from "../support/compare.ts";
import { contextOf } from "../support/context.ts";
import { floats, testDevice } from "../support/device.ts";
import { fixturePath, type JsonTensor, readJsonFile } from "../support/fixtures.ts";

/** pooling.json; see make_pooling.py. */
interface Golden {
  rows: number[][];
  states: JsonTensor;
  cases: Record<string, { config: Record<string, unknown>; vectors: number[]; gradient: number[] }>;
}
const { rows, states, cases } = readJsonFile<Golden>(fixturePath("."), "pooling.json");
const [batch = 0, length = 0, width = 0] = states.shape;

const module = (type: string, path: string) => ({ type: `sentence_transformers.models.${type}`, path });
const USUAL = [module("Transformer", ""), module("Pooling", "1_Pooling"), module("Normalize", "2_Normalize")];

/** The fixture with the files of sentence-transformers. */
function encoderFiles(pooling: unknown, others: Record<string, unknown> = {}): FileSource {
  const base = folderFiles(fixturePath("tasks/bert-embedding"));
  const json = { "modules.json": USUAL, "1_Pooling/config.json": pooling, ...others };
  const encoder = new TextEncoder();
  const extra = memoryFiles(
    "encoder",
    new Map(Object.entries(json).map(([name, value]) => [name, encoder.encode(JSON.stringify(value))])),
  );
  return {
    label: "encoder",
    size: async (name) => (await extra.size(name)) ?? base.size(name),
    read: async (name, start, end) =>
      ((await extra.size(name)) === undefined ? base : extra).read(name, start, end),
  };
}

async function open(files: FileSource) {
  const warnings: string[] = [];
  const onWarning = (warning: string) => warnings.push(warning);
  const model = await openTaskModel(files, await testDevice(), { task: "sentence-embedding", onWarning });
  return { model, warnings };
}

const lengths = rows.map((row) => row.length);

describe.each(Object.keys(cases))("pooling: %s", (name) => {
  const { config, vectors, gradient } = cases[name] as Golden["cases"][string];

  test("vectors are those of sentence-transformers", async () => {
    const { model, warnings } = await open(encoderFiles(config));
    const ids = rows.flatMap((row) => [...row, ...Array<number>(length - row.length).fill(0)]);
    const input = fromArray(model.device, Uint32Array.from(ids), [batch, length]);
    const y = model.embed(input, contextOf(input, lengths));
    expect(relativeNormError(await y.read(), vectors)).toBeLessThan(1e-4);
    expect(warnings).toEqual([]);
    model.release();
  });

  test("so is the gradient", async () => {
    const device = await testDevice();
    const { model } = await open(encoderFiles(config));
    const mode: PoolingMode = model.pooling;
    model.release();
    const x = floats(device, states.data, states.shape);
    const tape = new Tape();
    tape.watch(x);
    const y = pool(mode, x, { ...contextOf(x, lengths), tape, training: true });
    const direction = Float32Array.from({ length: batch * width }, (_, i) => Math.sin(i));
    const gradients = tape.backward(y, floats(device, direction, [batch, width]));
    expect(relativeNormError(await gradients.get(x)!.read(), gradient)).toBeLessThan(1e-5);
  });
});

const CLS = { word_embedding_dimension: width, pooling_mode_cls_token: true };

test("a folder without modules.json keeps the mean, as sentence-transformers does", async () => {
  const { model } = await open(folderFiles(fixturePath("tasks/bert-embedding")));
  expect(model.pooling).toBe("mean");
  model.release();
});

test("texts are cut where the encoder's files say so, and prompts and another similarity are told", async () => {
  const { model, warnings } = await open(
    encoderFiles(CLS, {
      "modules.json": USUAL.slice(0, 2),
      "sentence_bert_config.json": { max_seq_length: 7, do_lower_case: false },
      "config_sentence_transformers.json": {
        prompts: { query: "search: ", document: "" },
        default_prompt_name: null,
        similarity_fn_name: "dot",
      },
    }),
  );
  expect(model.config.maxPositions).toBe(7);
  expect(warnings).toEqual([
    expect.stringMatching(/prompts \(query\): here no prompt is added/),
    expect.stringMatching(/compares by "dot"; here vectors have length 1/),
  ]);
  model.release();
});

test.each([
  [{ ...CLS, pooling_mode_mean_tokens: true }, {}, /cls and mean would be joined, which is not supported/],
  [{ pooling_mode: ["mean", "max"] }, {}, /mean and max would be joined/],
  [{ pooling_mode: "attention" }, {}, /pooling_mode "attention" is not known/],
  [{ ...CLS, pooling_mode_new: true }, {}, /pooling_mode_new is not known/],
  [{ ...CLS, word_embedding_dimension: 5 }, {}, /the embedding dimension is 5, the model's/],
  [CLS, { "modules.json": [...USUAL.slice(0, 2), module("Dense", "2_Dense")] }, /modules\.json has Dense/],
  [CLS, { "modules.json": USUAL.slice(0, 1) }, /modules\.json has Transformer\n/],
  [
    CLS,
    { "modules.json": [module("Transformer", "0_Transformer"), ...USUAL.slice(1)] },
    /in "0_Transformer"/,
  ],
  [CLS, { "sentence_bert_config.json": { max_seq_length: "long" } }, /max_seq_length is "long"/],
])("%j with %j is refused by name", async (pooling, others, message) => {
  const device = await testDevice();
  const { used } = device.memory.stats;
  await expect(open(encoderFiles(pooling, others))).rejects.toThrow(message);
  expect(device.memory.stats.used).toBe(used);
});

// The oracle of the numbers is test/fixtures/tasks/qwen3-embedding; here every family has to give its own last states.
describe.each(readdirSync(fixturePath("families")))("a decoder as sentence encoder: %s", (name) => {
  test("a file of a language model gives its states, pooled, and its output layer is no matter", async () => {
    const files = folderFiles(fixturePath(`families/${name}`));
    const device = await testDevice();
    const warnings: string[] = [];
    const onWarning = (warning: string) => warnings.push(warning);
    const language = await openTaskModel(files, device, { task: "causal-lm" });
    const encoder = await openTaskModel(files, device, { task: "sentence-embedding", onWarning });
    const ids = fromArray(device, Uint32Array.from([3, 7, 5, 4, 9, 6, 0, 0]), [2, 4]);
    const context = contextOf(ids, [4, 2]);
    const lastToken = encoder.withPooling("lasttoken").embed(ids, context);
    const wanted = unitLength(undefined, pool("lasttoken", language.hidden(ids, context), context));
    expect(relativeNormError(await lastToken.read(), await wanted.read())).toBeLessThan(1e-6);
    expect(encoder.architecture).toMatch(/Model$/);
    expect([...modules(encoder.root)].some(({ path }) => path.startsWith("model."))).toBe(false);
    expect(warnings).toEqual([]);
    encoder.release();
    language.release();
  });
});
