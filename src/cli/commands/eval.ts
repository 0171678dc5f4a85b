import { shownReference } from "../../io/files/address.ts";
import { chooseHead } from "../labels.ts";
import { openCliTask } from "../open.ts";
import type { Settled } from "../settings.ts";
import type { EVAL_OPTIONS } from "../tables/eval.ts";
import { TASKS } from "../tasks.ts";
import { printLines, type Terminal } from "../terminal.ts";
import { openCliAdapters, shownAdapter, weightedAdapters } from "../weighted-adapters.ts";
import { writePage } from "../write-page.ts";
import { writingOf } from "../writing.ts";

/**
 * `webgpu-lora eval`: how a model does on rows of data, with the figures that its task has.
 * @returns the exit code
 */
export async function runEval(
  { settings }: Settled<typeof EVAL_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const { task, labels: given, batch_size, json } = settings;
  const adapters = weightedAdapters(settings);
  const note = (line: string) => terminal.note(line);
  const data = await TASKS[task].readTest(settings);
  const head = chooseHead({ task, given, adapters, data: data.labels, seed: 0 });
  const { model: base } = await openCliTask(settings, note, head);
  const { model } = await openCliAdapters(base, adapters, note);
  const rows = await data.bind(model, settings, note);
  const evaluation = await rows.evaluate(batch_size);
  const exact = settings.exact_match
    ? await writingOf(rows.writing, "exact_match").exactMatch(batch_size)
    : undefined;
  const { loss_map: map, loss_map_rows: most } = settings;
  if (map !== undefined) {
    const subject = { model: model.name, data: data.path };
    const options = { rows: most, batchSize: batch_size };
    await writePage(map, await writingOf(rows.writing, "loss_map").lossMap(subject, options), "loss_map");
    note(`Wrote ${map}`);
  }
  if (json) {
    const subject = {
      model: model.name,
      adapter: adapters.length > 0 ? shownReference(adapters.map(shownAdapter).join(", ")) : null,
      data: data.path,
    };
    const measured = { ...evaluation.json, ...(exact !== undefined && { exact_match: exact }) };
    const report = { ...subject, ...measured, ...rows.report };
    printLines(terminal.print, JSON.stringify(report, null, 2));
  } else {
    for (const line of evaluation.lines) terminal.print(line);
    if (exact !== undefined) terminal.print(`Exact match ${exact.toFixed(4)}.`);
  }
  return 0;
}
