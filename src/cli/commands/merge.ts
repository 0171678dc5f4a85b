import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Adapter } from "../../adapters/adapter.ts";
import { headTask } from "../../data/task-names.ts";
import type { Device } from "../../gpu/device.ts";
import { shownReference } from "../../io/files/address.ts";
import type { FileContent, FileSource } from "../../io/files/files.ts";
import { ggufModel } from "../../load/gguf-model.ts";
import { type MergeOptions, mergedFiles } from "../../load/merge.ts";
import { type LoadedModel, openTaskModel } from "../../load/model.ts";
import { MODELFILE, modelfile } from "../../load/ollama.ts";
import { folderWriter } from "../../platform/node-folders/folder-writer.ts";
import { checkMergedFolder, supersededIn } from "../../platform/node-folders/merged-folder.ts";
import { resolveModelFiles } from "../../platform/node-sources.ts";
import { fail } from "../../util/fail.ts";
import { watchInterrupt, writeUnlessInterrupted } from "../interrupt.ts";
import { chooseHead } from "../labels.ts";
import { openCliAdapter, openCliTask } from "../open.ts";
import { claimOutputFolder } from "../output-folder.ts";
import { type Settled, settle } from "../settings.ts";
import { EVAL_OPTIONS } from "../tables/eval.ts";
import type { MERGE_OPTIONS } from "../tables/merge.ts";
import { checkTaskSettings, hasLabels } from "../task-settings.ts";
import { TASKS } from "../tasks.ts";
import type { Terminal } from "../terminal.ts";
import { type WeightedReference, weightedReferences } from "../weighted-adapters.ts";

type MergeSettings = Settled<typeof MERGE_OPTIONS>["settings"];

/** @throws LoraError where settings contradict each other */
export function checkMergeSettings(settled: Settled<typeof MERGE_OPTIONS>): void {
  checkTaskSettings(settled);
  const { settings, given } = settled;
  if (settings.gguf === undefined) {
    if (settings.dequantize && settings.requantize)
      fail("merge", "dequantize and requantize are both given", "leave one out");
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
  const [isFolders] = (["requantize", "eval_data"] as const).filter((name) => given.has(name));
  if (isFolders) fail(isFolders, "a GGUF file is not read again here", "leave it out, or leave out --gguf");
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
  const { dequantize, requantize } = settings;
  const merging = { dequantize, requantize, scale, onWarning };
  const output =
    settings.gguf === undefined
      ? folderOutput(settings, merging)
      : ggufOutput(settings, merging, settings.gguf);
  await output.claim();
  const measured = settings.eval_data === undefined ? undefined : await openMeasured(settings);
  const data = hasLabels(task) ? [] : undefined;
  const head = chooseHead({ task, given: labels, adapters: [adapter], data, seed: 0 });
  const { model: base, files } = await openCliTask(settings, note, head);
  const { model, adapter: loaded } = await openCliAdapter(base, adapter, note, { strict: !settings.force });
  const merged = await output.make(model, loaded, files, note);
  const before = await measured?.(model, note);
  const interrupt = watchInterrupt(() => terminal.note("Stopping, and removing what was written."));
  const superseded = await output.superseded();
  const writing = writeUnlessInterrupted(folderWriter(output.folder), merged, interrupt, superseded);
  const removed = await writing.finally(interrupt.release);
  if (removed) {
    if (removed.length > 0) terminal.note(`Removed from ${output.folder}: ${removed.join(", ")}.`);
    const [from, into] = [adapter.reference, reference].map(shownReference);
    terminal.print(`Merged ${from} into ${into}: ${loaded.sites.length} layers. Saved to ${output.shown}.`);
    if (measured && before !== undefined) {
      model.release();
      const after = await measured(await openMerged(settings, model.device), () => {});
      terminal.print(describeLosses(before, after));
    }
  }
  return interrupt.exitCode ?? 0;
}

/** The loss of the rows of `eval_data` by a model. */
async function openMeasured(settings: MergeSettings) {
  const { task, labels, model, eval_data } = settings;
  const given = Object.entries({ task, model, data: eval_data, ...(labels.length > 0 && { labels }) });
  const values = given.map(([key, value]) => ({ key, name: key, value }));
  const own = settle("merge", EVAL_OPTIONS, [values]).settings;
  const rows = await TASKS[task].readTest(own);
  return async (model: LoadedModel, note: (line: string) => void): Promise<number> => {
    const bound = await rows.bind(model, own, note);
    return (await bound.evaluate(own.batch_size)).loss;
  };
}

/** The model that was written. */
async function openMerged({ task, output_dir }: MergeSettings, device: Device): Promise<LoadedModel> {
  const files = await resolveModelFiles(output_dir, {});
  return openTaskModel(files, device, { task: headTask(task) });
}

function describeLosses(before: number, after: number): string {
  const change = 100 * (after / before - 1);
  const signed = `${change < -0.005 ? "-" : "+"}${Math.abs(change).toFixed(2)}`;
  return `Loss: ${before.toFixed(4)} with the adapter beside its base, ${after.toFixed(4)} merged (${signed} %).`;
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
