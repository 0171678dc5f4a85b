import { beforeAll, describe, expect, test } from "vitest";
import { type InspectedModel, inspectData, loadModelText } from "../../../src/index.node.ts";
import { temporaryFolder } from "../../platform/environment.ts";
import { BUNDLED_MODEL } from "../../support/fixtures.ts";
import { writeTaskModel } from "../../support/task-model.ts";

const FOLDER = temporaryFolder("file");
let text: InspectedModel;

beforeAll(async () => {
  writeTaskModel(FOLDER, "bert-masked");
  text = await loadModelText(BUNDLED_MODEL);
});

const kindsOf = (found: Awaited<ReturnType<typeof inspectData>>) =>
  found.report.findings.map(({ kind, level, rows }) => [kind, level, rows]);

describe("rows of tasks on texts", () => {
  test("classes are counted, and what contradicts itself is found", async () => {
    const task = "sequence-classification";
    const model = await loadModelText(FOLDER, { task, labels: ["no", "yes", "maybe"] });
    const rows = [
      { text: "good film", label: "yes" },
      { text: "good film", label: "no" },
      { text: " ", label: "no" },
      { text: "bad film", label: "no" },
    ];
    const found = await inspectData(model, rows, { task });
    expect(found.report).toMatchObject({ rows: 4, droppedEmpty: 1 });
    expect(found.report.labels?.map(({ count }) => count)).toEqual([2, 1, 0]);
    expect(kindsOf(found)).toEqual(
      expect.arrayContaining([
        ["conflict", "warning", 1],
        ["empty", "warning", 1],
        ["missing-label", "warning", 0],
      ]),
    );
    expect(found.rows[0]?.name).toBe("row 1");
  });

  test("words with tags, texts with hidden tokens, and pairs", async () => {
    const tagger = await loadModelText(FOLDER, { task: "token-classification", labels: ["O", "B-THING"] });
    const words = [{ words: ["good", "film"], tags: ["O", "B-THING"] }];
    const tagged = await inspectData(tagger, words, { task: "token-classification" });
    expect(tagged.report.labels).toEqual([
      { name: "O", count: 1 },
      { name: "B-THING", count: 1 },
    ]);
    const masked = await loadModelText(FOLDER, { task: "masked-lm" });
    const long = await inspectData(masked, [{ text: "good film a b c" }], {
      task: "masked-lm",
      maxLength: 4,
    });
    expect(long.report).toMatchObject({ truncated: 1, longest: 7, tokens: 4 });
    const encoder = await loadModelText(FOLDER, { task: "sentence-embedding" });
    const pairs = [
      { anchor: "good", positive: "good" },
      { anchor: "film", positive: "a" },
    ];
    const paired = await inspectData(encoder, pairs, { task: "sentence-embedding" });
    expect(kindsOf(paired)).toContainEqual(["equal-pair", "warning", 1]);
  });
});

describe("rows that say which answers are better", () => {
  const PAIR = { prompt: "Tom put", chosen: " 9 pink candles in the barn.", rejected: " 3 red lamps." };
  const EQUAL = { prompt: "a", chosen: " b", rejected: " b" };

  test("pairs are looked at for the tasks that compare them, and answers one by one for kto", async () => {
    for (const task of ["dpo", "orpo", "cpo", "simpo"] as const) {
      const found = await inspectData(text, [PAIR, EQUAL], { task });
      expect(
        found.report.answers?.map(({ name, count }) => [name, count]),
        task,
      ).toEqual([
        ["chosen", 2],
        ["rejected", 2],
      ]);
      expect(kindsOf(found), task).toContainEqual(["equal-answers", "warning", 1]);
    }
    const judged = [{ prompt: "a", completion: " good film", label: true }];
    const found = await inspectData(text, judged, { task: "kto" });
    expect(found.report.answers).toMatchObject([{ name: "desirable", count: 1 }]);
  });

  test("a reward model takes whole answers alone", async () => {
    const cut = await inspectData(text, [PAIR], { task: "dpo", maxLength: 6 });
    expect(cut.report).toMatchObject({ truncated: 1, dropped: 0 });
    const left = await inspectData(text, [PAIR], { task: "reward", maxLength: 6 });
    expect(left.report).toMatchObject({ truncated: 0, dropped: 1 });
  });

  test("rows of another kind are refused by the task's name", async () => {
    await expect(inspectData(text, [{ text: "a" }], { task: "dpo" })).rejects.toThrow(
      /rows that do not say which answers are better, of which dpo learns\n {2}→ give pairs/,
    );
    const judged = [{ prompt: "a", completion: " b", label: true }];
    await expect(inspectData(text, judged, { task: "orpo" })).rejects.toThrow(
      /judged one by one, and orpo compares two[\s\S]*kto learns from such rows/,
    );
    await expect(inspectData(text, [], { task: "image-classification" as never })).rejects.toThrow(
      /task is "image-classification", wanted one of causal-lm/,
    );
  });
});
