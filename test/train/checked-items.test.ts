import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { LoadedModel, Model } from "../../src/load/model.ts";
import { requireTask } from "../../src/models/model.ts";
import { wholeRows } from "../../src/nn/geometry.ts";
import {
  type ClassifierObjective,
  imageClassification,
  sequenceClassification,
  tokenClassification,
} from "../../src/train/classification.ts";
import { contrastive } from "../../src/train/contrastive.ts";
import { evaluate, meanLoss } from "../../src/train/evaluate.ts";
import { evaluateClassifier, evaluateTagger } from "../../src/train/evaluate-classifier.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { maskedLanguageModelling } from "../../src/train/masked-language-modelling.ts";
import type { Counted, Objective } from "../../src/train/objective.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { createRandom } from "../../src/util/random.ts";
import { floats, testDevice } from "../support/device.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { openTestTask } from "../support/task-fixtures.ts";

const open: (LoadedModel | Model)[] = [];
const openTask = async (name: string) => {
  const model = await openTestTask(fixturePath(`tasks/${name}`));
  open.push(model);
  return model;
};
afterAll(() =>
  open.forEach((model) => {
    model.release();
  }),
);

/** An objective as somebody sees it whose rows are of any type, and a row that it takes. */
interface Case {
  objective: Objective<unknown>;
  good: object;
}

const asCase = <Item extends object>(objective: Objective<Item>, good: Item): Case => ({
  objective: objective as Objective<unknown>,
  good,
});

const CASES: Record<string, () => Promise<Case>> = {
  languageModelling: async () => {
    const model = await openTestModel(fixturePath("llama-tied"));
    open.push(model);
    return asCase(languageModelling(model), { inputIds: [1, 2], labels: [-100, 2] });
  },
  maskedLanguageModelling: async () =>
    asCase(maskedLanguageModelling(requireTask(await openTask("bert-masked"), "masked-lm")), {
      inputIds: [1, 2],
      labels: [-100, 2],
    }),
  sequenceClassification: async () =>
    asCase(sequenceClassification(requireTask(await openTask("bert-sequence"), "sequence-classification")), {
      inputIds: [1, 2],
      segments: [0, 1],
      label: 0,
    }),
  tokenClassification: async () =>
    asCase(tokenClassification(requireTask(await openTask("bert-token"), "token-classification")), {
      inputIds: [1, 2],
      labels: [-100, 0],
    }),
  contrastive: async () =>
    asCase(contrastive(requireTask(await openTask("bert-embedding"), "sentence-embedding")), {
      first: [1, 2],
      second: [3],
    }),
};

/** Fields of a row that cannot be used, by the objectives whose rows have them. */
const IDS = { "an alien id": [1, 100_000], "a fraction": [1.5, 2], "a negative id": [-1, 2], "no ids": [] };
const LABELS = { "too few labels": [1], "an alien label": [-100, 100_000], "a label of −1": [-1, 0] };
const BAD: Record<string, readonly (readonly [what: string, field: string, value: unknown])[]> = {};
for (const name of Object.keys(CASES)) {
  const idFields = name === "contrastive" ? ["first", "second"] : ["inputIds"];
  BAD[name] = idFields.flatMap((field) =>
    Object.entries(IDS).map(([what, value]) => [`${what} in ${field}`, field, value] as const),
  );
}
for (const name of ["languageModelling", "maskedLanguageModelling", "tokenClassification"]) {
  BAD[name] = [
    ...BAD[name]!,
    ...Object.entries(LABELS).map(([what, value]) => [what, "labels", value] as const),
  ];
}
BAD.sequenceClassification = [
  ...BAD.sequenceClassification!,
  ["an alien class", "label", 100],
  ["a class of −100", "label", -100],
  ["a segment that the model has not", "segments", [0, 2]],
  ["too few segments", "segments", [0]],
];

