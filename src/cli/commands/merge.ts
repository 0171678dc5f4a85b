import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Adapter } from "../../adapters/adapter.ts";
import { shownReference } from "../../io/files/address.ts";
import type { FileContent, FileSource } from "../../io/files/files.ts";
import { ggufModel } from "../../load/gguf-model.ts";
import { type MergeOptions, mergedFiles } from "../../load/merge.ts";
import type { LoadedModel } from "../../load/model.ts";
import { MODELFILE, modelfile } from "../../load/ollama.ts";
import { folderWriter } from "../../platform/node-folders/folder-writer.ts";
import { checkMergedFolder, supersededIn } from "../../platform/node-folders/merged-folder.ts";
import { fail } from "../../util/fail.ts";
import { watchInterrupt, writeUnlessInterrupted } from "../interrupt.ts";
import { chooseHead } from "../labels.ts";
import { openCliAdapter, openCliTask } from "../open.ts";
import { claimOutputFolder } from "../output-folder.ts";
import type { Settled } from "../settings.ts";
import type { MERGE_OPTIONS } from "../tables/merge.ts";
import { headTask } from "../task-names.ts";
import { checkTaskSettings, hasLabels } from "../task-settings.ts";
import type { Terminal } from "../terminal.ts";
import { type WeightedReference, weightedReferences } from "../weighted-adapters.ts";

type MergeSettings = Settled<typeof MERGE_OPTIONS>["settings"];

/** @throws LoraError where settings contradict each other */
export function checkMergeSettings(settled: Settled<typeof MERGE_OPTIONS>): void {
  checkTaskSettings(settled);
  const { settings, given } = settled;
  if (settings.gguf === undefined) {
    if (given.has("gguf_type"))
      fail("gguf_type", "there is no GGUF file that it could be of", "name one: --gguf FILE");
    return;
  }
  if (given.has("output_dir")) {
    fail(
      "merge",
      "gguf and output_dir are both given",
      "leave one out: a GGUF file takes the place of the folder",
    );
  }
  if (headTask(settings.task) !== "causal-lm") {
    fail("gguf", `llama.cpp gets no model for ${settings.task} from here`, "leave out --gguf");
  }
  if (!settings.gguf.endsWith(".gguf")) fail("gguf", `${settings.gguf} does not end in .gguf`, "name it so");
}

/**
 * `webgpu-lora merge`: writes the model with an adapter in its weights, as PEFT's `merge_and_unload` gives it: a folder
 * for transformers, or a GGUF file.
 * @returns the exit code
 */
export async function runMerge(
  { settings }: Settled<typeof MERGE_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const { model: reference, task, labels, token, verify, adapter_revision } = settings;
  const [{ reference: path, weight: scale }] = weightedReferences([settings.adapter_path]) as [
    WeightedReference,
  ];
  const adapter = { reference: path, revision: adapter_revision, token, verify };
  const note = (line: string) => terminal.note(line);
  const onWarning = (line: string) => note(`warning: ${line}`);
  const merging = { dequantize: settings.dequantize, scale, onWarning };
  const output =
    settings.gguf === undefined
      ? folderOutput(settings, merging)
      : ggufOutput(settings, merging, settings.gguf);
  await output.claim();
  const data = hasLabels(task) ? [] : undefined;
  const head = chooseHead({ task, given: labels, adapters: [adapter], data, seed: 0 });
  const { model: base, files } = await openCliTask(settings, note, head);
  const { model, adapter: loaded } = await openCliAdapter(base, adapter, note, { strict: !settings.force });
  const merged = await output.make(model, loaded, files, note);
  const interrupt = watchInterrupt(() => terminal.note("Stopping, and removing what was written."));
  const superseded = await output.superseded();
  const writing = writeUnlessInterrupted(folderWriter(output.folder), merged, interrupt, superseded);
  const removed = await writing.finally(interrupt.release);
  if (removed) {
    if (removed.length > 0) terminal.note(`Removed from ${output.folder}: ${removed.join(", ")}.`);
    const [from, into] = [adapter.reference, reference].map(shownReference);
    terminal.print(`Merged ${from} into ${into}: ${loaded.sites.length} layers. Saved to ${output.shown}.`);
  }
  return interrupt.exitCode ?? 0;
}

/** Where a merged model goes, and in which form. */
interface Output {
  readonly folder: string;
  /** As the user named it. */
  readonly shown: string;
  /** @throws LoraError where nothing can be written there */
  claim(): Promise<void>;
  make(
    model: LoadedModel,
    adapter: Adapter,
    files: FileSource,
    note: (line: string) => void,
  ): Promise<Map<string, FileContent>>;
  superseded(): Promise<((name: string) => boolean) | undefined>;
}

function folderOutput({ output_dir, model: reference }: MergeSettings, merging: MergeOptions): Output {
  return {
    folder: output_dir,
    shown: output_dir,
    async claim() {
      await checkMergedFolder(output_dir, reference);
      claimOutputFolder(output_dir);
    },
    make: (model, adapter, files) => mergedFiles(model, adapter, files, merging),
    superseded: () => supersededIn(output_dir),
  };
}

function ggufOutput({ gguf_type }: MergeSettings, merging: MergeOptions, path: string): Output {
  const [folder, name] = [dirname(path), basename(path)];
  return {
    folder,
    shown: path,
    async claim() {
      claimOutputFolder(folder, { files: [name] });
    },
    async make(model, adapter, files, note) {
      const { content, warnings } = await ggufModel(model, adapter, files, { type: gguf_type, ...merging });
      for (const warning of warnings) note(`warning: ${warning}`);
      const written = new Map<string, FileContent>([[name, content]]);
      if (model.task !== "causal-lm") return written;
      if (existsSync(join(folder, MODELFILE))) note(`${MODELFILE} is there already, and stays as it is.`);
      else written.set(MODELFILE, modelfile(model, { from: `./${name}` }));
      return written;
    },
    superseded: async () => undefined,
  };
}
