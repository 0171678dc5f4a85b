// Examples as the model will see them: what is learnt, what is only read, what is cut off.
import type { InspectedRows } from "../../data/inspect/inspect-rows.ts";
import type { RowView, TokenRole, TokenView } from "../../data/inspect/row-view.ts";
import { make, showList } from "./dom.ts";
import { findingInWords, lineOf } from "./finding-words.ts";

/** The element of each role: what is not seen, such as colours, is heard. */
const TAGS: Readonly<Record<TokenRole, "mark" | "span" | "s">> = {
  trained: "mark",
  masked: "span",
  read: "span",
  cut: "s",
};

/** What becomes of examples that are not learnt. */
const FATES: Readonly<Record<string, string>> = {
  empty: "empty, left out",
  "too long": "too long, left out",
  "no labels": "nothing to learn, left out",
  refused: "does not fit the model's chats, left out",
};

/** How an example is changed where it stands. */
export interface RowEditing {
  /** The text of an example, or undefined where it cannot be changed here. */
  textOf(name: string): string | undefined;
  change(name: string, text: string): void;
}

/** Shows some examples, and what was found among all. */
export function showRows({ report, rows }: InspectedRows, editing: RowEditing): void {
  const entries = rows.map((row) => ({ row, text: editing.textOf(row.name) }));
  showList("rows-seen", entries, (entry) => card(entry, editing));
  const findings = report.findings.map((finding) => ({
    className: finding.level,
    textContent: findingInWords(finding, report.rows),
  }));
  showList("findings", findings, (finding) => make("li", finding));
}

/** An example, and its text where it can be changed. */
interface Shown {
  readonly row: RowView;
  readonly text: string | undefined;
}

function card({ row, text }: Shown, editing: RowEditing): HTMLElement {
  const what = FATES[row.fate];
  const head = make("span", {
    className: "faint",
    textContent: [lineOf(row.name), what].filter(Boolean).join(" · "),
  });
  const top = make("div", { className: "row" }, [head]);
  const item = make("li", {}, [top, tokensOf(row)]);
  if (text === undefined) return item;
  const edit = make("button", { type: "button", className: "small", textContent: "Edit" });
  edit.setAttribute("aria-label", `Edit ${lineOf(row.name)}`);
  const seen = [...item.children];
  const leave = () => item.replaceChildren(...seen);
  edit.addEventListener("click", () =>
    item.replaceChildren(
      editor({ name: row.name, text }, leave, (changed) => {
        if (changed === text) leave();
        else editing.change(row.name, changed);
      }),
    ),
  );
  top.append(edit);
  return item;
}

function editor(
  { name, text }: { readonly name: string; readonly text: string },
  onCancel: () => void,
  onChange: (text: string) => void,
): HTMLElement {
  const field = make("textarea", { rows: 4, spellcheck: false, value: text });
  field.setAttribute("aria-label", lineOf(name));
  const save = make("button", { type: "submit", className: "small", textContent: "Change it" });
  const cancel = make("button", { type: "button", className: "small", textContent: "Leave it" });
  cancel.addEventListener("click", onCancel);
  const form = make("form", {}, [field, make("div", { className: "buttons" }, [save, cancel])]);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    onChange(field.value);
  });
  requestAnimationFrame(() => field.focus());
  return form;
}

/** Tokens one after another; those of one role are one element, so that a screen reader does not spell them. */
function tokensOf({ tokens, problem }: RowView): HTMLElement {
  if (problem !== undefined) return make("p", { className: "tokens" }, ["–"]);
  const runs: { readonly role: TokenRole; readonly tokens: TokenView[] }[] = [];
  for (const token of tokens) {
    const last = runs.at(-1);
    if (last?.role === token.role) last.tokens.push(token);
    else runs.push({ role: token.role, tokens: [token] });
  }
  return make("p", { className: "tokens", tabIndex: 0 }, runs.map(runOf)); // a long one scrolls, by keys, too
}

function runOf({
  role,
  tokens,
}: {
  readonly role: TokenRole;
  readonly tokens: readonly TokenView[];
}): HTMLElement {
  const pieces = tokens.map(({ text, isSpecial }) =>
    make("span", { className: isSpecial ? "special" : "", textContent: readable(text) }),
  );
  return make(TAGS[role], { className: role }, pieces);
}

/** Spaces and line ends as such, in place of the signs that a terminal shows. */
function readable(text: string): string {
  return text.replaceAll("·", " ").replaceAll("↵", "↵\n").replaceAll("⇥", "\t");
}
