import { shownReference } from "../../io/files/address.ts";
import { mergedFiles } from "../../load/merge.ts";
import { folderWriter } from "../../platform/node-folders/folder-writer.ts";
import { checkMergedFolder, supersededIn } from "../../platform/node-folders/merged-folder.ts";
import { watchInterrupt, writeUnlessInterrupted } from "../interrupt.ts";
import { chooseHead } from "../labels.ts";
import { openCliAdapter, openCliTask } from "../open.ts";
import { claimOutputFolder } from "../output-folder.ts";
import type { Settled } from "../settings.ts";
import type { MERGE_OPTIONS } from "../tables/merge.ts";
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
  const { model: reference, task, labels, output_dir, token, verify, adapter_revision } = settings;
  const adapter = { reference: settings.adapter_path, revision: adapter_revision, token, verify };
  await checkMergedFolder(output_dir, reference);
  claimOutputFolder(output_dir);
  const data = hasLabels(task) ? [] : undefined;
  const head = chooseHead({ task, given: labels, adapter, data, seed: 0 });
  const note = (line: string) => terminal.note(line);
  const { model: base, files } = await openCliTask(settings, note, head);
  const { model, adapter: loaded } = await openCliAdapter(base, adapter, note);
  const merged = await mergedFiles(model, loaded, files);
  const interrupt = watchInterrupt(() => terminal.note("Stopping, and removing what was written."));
  const superseded = await supersededIn(output_dir);
  const writing = writeUnlessInterrupted(folderWriter(output_dir), merged, interrupt, superseded);
  const removed = await writing.finally(interrupt.release);
  if (removed) {
    if (removed.length > 0) terminal.note(`Removed from ${output_dir}: ${removed.join(", ")}.`);
    const [from, into] = [adapter.reference, reference].map(shownReference);
    terminal.print(`Merged ${from} into ${into}: ${loaded.sites.length} layers. Saved to ${output_dir}.`);
  }
  return interrupt.exitCode ?? 0;
}
