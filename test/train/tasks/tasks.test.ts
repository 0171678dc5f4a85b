import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import {
  type Adapter,
  attach,
  blobFile,
  type ClassifierEvaluation,
  type Evaluation,
  evaluate,
  type LoadedModel,
  loadModel,
  loadTaskModel,
  lora,
  type MeanLoss,
  type Model,
  type StepMetrics,
  streamRows,
  type TrainOptions,
  train,
} from "../../../src/index.node.ts";
import { temporaryFolder } from "../../platform/environment.ts";
import { testDevice } from "../../support/device.ts";
import { BUNDLED_MODEL } from "../../support/fixtures.ts";
import { LETTERS, writeTaskModel } from "../../support/task-model.ts";

const OPTIONS = { maxSteps: 2, batchSize: 2, seed: 1 };
const TEXTS = LETTERS.slice(0, 4).map((letter, i) => ({
  text: `${i % 2 ? "good" : "bad"} film ${letter}`,
  label: i % 2 ? "yes" : "no",
}));
const PAIRS = [
  { prompt: "Tom put", chosen: " 9 pink candles in the barn.", rejected: " 3 red lamps." },
  { prompt: "Where", chosen: " is it?", rejected: " are 3 red lamps." },
];

const FOLDER = temporaryFolder("file");
let classifier: LoadedModel<"sequence-classification">;
let language: Model;
let adapter: Adapter;
let languageAdapter: Adapter;

beforeAll(async () => {
  const device = await testDevice();
  const folder = writeTaskModel(FOLDER, "bert-sequence");
  const head = { task: "sequence-classification", labels: ["no", "yes"] } as const;
  classifier = await loadTaskModel(folder, { device, ...head });
  language = await loadModel(BUNDLED_MODEL, { device });
  adapter = attach(classifier, lora({ r: 2, targetModules: "all-linear" }));
  languageAdapter = attach(language, lora({ r: 2 }));
});

afterAll(() => {
  for (const thing of [adapter, languageAdapter, classifier, language]) thing?.release();
});

async function stepsOf(steps: AsyncIterable<StepMetrics>): Promise<StepMetrics[]> {
  const all: StepMetrics[] = [];
  for await (const step of steps) all.push(step);
  return all;
}

const linesOf = (rows: readonly object[]) =>
  blobFile("rows.jsonl", new Blob([rows.map((row) => JSON.stringify(row)).join("\n")]));

test("the task is what the model was loaded for, and onData is told what became of its rows", async () => {
  let told: object | undefined;
  const rows = [...TEXTS, { text: " ", label: "no" }];
  const onData: TrainOptions<"sequence-classification">["onData"] = (report) => {
    expectTypeOf(report.labels).toEqualTypeOf<
      readonly { readonly name: string; readonly count: number }[] | undefined
    >();
    told = report;
  };
  const steps = await stepsOf(train(classifier, adapter, rows, { ...OPTIONS, onData }));
  expect(steps.map(({ terms }) => terms)).toEqual([2, 2]);
  const labels = [
    { name: "no", count: 2 },
    { name: "yes", count: 2 },
  ];
  expect(told).toMatchObject({ rows: 5, droppedEmpty: 1, labels });
});

test("rows of files give what the same rows in memory give, of each task", async () => {
  const texts = await streamRows(linesOf(TEXTS), { as: "labelled-texts" });
  const [inMemory, read] = [await evaluate(classifier, TEXTS), await evaluate(classifier, texts)];
  expect(read).toEqual(inMemory);
  const pairs = await streamRows(linesOf(PAIRS), { as: "preferences" });
  for (const task of ["dpo", "orpo", "cpo", "simpo", "kto"] as const) {
    const given = await evaluate(language, PAIRS, { task });
    expect(given.terms, task).toBe(task === "kto" ? 4 : 2);
    expect(await evaluate(language, pairs as never, { task }), task).toEqual(given);
  }
});

test("what a task is told counts, and its steps have its figures", async () => {
  const [plain] = await stepsOf(train(language, languageAdapter, PAIRS, { ...OPTIONS, task: "simpo" }));
  const told = { name: "simpo", simpoGamma: 1.5 } as const;
  const [shifted] = await stepsOf(train(language, languageAdapter, PAIRS, { ...OPTIONS, task: told }));
  expect(plain?.metrics).toHaveProperty("rewards/margins");
  expect(plain?.learningRate).toBe(1e-5); // as on the command line
  expect(shifted?.loss).toBeGreaterThan((plain?.loss ?? 0) + 0.1);
});

