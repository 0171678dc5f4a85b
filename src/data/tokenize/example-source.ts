import type { ItemSource, SourceItem } from "../feed/item-source.ts";
import type { PlacedRow, RowStream } from "../files/row-stream.ts";
import { lengthToKeep } from "../packing.ts";
import { type Example, isChat } from "../rows/examples.ts";
import { type Sequence, windowsOf } from "../sequence.ts";
import { type EncodedRow, encodeRows } from "./encode-rows.ts";
import type { RowEncoding } from "./row-encoding.ts";

/** Rows of a stream as sequences, which are made when they are needed. */
export interface ExampleSource extends ItemSource<Sequence> {
  /** The rows as tokens; those of which a reader knows already that they cannot be used are refused. */
  encode(rows: readonly PlacedRow<Example>[]): Generator<EncodedRow>;
}

/**
 * Makes sequences of the rows of a stream: of a plain text windows of whole `maxLength`, else one of each row that gives a loss.
 * @param look told what becomes of each row; whether it can be used
 */
export function exampleSource(
  stream: RowStream<Example>,
  encoding: RowEncoding,
  look: (row: EncodedRow) => boolean = () => true,
): ExampleSource {
  const { tokenizer, maxLength, options, model } = encoding;
  const isUsable = ({ row, place }: PlacedRow<Example>) => {
    if ((!options.assistantOnlyLoss && !options.maskHistory) || isChat(row)) return true;
    stream.refuse(place, "has no messages, of which the assistant's could be learnt");
    return false;
  };
  function* encode(rows: readonly PlacedRow<Example>[]): Generator<EncodedRow> {
    const used = rows.filter(isUsable);
    if (used.length === 0) return;
    const examples = used.map(({ row }) => row);
    for (const encoded of encodeRows(stream.path, examples, tokenizer, options, model)) {
      const { place } = used[encoded.place] as PlacedRow<Example>;
      if (encoded.problem) stream.refuse(place, encoded.problem.message);
      else yield { ...encoded, place };
    }
  }
  const windows = (rows: readonly PlacedRow<Example>[]): SourceItem<Sequence>[] => {
    if (rows.length === 0) return [];
    const whole = {
      ...options,
      maxLength: lengthToKeep(maxLength, { packing: "wrapped" }),
      appendEos: false,
    };
    const examples = rows.map(({ row }) => row);
    const encoded = [...encodeRows(stream.path, examples, tokenizer, whole, model)];
    return encoded.flatMap(({ fate, inputIds, labels, place }) => {
      const parts = fate === "kept" ? windowsOf({ inputIds, labels }, maxLength) : [];
      return parts.map((item) => ({ item, place: rows[place]?.place ?? 0 }));
    });
  };
  return {
    mixture: stream.sets,
    splitsRows: stream.isPlainText,
    nameOf: (place) => stream.nameOf(place),
    encode,
    async get(places) {
      const rows = await stream.read(places);
      if (stream.isPlainText) return windows(rows);
      const items: SourceItem<Sequence>[] = [];
      for (const encoded of encode(rows)) {
        const { place, inputIds, labels, fate } = encoded;
        if (look(encoded) && fate === "kept") items.push({ item: { inputIds, labels }, place });
      }
      return items;
    },
  };
}
