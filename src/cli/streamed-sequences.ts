import { templateChooser } from "../data/chat/template-chooser.ts";
import type { RowStream } from "../data/files/row-stream.ts";
import type { DataReport } from "../data/inspect/report.ts";
import { type Example, isChat, usesTools } from "../data/rows/examples.ts";
import type { Sequence } from "../data/sequence.ts";
import type { EncodedRow } from "../data/tokenize/encode-rows.ts";
import { exampleSource } from "../data/tokenize/example-source.ts";
import type { ModelText } from "../load/model-text.ts";
import { describeData } from "./format.ts";
import { type DataSettings, rowEncoding, rowInspector } from "./sequences.ts";
import { StreamFindings } from "./stream-findings.ts";
import type { StreamedItems } from "./task.ts";

/** Makes sequences of rows when they are needed, and tells what there is to be told of these. */
export async function streamSequences(
  model: ModelText,
  stream: RowStream<Example>,
  settings: DataSettings,
  note: (line: string) => void,
): Promise<StreamedItems<Sequence>> {
  const encoding = await rowEncoding(model, settings, note);
  const findings = new StreamFindings<EncodedRow, DataReport>(
    stream,
    settings,
    {
      inspector: () => rowInspector(encoding, settings.judged),
      describe: (label, report) => describeData(label, report, encoding.maxLength),
    },
    note,
  );
  const { encode, get, splitsRows } = exampleSource(stream, encoding, (row) => findings.look(row));
  const sample = await stream.read(findings.samplePlaces());
  if (!stream.isPlainText) findings.lookAtSample(encode(sample));
  const chats = sample.map(({ row }) => row).filter(isChat);
  const templateFor = templateChooser(encoding.model, encoding.tokenizer, settings.chat_template);
  return {
    get,
    ...(splitsRows !== undefined && { splitsRows }),
    maxLength: encoding.maxLength,
    ...(chats.length > 0 && { chatTemplate: templateFor(chats.every(usesTools)).source }),
    report() {
      const { maxLength: _, lengths: _l, longestRow: _r, findings: _f, ...report } = findings.report();
      return { report };
    },
    end: () => findings.end(),
  };
}
