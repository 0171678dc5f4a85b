import { largest } from "../../util/arrays.ts";
import { count } from "../../util/count.ts";
import { firstOf } from "../../util/group-lines.ts";
import type { Finding } from "./report.ts";

/** Of a class with fewer rows than this share of the largest one little is learnt. */
const RARE_SHARE = 0.01;
/** So it is of one with so few rows, where the largest one has ten times as many. */
const RARE_ROWS = 10;

/**
 * What deserves attention about the classes of rows, or of their words.
 * @param counts how many rows, or words, each class has
 * @param classes those of the head
 */
export function labelFindings(
  counts: ReadonlyMap<string, number>,
  classes: readonly string[],
  isTagged: boolean,
): Finding[] {
  const of = isTagged ? "words" : "rows";
  const taught = classes.filter((name) => counts.has(name));
  if (taught.length <= 1) return [oneLabel(taught[0], of)];
  const missing = classes.filter((name) => !counts.has(name));
  // Outside of entities are most words of any text.
  const compared = taught.filter((name) => !isTagged || name !== "O");
  const most = largest(compared.map((name) => counts.get(name) ?? 0));
  const isRare = (name: string) => {
    const rows = counts.get(name) ?? 0;
    return rows < RARE_SHARE * most || (rows < RARE_ROWS && 10 * rows < most);
  };
  const rare = compared.filter(isRare);
  const found: Finding[] = [];
  if (missing.length > 0) {
    found.push({
      ...{ kind: "missing-label", level: "warning", rows: 0, examples: [] },
      message: `no ${of} have the class ${firstOf(missing)}, which the head has`,
      help: "it is never learnt: add such rows, or name the classes of the data by --labels",
    });
  }
  if (rare.length > 0) {
    const each = rare.map((name) => `${name} (${count(counts.get(name) ?? 0)})`);
    const rows = rare.reduce((sum, name) => sum + (counts.get(name) ?? 0), 0);
    found.push({
      ...{ kind: "rare-label", level: "warning", rows, examples: [] },
      message: `few ${of} have the class ${firstOf(each)}; the largest one has ${count(most)}`,
      help: "add more of them, or join them with another class: what is so rare is hardly learnt",
    });
  }
  return found;
}

function oneLabel(name: string | undefined, of: string): Finding {
  return {
    ...{ kind: "one-label", level: "error", rows: 0, examples: [] },
    message:
      name === undefined
        ? `no ${of} have a class of the head`
        : `all ${of} have the class ${name}: there is nothing to tell apart`,
    help: "add rows of the other classes",
  };
}
