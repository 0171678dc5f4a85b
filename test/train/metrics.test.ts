import { describe, expect, test } from "vitest";
import { classificationMetrics } from "../../src/train/metrics.ts";

// Expected values: scikit-learn's definitions (precision_recall_fscore_support, f1_score, confusion_matrix) by hand.
describe("classification metrics", () => {
  test("three classes: macro F1, counts by class, ignored labels", () => {
    const wanted = [0, 0, 0, 1, 1, 2, -100, 2];
    const given = [0, 0, 1, 1, 2, 2, 0, 2];
    const metrics = classificationMetrics(wanted, given, ["a", "b", "c"]);
    expect(metrics.confusion).toEqual([
      [2, 1, 0],
      [0, 1, 1],
      [0, 0, 2],
    ]);
    expect(metrics.accuracy).toBeCloseTo(5 / 7, 12);
    const [a, b, c] = metrics.classes;
    expect(a).toEqual({ label: "a", precision: 1, recall: 2 / 3, f1: 0.8, support: 3 });
    expect(b).toMatchObject({ precision: 0.5, recall: 0.5, f1: 0.5, support: 2 });
    expect(c).toMatchObject({ precision: 2 / 3, recall: 1, support: 2 });
    expect(metrics.f1).toBeCloseTo((0.8 + 0.5 + 0.8) / 3, 12);
  });

  test("two classes: F1 of the second, as f1_score does by default", () => {
    const metrics = classificationMetrics([0, 1, 1, 0], [1, 1, 0, 0], ["no", "yes"]);
    expect(metrics).toMatchObject({ accuracy: 0.5, f1: 0.5 });
  });

  test("a class that nobody names counts in the mean only where it occurs", () => {
    const metrics = classificationMetrics([0, 0, 1], [0, 0, 0], ["a", "b", "c"]);
    expect(metrics.classes[2]).toEqual({ label: "c", precision: 0, recall: 0, f1: 0, support: 0 });
    expect(metrics.f1).toBeCloseTo((0.8 + 0) / 2, 12);
  });
});
