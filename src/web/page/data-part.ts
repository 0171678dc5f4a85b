// Part 2: the examples, as they are written and as the model will see them.
import type { RowFilesGiven } from "../../engine/protocol.ts";
import { ColumnsField } from "./columns-field.ts";
import { attempt, byId, note, say, show, showError } from "./dom.ts";
import type { KeptRows } from "./kept-run.ts";
import { keepRows, keptRows } from "./page-state.ts";
import { showRows } from "./rows-view.ts";
import type { Session } from "./session.ts";
import { sizeInWords } from "./sizes.ts";

/** Above this a file is read where it is, and not shown as text. */
const MAX_SHOWN_BYTES = 1_000_000;
/** Above this it is not kept over a reload. */
const MAX_KEPT_BYTES = 200_000_000;
/** Files that are text, by their ends, and those of them that have an example on each line. */
const TEXT = /\.(jsonl|ndjson|json|csv|tsv|txt)$/i;
const LINES = /\.(jsonl|ndjson)$/i;

const BUNDLED = "examples.jsonl";
/** Milliseconds after the last key before the examples are looked at. */
const PAUSE = 400;
/** Examples that are shown at first, and more with each press. */
const SHOWN = 4;

/** What the examples part needs of the others. */
export interface DataNeeds {
  /** The bundled examples, as they are in the file. */
  readonly bundled: string;
  /** Tokens of an example at most; undefined where that is left to the model. */
  maxLength(): number | undefined;
  /** Told the tokens of the longest example. */
  onLook(longest: number): void;
}

/** What the model learns from. */
export class DataPart {
  readonly #session: Session;
  readonly #needs: DataNeeds;
  readonly #field = byId("rows", HTMLTextAreaElement);
  readonly #skip = byId("skip-bad", HTMLInputElement);
  readonly #columns = new ColumnsField(() => this.#changed());
  #name = BUNDLED;
  /** In place of the field's text. */
  #file: File | undefined;
  #shown = SHOWN;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Counts looks, so that an older one says nothing any more. */
  #looks = 0;

  constructor(session: Session, needs: DataNeeds) {
    this.#session = session;
    this.#needs = needs;
    const chooser = byId("data-file", HTMLInputElement);
    chooser.addEventListener("change", () => {
      const [file] = chooser.files ?? [];
      if (file) void this.open(file);
      chooser.value = ""; // so that the same file can be chosen again
    });
    byId("bundled-data", HTMLButtonElement).addEventListener("click", () =>
      this.#show(BUNDLED, needs.bundled),
    );
    byId("more-rows", HTMLButtonElement).addEventListener("click", () => {
      this.#shown += 2 * SHOWN;
      void this.look();
    });
    for (const id of ["view-seen", "view-text"])
      byId(id, HTMLInputElement).addEventListener("change", () => this.#showView());
    this.#skip.addEventListener("change", () => this.#changed());
    this.#field.addEventListener("input", () => this.#changed());
    this.#field.addEventListener("paste", (event) => this.#onPaste(event));
    this.#showView();
  }

  /** Shows what was there when the page was left, or the bundled examples. */
  async begin(): Promise<void> {
    const kept = this.#session.keeps ? await keptRows().catch(() => undefined) : undefined;
    if (kept) {
      this.#skip.checked = kept.skipsBad;
      await this.#take(new File([kept.content], kept.name));
      this.#columns.begin(kept);
    } else this.#show(BUNDLED, this.#needs.bundled);
  }

  /** The rows as a file. */
  get rows(): KeptRows {
    return {
      name: this.#name,
      content: this.#file ?? new Blob([this.#field.value]),
      skipsBad: this.#skip.checked,
      ...this.#columns.chosen,
    };
  }

  /** Takes a file of examples. */
  open(file: File): Promise<void> {
    return attempt("data-error", async () => {
      this.#skip.checked = false;
      this.#columns.begin();
      await this.#take(file);
      this.#changed();
    });
  }

  /** Looks at the examples as the open model will. */
  async look(): Promise<void> {
    const own = ++this.#looks;
    if (!this.#session.opened) return;
    const { rows } = this;
    if (byId("rows-seen", HTMLElement).childElementCount === 0)
      say("data-status", `${this.#name}: the model looks at it …`);
    try {
      const looked = await this.#inspect(rows);
      if (own !== this.#looks) return;
      showError("data-error");
      show("skip-field", this.#skip.checked);
      void this.#columns.look(rows);
      showRows(looked, {
        textOf: (name) => this.#lineOf(name)?.text,
        change: (name, text) => this.#edit(name, text),
      });
      const { rows: count, tokens, labelTokens = 0, longest } = looked.report;
      const examples = `${count.toLocaleString("en")} ${count === 1 ? "example" : "examples"}`;
      say(
        "data-status",
        `${this.#name}: ${examples}, ${tokens.toLocaleString("en")} tokens, of which ${labelTokens.toLocaleString("en")} are learnt`,
      );
      show("more-rows", count > looked.rows.length);
      this.#needs.onLook(longest);
    } catch (error) {
      if (own !== this.#looks) return;
      this.#showNone();
      showError("data-error", error);
      void this.#columns.look(rows);
      show("skip-field", rows.skipsBad);
      if (!rows.skipsBad && (await this.#helpsToSkip(rows)) && own === this.#looks) show("skip-field", true);
    }
  }

  #inspect(rows: KeptRows) {
    const maxLength = this.#needs.maxLength();
    return this.#session.engine.inspectData(this.#session.model, rowFiles(rows), {
      ...(maxLength !== undefined && { maxLength }),
      shown: { first: this.#shown, perKind: 1 },
    });
  }

  /** Whether there is something to learn where what cannot be read is left out. */
  async #helpsToSkip(rows: KeptRows): Promise<boolean> {
    const looked = await this.#inspect({ ...rows, skipsBad: true }).catch(() => undefined);
    return looked !== undefined;
  }

  async #take(file: File): Promise<void> {
    if (file.size <= MAX_SHOWN_BYTES && TEXT.test(file.name)) return this.#put(file.name, await file.text());
    this.#name = file.name;
    this.#file = file;
    this.#field.value = "";
    this.#field.disabled = true;
    note(
      "text-note",
      `${file.name} (${sizeInWords(file.size)}) is not shown as text: it is too large, or packed.`,
    );
    this.#describe();
  }

  #show(name: string, text: string): void {
    this.#skip.checked = false;
    this.#columns.begin();
    this.#put(name, text);
    this.#changed();
  }

  #put(name: string, text: string): void {
    this.#name = name;
    this.#file = undefined;
    this.#field.value = text;
    this.#field.disabled = false;
    note("text-note");
    this.#describe();
  }

  /** Until they are looked at. */
  #describe(): void {
    this.#shown = SHOWN;
    showError("data-error");
    this.#showNone(); // those before would be taken for these
  }

