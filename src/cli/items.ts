import { basename } from "node:path";
import type { RowStream } from "../data/files/row-stream.ts";
import type { TaskText, TextRow, TextTask } from "../data/inspect/item-look.ts";
import type { Finding } from "../data/inspect/report.ts";
import { textItemSource, textItems } from "../train/tasks/text-items.ts";
import type { RowFile } from "./data-files.ts";
import { refuseErrors, shortFindings } from "./findings.ts";
import { describeItems } from "./format.ts";
import type { DataSettings } from "./sequences.ts";
import { StreamFindings } from "./stream-findings.ts";
import type { Prepared, StreamedItems } from "./task.ts";

type Note = (line: string) => void;

/** A model that makes tokens of rows. */
type TextModel = Pick<TaskText, "name" | "tokenizer" | "config"> & { readonly labels?: readonly string[] };

/** What a file of a task on texts gives, but for language modelling: an item for each row that is kept. */
export function prepareItems<I>(
  task: TextTask,
  model: TextModel,
  file: RowFile<TextRow>,
  settings: DataSettings,
  note: Note,
): Prepared<I> {
  const { path } = file;
  const { report, ...prepared } = textItems<I>(task, textOf(model), file, {
    ...itemSettings(settings, note),
    judged: settings.judged,
    onReport: (report) => describeItems(basename(path), report, report.maxLength).forEach(note),
  });
  const isLearnt = settings.check_data !== undefined;
  const findings = report.findings.filter((finding) => isLearnt || !isOfClasses(finding));
  if (settings.check_data) refuseErrors(path, { findings });
  shortFindings({ findings }).forEach(note);
  return prepared;
}

/** The same of rows that are read when they are needed. */
export async function streamItems<I>(
  task: TextTask,
  model: TextModel,
  stream: RowStream<TextRow>,
  settings: DataSettings,
  note: Note,
): Promise<StreamedItems<I>> {
  const { look, read, get } = textItemSource<I>(task, textOf(model), stream, itemSettings(settings, note));
  const { maxLength } = look;
  const findings = new StreamFindings(
    stream,
    settings,
    {
      inspector: () => look.inspector(settings.judged),
      describe: (label, report) => describeItems(label, report, maxLength),
    },
    note,
  );
  findings.lookAtSample(await read(findings.samplePlaces()));
  return {
    maxLength,
    get: (places) => get(places, (row) => findings.look(row)),
    end: () => findings.end(),
  };
}

const itemSettings = ({ max_length: maxLength, truncation }: DataSettings, note: Note) => ({
  ...{ maxLength, truncation, note },
});

/** What a model that is loaded makes tokens with. */
function textOf(model: TextModel): TaskText {
  const { name, tokenizer, config, labels } = model;
  return { name, tokenizer, config, ...(labels && { classes: labels }) };
}

/** Of rows that a model is judged by none teaches a class. */
function isOfClasses({ kind }: Finding): boolean {
  return kind.endsWith("-label");
}
