import { basename } from "node:path";
import { templateChooser } from "../data/chat/chat-template.ts";
import type { SourceItem } from "../data/feed/item-source.ts";
import type { DataInspector } from "../data/inspect/inspector.ts";
import type { FindingKind } from "../data/inspect/report.ts";
import { lengthToKeep } from "../data/packing.ts";
import { type Example, isChat, usesTools } from "../data/rows/examples.ts";
import { type Sequence, windowsOf } from "../data/sequence.ts";
import { type EncodedRow, encodeRows } from "../data/tokenize/encode-rows.ts";
import type { ModelText } from "../load/model-text.ts";
import { describeFinding, refuseErrors, shortFindings } from "./findings.ts";
import { count, describeData } from "./format.ts";
import type { PlacedRow, RowStream } from "./row-stream.ts";
import { type DataSettings, type RowEncoding, rowEncoding, rowInspector } from "./sequences.ts";
import type { StreamedItems } from "./task.ts";

/** Rows that are looked at before the first step. */
const SAMPLE = 500;
/** Rows that are looked at at all: what is remembered of them grows with them. */
const MOST_LOOKED_AT = 2 ** 17;

/** Makes sequences of rows when they are needed. */
export async function streamSequences(
  model: ModelText,
  stream: RowStream<Example>,
  settings: DataSettings,
  note: (line: string) => void,
): Promise<StreamedItems<Sequence>> {
  const encoding = await rowEncoding(model, settings, note);
  const encoder = new StreamEncoder(stream, settings, encoding, note);
  const sample = await encoder.lookAtSample();
  const chats = sample.map(({ row }) => row).filter(isChat);
  const templateFor = templateChooser(encoding.model, encoding.tokenizer, settings.chat_template);
  return {
    get: (places) => encoder.get(places),
    splitsRows: stream.isPlainText,
    maxLength: encoding.maxLength,
    ...(chats.length > 0 && { chatTemplate: templateFor(chats.every(usesTools)).source }),
    end: () => encoder.end(),
  };
}

/** Rows as tokens, with what there is to be told of them. */
class StreamEncoder {
  readonly #stream: RowStream<Example>;
  readonly #settings: DataSettings;
  readonly #encoding: RowEncoding;
  readonly #note: (line: string) => void;
  readonly #inspector: DataInspector;
  readonly #rows: number;
  readonly #told = new Set<FindingKind>();
  /** Rows after which findings are looked at again. */
  #due = SAMPLE;
  #seen = 0;

  constructor(
    stream: RowStream<Example>,
    settings: DataSettings,
    encoding: RowEncoding,
    note: (line: string) => void,
  ) {
    this.#stream = stream;
    this.#settings = settings;
    this.#encoding = encoding;
    this.#note = note;
    this.#inspector = rowInspector(encoding, settings.judged);
    this.#rows = stream.sets.lengths.reduce((sum, length) => sum + length, 0);
  }

