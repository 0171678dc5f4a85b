// Which column is what, of a file whose columns have names of their own.
import { blobFile } from "../../data/files/data-file.ts";
import type { JsonObject } from "../../util/json.ts";
import { byId, make, show } from "./dom.ts";
import type { KeptRows } from "./kept-run.ts";

/** How the columns of a file are to be read; nothing where they have the names that are known. */
export type ColumnsChosen = Pick<KeptRows, "columns" | "header">;

/** Tables of cells, whose first line may be an example. */
const CELLS = /\.[ct]sv(\.gz)?$/i;
/** Characters of a cell that tell what its column is. */
const SHOWN = 24;

/** Lets the user say which column is the prompt, and which one is learnt. */
export class ColumnsField {
  readonly #read = byId("column-read", HTMLSelectElement);
  readonly #learnt = byId("column-learnt", HTMLSelectElement);
  readonly #header = byId("header", HTMLInputElement);
  #first: JsonObject = {};

  /** @param onChange told that a column was chosen, or chosen no more */
  constructor(onChange: () => void) {
    for (const field of [this.#read, this.#learnt]) field.addEventListener("change", onChange);
    this.#header.addEventListener("change", () => {
      for (const field of [this.#read, this.#learnt]) field.value = ""; // they have other names now
      onChange();
    });
  }

  /** What was chosen. */
  get chosen(): ColumnsChosen {
    const { value: learnt } = this.#learnt;
    const header = this.#table;
    if (this.#isHidden || learnt === "") return header;
    if (Array.isArray(this.#first[learnt])) return { columns: { messages: learnt }, ...header };
    const { value: read } = this.#read;
    return { columns: read === "" ? { text: learnt } : { prompt: read, completion: learnt }, ...header };
  }

  /** Begins with what was chosen before, or with nothing. */
  begin({ columns = {}, header = true }: ColumnsChosen = {}): void {
    this.#header.checked = header;
    this.#first = {};
    const learnt = columns.completion ?? columns.text ?? columns.messages;
    this.#offer(columns.prompt, learnt);
    show("columns", learnt !== undefined || !header);
  }

  /** Shows the columns of a file where they are not known, or were chosen here. */
  async look(rows: KeptRows): Promise<void> {
    const [{ openRows }, { EXAMPLE_READER }] = await Promise.all([
      import("../../data/files/read-rows.ts"),
      import("../../data/rows/examples.ts"),
    ]);
    const first = await firstRow(() => openRows(blobFile(rows.name, rows.content), this.#table)).catch(
      () => {},
    );
    if (!first) return show("columns", !this.#header.checked);
    this.#first = first;
    const isKnown = this.#header.checked && typeof EXAMPLE_READER.read(first) !== "string";
    show("header-field", CELLS.test(rows.name));
    show("columns", !isKnown || this.chosen.columns !== undefined);
    this.#offer(this.#read.value, this.#learnt.value);
  }

  get #table() {
    return this.#header.checked ? {} : { header: false };
  }

  get #isHidden(): boolean {
    return byId("columns", HTMLElement).hidden !== false;
  }

  #offer(read = "", learnt = ""): void {
    const names = new Set([...Object.keys(this.#first), ...[read, learnt].filter(Boolean)]);
    const options = () =>
      [...names].map((name) => make("option", { value: name, textContent: this.#told(name) }));
    const choose = (textContent = "choose …") => make("option", { value: "", textContent });
    const unread = learnt === "" ? choose() : choose("none: each is a whole text");
    this.#read.replaceChildren(unread, ...options());
    this.#learnt.replaceChildren(choose(), ...options());
    this.#read.value = read;
    this.#learnt.value = learnt;
  }

  /** A column, with what the first example has in it. */
  #told(name: string): string {
    const value = this.#first[name];
    const own = this.#header.checked ? name : `Column ${Number(name) + 1}`;
    if (value === undefined) return own;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    return `${own}: ${text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text}`;
  }
}

async function firstRow(
  open: () => ReturnType<typeof import("../../data/files/read-rows.ts").openRows>,
): Promise<JsonObject | undefined> {
  for await (const group of (await open()).groups)
    for (const { values } of group) return typeof values === "string" ? undefined : values;
  return undefined;
}