describe.each(Object.keys(CASES))("%s", (name) => {
  let given: Case;
  beforeAll(async () => {
    given = await CASES[name]!();
  });

  test("takes a good row", () => {
    expect(given.objective.collate([given.good], createRandom(0))).toMatchObject({
      tokens: expect.any(Number),
    });
  });

  test.each(BAD[name]!)("refuses %s, alone and among others", async (_, field, value) => {
    const { objective, good } = given;
    const rows = [good, { ...good, [field]: value }];
    expect(() => objective.collate(rows, createRandom(0))).toThrow(/collate: 1 problem:\n {2}- row 2 has /);
    await expect(meanLoss(objective, rows)).rejects.toThrow(/meanLoss: 1 problem:\n {2}- row 2 has /);
  });
});

test("what a mask makes is checked, too, and needs no labels before", async () => {
  const model = requireTask(await openTask("bert-masked"), "masked-lm");
  const rows = [{ inputIds: [1, 2], labels: [] }];
  const masked = (id: number) =>
    maskedLanguageModelling(model, ({ inputIds }) => ({ inputIds: [id, 2], labels: inputIds }));
  expect((await meanLoss(masked(3), rows)).terms).toBe(2);
  await expect(meanLoss(masked(-3), rows)).rejects.toThrow(/collate[\s\S]*row 1 has inputIds\[0\] -3/);
});

test("an image of another size or class is refused", async () => {
  const objective = imageClassification(requireTask(await openTask("vit"), "image-classification"));
  const image = (label: number, size: number) => ({ label, pixels: () => new Float32Array(size) });
  expect(() => objective.collate([image(0, 7)], createRandom(0))).toThrow(
    /an image has 7 values, and the model takes/,
  );
  await expect(evaluateClassifier(objective, [image(99, 7)])).rejects.toThrow(/row 1 has the label 99/);
});

test("no step is taken where a later row is bad", async () => {
  const model = await openTestModel(fixturePath("llama-tied"));
  open.push(model);
  const adapter = attach(model, lora({ r: 2 }));
  const good = { inputIds: [1, 2], labels: [-100, 2] };
  const rows = [good, good, { inputIds: [1, 2], labels: [-100, 2, 3] }];
  const before = await adapter.parameters.flat.read();
  await expect(trainSequences(model, adapter.parameters, rows, { batchSize: 1 }).next()).rejects.toThrow(
    /train: 1 problem:\n {2}- row 3 has 2 tokens and 3 labels/,
  );
  expect(await adapter.parameters.flat.read()).toEqual(before);
  await expect(evaluate(model, rows)).rejects.toThrow(/row 3 has 2 tokens and 3 labels/);
  adapter.release();
});

/** Tells even rows from odd ones, always right, without a model. */
async function parity(
  length: number,
): Promise<ClassifierObjective<{ labels: Int32Array }, Counted & { labels: Int32Array }>> {
  const device = await testDevice();
  return {
    device,
    labelNames: ["O", "B-odd"],
    labelsOf: ({ labels }) => labels,
    collate: ([item]) => ({ labels: item!.labels, tokens: length, terms: length }),
    logits: ({ labels }) =>
      floats(
        device,
        Array.from(labels).flatMap((label) => [1 - label, label]),
        [labels.length, 2],
      ),
    loss: () => expect.fail("not asked for"),
  };
}

test("120 000 labels of one batch are evaluated", async () => {
  const count = 120_000;
  const labels = Int32Array.from({ length: count }, (_, i) => i % 2);
  const objective = await parity(count);
  const result = await evaluateClassifier(objective, [{ labels }]);
  expect(result).toMatchObject({
    count,
    accuracy: 1,
    confusion: [
      [count / 2, 0],
      [0, count / 2],
    ],
  });
  const asTagger = objective as unknown as Parameters<typeof evaluateTagger>[0];
  const tagger = {
    ...asTagger,
    collate: () => ({
      labels,
      tokens: count,
      terms: count,
      ...wholeRows(count, 1),
      inputIds: new Uint32Array(count),
    }),
  };
  const tagged = await evaluateTagger(tagger, [{ inputIds: [0], labels: [0] }]);
  expect(tagged).toMatchObject({ count, accuracy: 1, entities: { f1: 1, support: count / 2 } });
});
