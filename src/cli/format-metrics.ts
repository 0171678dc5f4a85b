import type { ClassifierEvaluation } from "../train/evaluate-classifier.ts";
import type { TaskEvaluation } from "./task.ts";

/** Classes of which the table and the confusion matrix show more than the sums. */
const CLASSES_SHOWN = 20;

/** A classifier's evaluation as lines: the sums, a line for each class, and the confusion matrix. */
export function describeClassifier(evaluation: ClassifierEvaluation): TaskEvaluation {
  const { loss, accuracy, f1, classes, confusion, count } = evaluation;
  const summary = `accuracy ${accuracy.toFixed(4)}, F1 ${f1.toFixed(4)}`;
  const few = classes.length <= CLASSES_SHOWN;
  const width = Math.max(5, ...classes.map(({ label }) => label.length));
  const perClass = classes.map(({ label, precision, recall, f1, support }) =>
    [label.padEnd(width), ...[precision, recall, f1].map((x) => x.toFixed(4).padStart(9)), support].join(" "),
  );
  const cells = Math.max(
    3,
    ...confusion.flat().map((n) => String(n).length),
    ...classes.map((_, i) => `${i}`.length),
  );
  const matrix = confusion.map((row, i) => {
    const numbers = row.map((n) => String(n).padStart(cells)).join(" ");
    return `  ${(classes[i]?.label ?? "").padEnd(width)} ${numbers}`;
  });
  const details = [
    `${"class".padEnd(width)} precision    recall        F1 of`,
    ...perClass,
    "confusion (rows: the class; columns, in the same order: the answer)",
    ...matrix,
  ];
  return {
    loss,
    summary,
    lines: [`Test loss ${loss.toFixed(3)}, ${summary}, ${count} labels.`, ...(few ? details : [])],
    json: evaluation,
  };
}

/** A mean loss as lines. */
export function describeLoss({ loss, terms }: { loss: number; terms: number }, what: string): TaskEvaluation {
  return {
    loss,
    summary: "",
    lines: [`Test loss ${loss.toFixed(3)} over ${terms} ${what}.`],
    json: { loss, terms },
  };
}
