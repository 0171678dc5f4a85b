import { evaluate } from "../train/evaluate.ts";
import { readEvaluationData } from "./data-files.ts";
import { formatTestLine } from "./format.ts";
import { openCliAdapter, openCliModel } from "./open.ts";
import { sequenceReader } from "./sequences.ts";
import type { Settled } from "./settings.ts";
import type { EVAL_OPTIONS } from "./tables.ts";
import type { Terminal } from "./terminal.ts";

/**
 * `webgpu-lora eval`: the loss of a model on rows of text.
 * @returns the exit code
 */
export async function runEval(
  { settings }: Settled<typeof EVAL_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const { adapter_path, batch_size, json, token } = settings;
  const note = (line: string) => terminal.note(line);
  const data = await readEvaluationData(settings.data);
  const { model } = await openCliModel(settings, note);
  if (adapter_path !== undefined) await openCliAdapter(model, adapter_path, token);
  const { sequences, report } = sequenceReader(model, settings, note)(data);
  const evaluation = await evaluate(model, sequences, { batchSize: batch_size });
  if (json) {
    const subject = { model: model.name, adapter: adapter_path ?? null, data: data.path };
    terminal.print(JSON.stringify({ ...subject, ...evaluation, report }, null, 2));
  } else {
    terminal.print(formatTestLine(evaluation));
  }
  return 0;
}
