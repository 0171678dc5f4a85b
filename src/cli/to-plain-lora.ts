import { LORA } from "../adapters/lora/lora-codec.ts";
import type { PeftLoraConfig } from "../adapters/lora/lora-fields.ts";
import { beyondPlainLora } from "../adapters/lora/lora-variants.ts";
import type { TrainingTask } from "../data/task-names.ts";
import { type FileContent, type FileSource, memoryFiles, readObject } from "../io/files/files.ts";
import { PEFT_CONFIG } from "../io/formats/peft-names.ts";
import { loadAdapter } from "../load/adapter.ts";
import { combineAdapters } from "../load/combine/combine-adapters.ts";
import { convertStart, weightStartOf } from "../load/convert/convert-start.ts";
import { ggufBaseOf, inPeftFormat } from "../load/convert/formats.ts";
import { convertToLora } from "../load/convert/to-lora.ts";
import type { LoadedModel } from "../load/model.ts";
import { readStoredAdapter } from "../load/stored-adapter.ts";
import type { HfConfig } from "../models/config-reader.ts";
import { fail } from "../util/fail.ts";
import { chooseHead } from "./labels.ts";
import type { LoraLayer } from "./lora-layers.ts";
import { adapterReplication, openCliTask } from "./open.ts";
import { hasLabels } from "./task-settings.ts";

/** Which adapter is to be LoRA of which rank, on which model. */
interface PlainLoraSettings {
  readonly model: string | undefined;
  readonly task: TrainingTask;
  readonly labels: readonly string[];
  readonly revision: string | undefined;
  readonly token: string | undefined;
  readonly verify: boolean;
  readonly lora_rank: number | undefined;
}

/** Plain LoRA that was made of an adapter. */
export interface PlainLora {
  /** What it was made of, such as `DoRA`. */
  readonly from: string;
  readonly files: Map<string, FileContent>;
  /** The same files, to be read. */
  readonly source: FileSource;
  readonly layers: readonly LoraLayer[];
}

/**
 * Makes plain LoRA of an adapter. Of LoRA itself the base model is not needed; of all others its weights are.
 * @throws LoraError as `combineAdapters` and `convertToLora` do
 */
export async function toPlainLora(
  given: FileSource,
  settings: PlainLoraSettings,
  baseConfig: (name: string | null) => Promise<HfConfig>,
  note: (line: string) => void,
): Promise<PlainLora> {
  const { lora_rank: rank = 1 } = settings;
  const files = await inPeftFormat(given, async (name) => ggufBaseOf(await baseConfig(name), given.label));
  const { kind, ...stored } = await readStoredAdapter(files);
  const config = stored.config as PeftLoraConfig;
  const isLora = kind.type === LORA.type;
  const isPlain = isLora && beyondPlainLora(config, stored).length === 0;
  const onWarning = (warning: string) => note(`warning: ${warning}`);
  const made = isPlain
    ? await combineAdapters([{ files }], { combinationType: "svd", svdRank: rank, onWarning })
    : await fromModel(files, config.base_model_name_or_path, { ...settings, rank }, note);
  const from = !isLora ? kind.type : config.use_dora ? "DoRA" : isPlain ? "LoRA" : "LoRA with biases";
  return { from, ...made, source: sourceOf(given, made.files) };
}

/**
 * Makes plain LoRA of one that PEFT saved as it was trained, on a base model without its beginning; undefined where the
 * adapter began otherwise.
 * @throws LoraError as `convertStart` does
 */
export async function toPlainStart(
  given: FileSource,
  settings: PlainLoraSettings,
  note: (line: string) => void,
): Promise<PlainLora | undefined> {
  const start = await weightStartOf(given);
  if (!start) return undefined;
  const { base_model_name_or_path: named } = await readObject(given, PEFT_CONFIG);
  const model = await openBase(given, typeof named === "string" ? named : null, settings, note);
  note(`Beginning as ${start} once more: decomposing the weights`);
  const made = await convertStart(model, given, { onWarning: (line) => note(`warning: ${line}`) });
  return { from: start, ...made, source: sourceOf(given, made.files) };
}

function sourceOf({ label }: FileSource, files: ReadonlyMap<string, FileContent>): FileSource {
  const bytes = [...files].map(([name, content]): [string, Uint8Array] => [
    name,
    typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array),
  ]);
  return memoryFiles(label, new Map(bytes));
}

async function fromModel(
  files: FileSource,
  named: string | null,
  settings: PlainLoraSettings & { readonly rank: number },
  note: (line: string) => void,
) {
  const model = await openBase(files, named, settings, note);
  const adapter = await loadAdapter(model, files, { onWarning: (line) => note(`warning: ${line}`) });
  return convertToLora(model, adapter, { rank: settings.rank });
}

/** The base model with its weights, and a head for the adapter's task. */
async function openBase(
  adapter: FileSource,
  named: string | null,
  settings: PlainLoraSettings,
  note: (line: string) => void,
): Promise<LoadedModel> {
  const { task, labels: given, revision, token, verify } = settings;
  const reference =
    settings.model ??
    named ??
    fail("convert", "the adapter names no base model, whose weights are needed", "name it: --model REF");
  if (await adapterReplication([adapter])) {
    const got =
      "layer_replication is set: plain LoRA and other formats have no place for layers stacked anew";
    fail(adapter.label, got, "keep it as it is, beside its base model");
  }
  const precision = {
    quantization: undefined,
    quantization_block: undefined,
    double_quantization: false,
    offload: false,
  };
  const wanted = { model: reference, revision, token, verify, ...precision, skip_modules: [] };
  const data = hasLabels(task) ? [] : undefined;
  const head = chooseHead({ task, given, adapters: [adapter], data, seed: 0 });
  return (await openCliTask(wanted, note, head)).model;
}
