import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { mergedFiles } from "../../load/merge.ts";
import { folderWriter } from "../../platform/node-folder-writer.ts";
import { resolveModelFiles } from "../../platform/node-sources.ts";
import { fail } from "../../util/fail.ts";
import { watchInterrupt, writeUnlessInterrupted } from "../interrupt.ts";
import { chooseHead } from "../labels.ts";
import { openCliAdapter, openCliTask } from "../open.ts";
import { checkWritable } from "../output-folder.ts";
import type { Settled } from "../settings.ts";
import type { MERGE_OPTIONS } from "../tables.ts";
import { hasLabels } from "../task-settings.ts";
import type { Terminal } from "../terminal.ts";

/**
 * `webgpu-lora merge`: writes the model with an adapter in its weights, as PEFT's `merge_and_unload` gives it.
 * @returns the exit code
 */
export async function runMerge(
  { settings }: Settled<typeof MERGE_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const { model: reference, task, labels, output_dir, token, revision, adapter_revision } = settings;
  const adapter = { reference: settings.adapter_path, revision: adapter_revision, token };
  await checkWritable(output_dir);
  await checkOtherFolder(reference, output_dir);
  const data = hasLabels(task) ? [] : undefined;
  const head = chooseHead({ task, given: labels, adapter, data, seed: 0 });
  const note = (line: string) => terminal.note(line);
  const { model } = await openCliTask(settings, note, head);
  const loaded = await openCliAdapter(model, adapter, note);
  const files = await resolveModelFiles(reference, { revision, token });
  const merged = await mergedFiles(model, loaded, files);
  const interrupt = watchInterrupt(() => terminal.note("Stopping, and removing what was written."));
  const isWritten = await writeUnlessInterrupted(folderWriter(output_dir), merged, interrupt).finally(
    interrupt.release,
  );
  if (isWritten) {
    terminal.print(
      `Merged ${adapter.reference} into ${reference}: ${loaded.sites.length} layers. Saved to ${output_dir}.`,
    );
  }
  return interrupt.exitCode ?? 0;
}

/** The base model must survive: other adapters belong to it. */
async function checkOtherFolder(model: string, output: string): Promise<void> {
  const [from, to] = await Promise.all(
    [model, output].map((path) => stat(resolve(path)).catch(() => undefined)),
  );
  if (from && to && from.ino === to.ino && from.dev === to.dev) {
    fail("output_dir", `${output} is the model's own folder`, "choose another: the base model is kept");
  }
}
