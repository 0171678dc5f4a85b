/** How well one class is recognised. */
export interface ClassMetrics {
  /** Name of the class. */
  readonly label: string;
  /** Of those said to be of the class, the share that is; 0 where none was said to be. */
  readonly precision: number;
  /** Of those of the class, the share that was found; 0 where there are none. */
  readonly recall: number;
  /** Harmonic mean of the two. */
  readonly f1: number;
  /** How many items belong to the class. */
  readonly support: number;
}

/** How well a classifier tells its classes apart. */
export interface ClassificationMetrics {
  /** Share of correct answers. */
  readonly accuracy: number;
  /** Mean F1 of the classes that occur, in the data or in the answers; of the second class where there are two. */
  readonly f1: number;
  /** Figures of each class, by index. */
  readonly classes: readonly ClassMetrics[];
  /** `confusion[i][j]`: of class i, said to be j. */
  readonly confusion: readonly (readonly number[])[];
}

/**
 * Accuracy, F1 and the confusion matrix, as scikit-learn defines them (`f1_score` with `average="macro"`, or "binary"
 * where there are two classes).
 * @param wanted indices of the classes; −100: does not count
 * @param given indices of the answers; −1 (the model's scores were not numbers) matches no class
 */
export function classificationMetrics(
  wanted: ArrayLike<number>,
  given: ArrayLike<number>,
  labels: readonly string[],
): ClassificationMetrics {
  const confusion = labels.map(() => new Array<number>(labels.length).fill(0));
  let count = 0;
  let right = 0;
  for (let i = 0; i < wanted.length; i++) {
    const [w, g] = [wanted[i] as number, given[i] as number];
    if (w < 0) continue;
    if (g >= 0) (confusion[w] as number[])[g]!++;
    count++;
    if (w === g) right++;
  }
  const classes = labels.map((label, i) => classMetrics(label, i, confusion));
  const occurring = classes.filter((_, i) => total(confusion, i) > 0);
  const macro = mean(occurring.map(({ f1 }) => f1));
  const f1 = labels.length === 2 ? (classes[1] as ClassMetrics).f1 : macro;
  return { accuracy: right / Math.max(1, count), f1, classes, confusion };
}

function classMetrics(label: string, i: number, confusion: readonly (readonly number[])[]): ClassMetrics {
  const hits = confusion[i]?.[i] ?? 0;
  const support = sum(confusion[i] ?? []);
  const said = sum(confusion.map((row) => row[i] ?? 0));
  const precision = said > 0 ? hits / said : 0;
  const recall = support > 0 ? hits / support : 0;
  const f1 = hits > 0 ? (2 * precision * recall) / (precision + recall) : 0;
  return { label, precision, recall, f1, support };
}

/** How often a class occurs, as what is wanted or what is given. */
function total(confusion: readonly (readonly number[])[], i: number): number {
  return sum(confusion[i] ?? []) + sum(confusion.map((row) => row[i] ?? 0));
}

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const mean = (values: readonly number[]) => sum(values) / Math.max(1, values.length);