  #showNone(): void {
    for (const id of ["rows-seen", "findings"]) byId(id, HTMLElement).replaceChildren();
    show("more-rows", false);
    say("data-status", this.#name);
  }

  #changed(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.look();
      void this.#keep();
    }, PAUSE);
  }

  async #keep(): Promise<void> {
    const { rows } = this;
    if (!this.#session.keeps || rows.content.size > MAX_KEPT_BYTES) return;
    await keepRows(rows).catch(() => {}); // a run keeps its own, and says where it cannot
  }

  #showView(): void {
    const asText = byId("view-text", HTMLInputElement).checked;
    show("text-view", asText);
    show("seen-view", !asText);
  }

  /** What is pasted in place of everything may be of another format than what was there. */
  #onPaste(event: ClipboardEvent): void {
    const { selectionStart, selectionEnd, value } = this.#field;
    const isAll = selectionStart === 0 && selectionEnd === value.length;
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (isAll && text.trim() !== "") this.#name = `pasted.${formatOfText(text)}`;
  }

  /** The line that an example stands on, where each has one. */
  #lineOf(name: string): { readonly at: number; readonly text: string } | undefined {
    const line = Number(/:(\d+)$/.exec(name)?.[1] ?? 0);
    if (this.#file || !LINES.test(this.#name) || line === 0) return undefined;
    const text = this.#field.value.split("\n")[line - 1];
    return text === undefined ? undefined : { at: line - 1, text };
  }

  #edit(name: string, text: string): void {
    const line = this.#lineOf(name);
    if (!line) return;
    const lines = this.#field.value.split("\n");
    lines[line.at] = text.replaceAll("\n", " ");
    this.#field.value = lines.join("\n");
    void this.look();
    void this.#keep();
  }
}

/** Rows as the engine takes them. */
export function rowFiles({ name, content, skipsBad, columns, header }: KeptRows): RowFilesGiven {
  const reading = { ...(columns && { columns }), ...(header === false && { header }) };
  return {
    label: name,
    files: new Map([[name, content]]),
    ...reading,
    ...(skipsBad && { onBadRow: "skip" }),
  };
}

/** Words by which the first line of a table is known. */
const COLUMNS = /\b(?:prompt|completion|text|messages|instruction|output|input|question|answer)\b/i;

/** The ending of a file with this text in it. */
export function formatOfText(text: string): "jsonl" | "json" | "csv" | "tsv" | "txt" {
  const trimmed = text.trim();
  if (trimmed.startsWith("[")) return "json";
  if (trimmed.startsWith("{")) return "jsonl";
  const [first = ""] = trimmed.split("\n");
  if (!COLUMNS.test(first)) return "txt";
  if (first.includes("\t")) return "tsv";
  return first.includes(",") || /^\w+$/.test(first) ? "csv" : "txt";
}
