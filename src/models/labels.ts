import type { ConfigReader } from "./config-reader.ts";

/** Classes of a head: six times as many as the largest data sets of images have. */
const MOST_LABELS = 2 ** 17;

/**
 * Names of the classes. One class is a score, such as a reward model's, which only heads of whole texts may have: `least` is 1 for them.
 */
export function readLabels(c: ConfigReader, least: 1 | 2 = 2): string[] {
  const given = c.numberedTexts("id2label");
  const count = c.size("num_labels", given?.length ?? 2, MOST_LABELS);
  c.only(
    "problem_type",
    count === 1 ? ["regression", "single_label_classification"] : ["single_label_classification"],
  );
  if (count < least) c.refuse("num_labels", `${count}; a head for one number is a regression`);
  return given ?? Array.from({ length: count }, (_, i) => `LABEL_${i}`);
}
