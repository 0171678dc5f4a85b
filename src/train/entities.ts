import type { ClassMetrics } from "./metrics.ts";

/** Tags of one text: what is right, and what the model says. */
export interface TaggedRow {
  /** The labels. */
  readonly wanted: readonly string[];
  /** The model's answers, as many. */
  readonly given: readonly string[];
}

/** How well whole entities are found: one counts where its kind and both its ends are right. */
export interface EntityMetrics extends Omit<ClassMetrics, "label"> {
  /** The same for each kind that occurs, in the data or in the answers. */
  readonly types: readonly ClassMetrics[];
}

const TAG = /^(?:O|[BI]-.+)$/;

/** Whether the classes are tags of entities: `O`, and `B-` or `I-` with a kind. */
export function areEntityTags(labels: readonly string[]): boolean {
  return labels.every((label) => TAG.test(label)) && labels.some((label) => label !== "O");
}

/**
 * Precision, recall and F1 of entities over all kinds (`average="micro"`) and by kind, as seqeval counts BIO tags
 * outside its strict mode: an entity begins at `B-X`, and at an `I-X` that does not go on with an entity of kind X;
 * it goes on through the `I-X` that follow. Nakayama 2018, https://github.com/chakki-works/seqeval.
 */
export function entityMetrics(rows: readonly TaggedRow[]): EntityMetrics {
  const wanted = rows.flatMap((row, i) => entities(row.wanted, i));
  const given = rows.flatMap((row, i) => entities(row.given, i));
  const keys = new Set(wanted.map(({ key }) => key));
  const measure = (belongs: (entity: Entity) => boolean) => {
    const said = given.filter(belongs);
    const hits = said.filter(({ key }) => keys.has(key)).length;
    return scores(hits, said.length, wanted.filter(belongs).length);
  };
  const types = [...new Set([...wanted, ...given].map(({ type }) => type))].sort();
  return {
    ...measure(() => true),
    types: types.map((label) => ({ label, ...measure(({ type }) => type === label) })),
  };
}

interface Entity {
  readonly type: string;
  /** Row, kind, first and last tag: equal where two are the same. */
  readonly key: string;
}

function entities(tags: readonly string[], row: number): Entity[] {
  const found: Entity[] = [];
  for (let first = 0; first < tags.length; first++) {
    const type = kindOf(tags[first] as string);
    if (type === undefined) continue;
    let last = first;
    while (tags[last + 1] === `I-${type}`) last++;
    found.push({ type, key: JSON.stringify([row, type, first, last]) });
    first = last;
  }
  return found;
}

function kindOf(tag: string): string | undefined {
  return tag === "O" ? undefined : tag.slice(2);
}

/** A share of zero items is 0. */
function scores(hits: number, said: number, support: number): Omit<ClassMetrics, "label"> {
  const precision = said > 0 ? hits / said : 0;
  const recall = support > 0 ? hits / support : 0;
  const f1 = hits > 0 ? (2 * precision * recall) / (precision + recall) : 0;
  return { precision, recall, f1, support };
}
