import { count } from "../../util/count.ts";
import type { ChatPart } from "../chat/shown-parts.ts";
import { aboutRows } from "./findings.ts";
import { emptyTally, note, type RowTally } from "./ledger.ts";
import type { Finding } from "./report.ts";

/** What a role's messages became: those that the template wrote, and those that it left out. */
interface RoleTally {
  shown: number;
  readonly lost: RowTally;
}

/** Which messages of chats the template writes, by their roles. */
export class RoleLedger {
  readonly #roles = new Map<string, RoleTally>();
  /** Messages without a content, in whose place the template writes None. */
  readonly #none = emptyTally();

  add(parts: readonly ChatPart[], place: number): void {
    for (const { name, isShown, isNone = false } of parts) {
      if (isNone) {
        note(this.#none, place);
        continue;
      }
      const role = this.#roles.get(name) ?? { shown: 0, lost: emptyTally() };
      this.#roles.set(name, role);
      if (isShown) role.shown++;
      else note(role.lost, place);
    }
  }

  findings(nameOf: (place: number) => string): Finding[] {
    const lost = Array.from(this.#roles, ([name, role]) => lostRole(name, role, nameOf)).flat();
    return [...lost, ...noneContent(this.#none, nameOf)];
  }
}

/** A role of which nothing is ever written is one that the template does not know. */
function lostRole(name: string, { shown, lost }: RoleTally, nameOf: (place: number) => string): Finding[] {
  if (lost.rows === 0) return [];
  const isUnknown = shown === 0;
  const what = isUnknown ? `leaves out everything of ${name}` : `leaves out something of ${name}`;
  const finding: Finding = {
    ...aboutRows("lost-role", isUnknown ? "error" : "warning", lost, { nameOf }),
    message: `the chat template ${what}, in ${count(lost.rows)} messages`,
    help: "take a template that knows these messages, or rename or leave out what it does not know",
  };
  return [finding];
}

/** A word of Python's that the model would learn to write. */
function noneContent(none: RowTally, nameOf: (place: number) => string): Finding[] {
  if (none.rows === 0) return [];
  const finding: Finding = {
    ...aboutRows("none-content", "warning", none, { nameOf }),
    message: `the chat template writes None where the content is null, in ${count(none.rows)} messages`,
    help: 'give these messages the empty text ("") as their content, or take a template that asks whether there is one',
  };
  return [finding];
}
