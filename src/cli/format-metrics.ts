import type { ClassifierEvaluation, TaggerEvaluation } from "../train/evaluate-classifier.ts";
import type { ClassMetrics } from "../train/metrics.ts";
import { largest } from "../util/arrays.ts";
import type { TaskEvaluation } from "./task.ts";

/** Classes of which the table and the confusion matrix show more than the sums. */
const CLASSES_SHOWN = 20;

/** A classifier's evaluation as lines: the sums, a line for each class, and the confusion matrix. */
export function describeClassifier(evaluation: ClassifierEvaluation): TaskEvaluation {
  const { loss, accuracy, f1, classes, count } = evaluation;
  const summary = `accuracy ${accuracy.toFixed(4)}, F1 ${f1.toFixed(4)}`;
  const details = classes.length <= CLASSES_SHOWN ? classTables(evaluation) : [];
  return {
    loss,
    summary,
    lines: [`Test loss ${loss.toFixed(3)}, ${summary}, ${count} labels.`, ...details],
    json: evaluation,
  };
}

/** A line for each class, and the confusion matrix. */
function classTables({ classes, confusion }: ClassifierEvaluation): string[] {
  const width = Math.max(5, largest(classes.map(({ label }) => label.length)));
  const cells = Math.max(3, `${largest(confusion.flat())}`.length, `${classes.length - 1}`.length);
  const matrix = confusion.map((row, i) => {
    const numbers = row.map((n) => String(n).padStart(cells)).join(" ");
    return `  ${(classes[i]?.label ?? "").padEnd(width)} ${numbers}`;
  });
  return [
    ...scoreTable("class", classes, width),
    "confusion (rows: the class; columns, in the same order: the answer)",
    ...matrix,
  ];
}

/** The same for a classifier of tokens; with entities, where the classes are tags of them. */
export function describeTagger(evaluation: TaggerEvaluation): TaskEvaluation {
  const tokens = describeClassifier(evaluation);
  const { entities } = evaluation;
  if (!entities) return tokens;
  const { precision, recall, f1, support, types } = entities;
  const [first = "", ...details] = tokens.lines;
  const sums = `Entities: precision ${precision.toFixed(4)}, recall ${recall.toFixed(4)}, F1 ${f1.toFixed(4)}, ${support} entities.`;
  const width = Math.max(6, largest(types.map(({ label }) => label.length)));
  const table = types.length > CLASSES_SHOWN ? [] : scoreTable("entity", types, width);
  return {
    ...tokens,
    summary: `${tokens.summary}, entity F1 ${f1.toFixed(4)}`,
    lines: [first, sums, ...table, ...details],
  };
}

/** A line of heads, and precision, recall, F1 and number of each class. */
function scoreTable(head: string, classes: readonly ClassMetrics[], width: number): string[] {
  const lines = classes.map(({ label, precision, recall, f1, support }) =>
    [label.padEnd(width), ...[precision, recall, f1].map((x) => x.toFixed(4).padStart(9)), support].join(" "),
  );
  return [`${head.padEnd(width)} precision    recall        F1 of`, ...lines];
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
