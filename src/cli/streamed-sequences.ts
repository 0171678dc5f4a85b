import { templateChooser } from "../data/chat/chat-template.ts";
import type { SourceItem } from "../data/feed/item-source.ts";
import type { DataReport } from "../data/inspect/report.ts";
import { lengthToKeep } from "../data/packing.ts";
import { type Example, isChat, usesTools } from "../data/rows/examples.ts";
import { type Sequence, windowsOf } from "../data/sequence.ts";
import { type EncodedRow, encodeRows } from "../data/tokenize/encode-rows.ts";
import type { ModelText } from "../load/model-text.ts";
import { describeData } from "./format.ts";
import type { PlacedRow, RowStream } from "./row-stream.ts";
import { type DataSettings, type RowEncoding, rowEncoding, rowInspector } from "./sequences.ts";
import { StreamFindings } from "./stream-findings.ts";
import type { StreamedItems } from "./task.ts";

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
  readonly #findings: StreamFindings<EncodedRow, DataReport>;

  constructor(
    stream: RowStream<Example>,
    settings: DataSettings,
    encoding: RowEncoding,
    note: (line: string) => void,
  ) {
    this.#stream = stream;
    this.#settings = settings;
    this.#encoding = encoding;
    const look = {
      inspector: () => rowInspector(encoding, settings.judged),
      describe: (label: string, report: DataReport) => describeData(label, report, encoding.maxLength),
    };
    this.#findings = new StreamFindings(stream, settings, look, note);
  }

  /**
   * Looks at some rows, from all over the files.
   * @throws LoraError where they show that training would be useless
   */
  async lookAtSample(): Promise<readonly PlacedRow<Example>[]> {
    const sample = await this.#stream.read(this.#findings.samplePlaces());
    if (!this.#stream.isPlainText) this.#findings.lookAtSample(this.#encode(sample));
    return sample;
  }

  async get(places: readonly number[]): Promise<SourceItem<Sequence>[]> {
    const rows = await this.#stream.read(places);
    if (this.#stream.isPlainText) return this.#windows(rows);
    const items: SourceItem<Sequence>[] = [];
    for (const encoded of this.#encode(rows)) {
      const { place, inputIds, labels, fate } = encoded;
      if (this.#findings.look(encoded) && fate === "kept") items.push({ item: { inputIds, labels }, place });
    }
    return items;
  }

  /** Tells what became of the rows that were looked at. */
  end(): void {
    this.#findings.end();
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