test("evaluations are typed by the task", async () => {
  expectTypeOf(await evaluate(classifier, TEXTS)).toEqualTypeOf<ClassifierEvaluation>();
  expectTypeOf(await evaluate(language, PAIRS, { task: "dpo" })).toEqualTypeOf<MeanLoss>();
  expectTypeOf(await evaluate(language, [{ text: "a b" }])).toEqualTypeOf<Evaluation>();
  // @ts-expect-error: these are no pairs
  await expect(evaluate(language, TEXTS, { task: "dpo" })).rejects.toThrow();
  // @ts-expect-error: cpo has no discopopTau
  await expect(evaluate(language, PAIRS, { task: { name: "cpo", discopopTau: 1 } })).rejects.toThrow();
});

describe("what cannot be meant is refused", () => {
  const as = (value: unknown) => value as never;
  const wrong: [what: string, call: () => Promise<unknown>, message: RegExp][] = [
    [
      "a task of another head",
      () => evaluate(classifier, PAIRS, { task: "dpo" }),
      /evaluate: the task dpo wants a model for causal-lm, and .* was loaded for sequence-classification\n {2}→ load it with loadModel, or give one of its own tasks: sequence-classification, reward/,
    ],
    [
      "a head that is not there",
      () => train(language, languageAdapter, as(TEXTS), { task: "reward" }).next(),
      /load it with loadTaskModel and \{ task: "sequence-classification", labels: \["reward"\] \}, or give one of its own tasks: causal-lm, dpo, orpo/,
    ],
    [
      "rewards of a head of two classes",
      () => evaluate(classifier, PAIRS, { task: "reward" }),
      /the head has 2 scores, and a reward is one/,
    ],
    [
      "a task that there is not",
      () => evaluate(language, [], as({ task: "dop" })),
      /task is "dop", wanted one of/,
    ],
    [
      "an option of another task",
      () => evaluate(language, as(PAIRS), as({ task: { name: "orpo", ldAlpha: 1 } })),
      /orpo: [\s\S]*ldAlpha is unknown/,
    ],
    [
      "an option where there is none",
      () => evaluate(classifier, TEXTS, as({ task: { name: "sequence-classification", beta: 1 } })),
      /the task sequence-classification has no options, and got beta/,
    ],
    [
      "settings that mean nothing",
      () => evaluate(classifier, TEXTS, { assistantOnlyLoss: true, chatTemplate: "a" }),
      /assistantOnlyLoss means nothing for sequence-classification[\s\S]*leave out assistantOnlyLoss, chatTemplate/,
    ],
    [
      "rows of another task, each by its number",
      () => evaluate(classifier, as([TEXTS[0], { text: "a" }, 5])),
      /row 2 has no "label", but "text"[\s\S]*row 3 is 5, wanted an object[\s\S]*each needs "text" and "label"/,
    ],
    [
      "a class that the head has not",
      () => evaluate(classifier, [{ text: "a", label: "maybe" }]),
      /the labels "?maybe"? are outside the head, which has/,
    ],
    [
      "pairs for language modelling",
      () => evaluate(language, as(PAIRS)),
      /row 1 is a preference row .*--task dpo and its like learn from it/,
    ],
    [
      "texts for dpo",
      () => evaluate(language, as(TEXTS), { task: "dpo" }),
      /row 1 "label" is "no", wanted true or false[\s\S]*each needs "prompt", "chosen" and "rejected"/,
    ],
    ["no rows", () => evaluate(classifier, []), /there are no rows\n {2}→ give one or more/],
    [
      "too long",
      () => evaluate(classifier, TEXTS, { maxLength: 9999 }),
      /maxLength is 9999, more than the model's/,
    ],
    [
      "equal answers alone",
      () => evaluate(language, [{ prompt: "a", chosen: "b", rejected: "b" }], { task: "dpo" }),
      /no row is left to learn from/,
    ],
  ];
  test.each(wrong)("%s", async (_, call, message) => {
    await expect(call()).rejects.toThrow(message);
  });

  test("scores of a reference, of rows that are read when they are needed", async () => {
    const pairs = await streamRows(linesOf(PAIRS), { as: "preferences" });
    const task = { name: "dpo", precomputeRefLogProbs: true } as const;
    await expect(evaluate(language, pairs as never, { task })).rejects.toThrow(
      /precomputeRefLogProbs: the rows are read when they are needed[\s\S]*give a list of rows/,
    );
  });

  test("rows of a stream of another kind, by their line", async () => {
    const examples = await streamRows(linesOf([{ text: "a b" }]), { as: "examples" });
    await expect(evaluate(classifier, examples as never)).rejects.toThrow(
      /rows\.jsonl:1: has no "label", but "text"/,
    );
  });
});
