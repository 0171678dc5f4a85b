import { describe, expect, test } from "vitest";
import { areEntityTags, entityMetrics } from "../../src/train/entities.ts";

const tags = (text: string) => text.split(" ");
const judge = (wanted: string, given: string) =>
  entityMetrics([{ wanted: tags(wanted), given: tags(given) }]);

describe("entities, counted as seqeval defines them", () => {
  // The example in seqeval's README: F1 0.50; MISC 0.00, PER 1.00.
  test("of two, one whose beginning is wrong and one that is right", () => {
    const rows = [
      { wanted: tags("O O O B-MISC I-MISC I-MISC O"), given: tags("O O B-MISC I-MISC I-MISC I-MISC O") },
      { wanted: tags("B-PER I-PER O"), given: tags("B-PER I-PER O") },
    ];
    expect(entityMetrics(rows)).toEqual({
      ...{ precision: 0.5, recall: 0.5, f1: 0.5, support: 2 },
      types: [
        { label: "MISC", precision: 0, recall: 0, f1: 0, support: 1 },
        { label: "PER", precision: 1, recall: 1, f1: 1, support: 1 },
      ],
    });
  });

  test.each([
    ["I-PER I-PER O", "B-PER I-PER O", [1, 1, 1]], // an I- after nothing begins an entity
    ["B-PER I-PER O", "B-PER B-PER O", [0, 0, 1]], // each B- begins one
    ["B-PER I-LOC", "B-PER I-PER", [0, 0, 2]], // an I- of another kind begins one
    ["B-PER I-LOC", "B-PER B-LOC", [1, 1, 2]],
    ["B-A I-A B-A O I-A", "B-A I-A I-A O I-A", [1 / 2, 1 / 3, 3]],
    ["B-PER O B-LOC I-LOC", "B-PER O B-LOC O", [1 / 2, 1 / 2, 2]], // an end that is wrong
    ["B-A-1 I-A-1 O", "B-A-1 I-A-2 O", [0, 0, 1]], // the kind is all behind the first hyphen
    ["O O", "B-A O", [0, 0, 0]],
    ["O O", "O O", [0, 0, 0]],
  ])("%s against %s", (wanted, given, [precision, recall, support]) => {
    expect(judge(wanted, given)).toMatchObject({ precision, recall, support });
  });

  test("an entity does not go on in the next text", () => {
    const rows = ["B-A", "I-A"].map((tag) => ({ wanted: [tag], given: [tag] }));
    expect(entityMetrics(rows)).toMatchObject({ f1: 1, support: 2 });
  });
});

test("classes are tags of entities where all of them are", () => {
  expect(areEntityTags(["O", "B-PER", "I-PER"])).toBe(true);
  expect(areEntityTags(["O", "B-PER", "X"])).toBe(false);
  expect(areEntityTags(["O"])).toBe(false);
  expect(areEntityTags(["NOUN", "VERB"])).toBe(false);
});