  /**
   * Looks at some rows, from all over the files.
   * @throws LoraError where they show that training would be useless
   */
  async lookAtSample(): Promise<readonly PlacedRow<Example>[]> {
    const rows = this.#rows;
    const name = basename(this.#stream.path);
    const places = Array.from({ length: Math.min(rows, SAMPLE) }, (_, i) =>
      Math.floor((i * rows) / Math.min(rows, SAMPLE)),
    );
    const sample = await this.#stream.read(places);
    const what = this.#stream.isPlainText ? "parts of a plain text" : "rows";
    this.#note(`${name}: ${count(rows)} ${what}, read as they are needed`);
    if (this.#stream.isPlainText) return sample;
    const inspector = rowInspector(this.#encoding, this.#settings.judged);
    for (const row of this.#encode(sample)) inspector.add(row);
    const report = inspector.report((place) => this.#stream.nameOf(place));
    const label = `a sample of ${count(report.rows)} rows`;
    for (const line of describeData(`  ${label}`, report, this.#encoding.maxLength)) this.#note(line);
    if (this.#settings.check_data) refuseErrors(`${this.#stream.path}, ${label}`, report);
    shortFindings(report).forEach(this.#note);
    for (const { kind } of report.findings) this.#told.add(kind);
    return sample;
  }

  async get(places: readonly number[]): Promise<SourceItem<Sequence>[]> {
    const rows = await this.#stream.read(places);
    if (this.#stream.isPlainText) return this.#windows(rows);
    const items: SourceItem<Sequence>[] = [];
    for (const encoded of this.#encode(rows)) {
      const { place, inputIds, labels, fate } = encoded;
      if (this.#look(encoded) && fate === "kept") items.push({ item: { inputIds, labels }, place });
    }
    return items;
  }

  /** Tells what became of the rows that were looked at. */
  end(): void {
    for (const line of this.#stream.notes()) this.#note(line);
    if (this.#seen <= SAMPLE) return;
    const report = this.#inspector.report((place) => this.#stream.nameOf(place));
    const label = `${basename(this.#stream.path)}, of ${count(report.rows)} rows that were read`;
    for (const line of describeData(label, report, this.#encoding.maxLength)) this.#note(line);
  }

  /** The rows as tokens; those of which a reader knows already that they cannot be used are refused. */
  *#encode(rows: readonly PlacedRow<Example>[]): Generator<EncodedRow> {
    const { assistant_only_loss, mask_history } = this.#settings;
    const isUsable = ({ row, place }: PlacedRow<Example>) => {
      if ((!assistant_only_loss && !mask_history) || isChat(row)) return true;
      this.#stream.refuse(place, "has no messages, of which the assistant's could be learnt");
      return false;
    };
    const used = rows.filter(isUsable);
    if (used.length === 0) return;
    const { tokenizer, options, model } = this.#encoding;
    const examples = used.map(({ row }) => row);
    for (const encoded of encodeRows(this.#stream.path, examples, tokenizer, options, model)) {
      const { place } = used[encoded.place] as PlacedRow<Example>;
      if (encoded.problem) this.#stream.refuse(place, encoded.problem.message);
      else yield { ...encoded, place };
    }
  }

  /** Looks at a row of the first pass; whether it can be used. */
  #look(row: EncodedRow): boolean {
    const isNew = this.#seen < Math.min(this.#rows, MOST_LOOKED_AT);
    const kinds = isNew ? this.#inspector.add(row) : [];
    if (kinds.includes("unknown-token")) {
      this.#stream.refuse(row.place, "holds a token for which the model has no row in its embedding");
      return false;
    }
    if (isNew && ++this.#seen === this.#due) this.#tell();
    return true;
  }

  /** Tells of what has not been told yet. @throws LoraError where it makes training useless */
  #tell(): void {
    this.#due *= 2;
    const report = this.#inspector.report((place) => this.#stream.nameOf(place));
    if (this.#settings.check_data) refuseErrors(`${this.#stream.path}, ${count(report.rows)} rows`, report);
    for (const finding of report.findings.filter(({ kind }) => !this.#told.has(kind))) {
      this.#told.add(finding.kind);
      this.#note(`warning: ${describeFinding(finding)}`);
    }
  }

  #windows(rows: readonly PlacedRow<Example>[]): SourceItem<Sequence>[] {
    if (rows.length === 0) return [];
    const { tokenizer, maxLength, options, model } = this.#encoding;
    const whole = {
      ...options,
      maxLength: lengthToKeep(maxLength, { packing: "wrapped" }),
      appendEos: false,
    };
    const examples = rows.map(({ row }) => row);
    const encoded = [...encodeRows(this.#stream.path, examples, tokenizer, whole, model)];
    return encoded.flatMap(({ fate, inputIds, labels, place }) => {
      const windows = fate === "kept" ? windowsOf({ inputIds, labels }, maxLength) : [];
      return windows.map((item) => ({ item, place: rows[place]?.place ?? 0 }));
    });
  }
}
