import { configOf } from "../../adapters/config-fields.ts";
import { changeFigures } from "../../adapters/inspect/change-figures.ts";
import { LORA, peftLoraConfig } from "../../adapters/lora/lora-codec.ts";
import type { PeftLoraConfig } from "../../adapters/lora/lora-fields.ts";
import { elementCount } from "../../gpu/tensor.ts";
import { type FileSource, readObject, requireFiles } from "../../io/files/files.ts";
import { readHeader, type TensorInfo } from "../../io/formats/safetensors.ts";
import { replicatedOrder, replicationOf } from "../../nn/replicate.ts";
import { append } from "../../util/arrays.ts";
import { LoraError } from "../../util/fail.ts";
import { nonFinite } from "../../util/finite.ts";
import { shortList } from "../../util/group-lines.ts";
import { asText, type JsonObject } from "../../util/json.ts";
import { callback, checkOptions, objectOf, type Rules } from "../../util/options.ts";
import { changeOf } from "../combine/combine-adapters.ts";
import { loraPairs, type PeftAdapter, type PeftModule } from "../lora-files.ts";
import { ofOwnLayout, readStoredAdapter } from "../stored-adapter.ts";
import { type BaseWeight, baseNorms } from "./base-norms.ts";
import { readModelCard } from "./model-card.ts";
import type { AdapterFinding, AdapterReport, LayerReport, OtherTensor } from "./report.ts";

/** Options of {@link inspectAdapter}. */
export interface InspectAdapterOptions {
  /** The base model's files: the norms of its weights are put beside those of the changes. */
  base?: FileSource | undefined;
  /** Called before each layer. */
  onProgress?: ((done: number, of: number) => void) | undefined;
}

const RULES: Rules<InspectAdapterOptions> = { base: objectOf("files"), onProgress: callback() };

const [CONFIG, WEIGHTS] = ["adapter_config.json", "adapter_model.safetensors"];

/**
 * What a PEFT adapter is, where it comes from and how much it changes. Of one that the engine cannot apply it tells what the
 * files say, and why it can't.
 * @throws LoraError where there is no adapter, or the base model can't be read
 */
export async function inspectAdapter(
  files: FileSource,
  options: InspectAdapterOptions = {},
): Promise<AdapterReport> {
  requireFiles("inspectAdapter", files);
  checkOptions("inspectAdapter", options, RULES);
  const given = await readObject(files, CONFIG, "give the folder of a PEFT adapter");
  const own = await ofOwnLayout(given);
  const config = own?.json ?? given;
  const weights = own?.kind.codec.layout?.weights ?? WEIGHTS;
  const read = await readOrExplain(files);
  const tensors = (await storedTensors(files, weights)) ?? new Map<string, TensorInfo>();
  const findings: AdapterFinding[] = [...read.findings];
  const { layers, others } = read.adapter
    ? await describeLayers(read.adapter, tensors, options, findings)
    : { layers: [], others: [...tensors.values()].map(otherTensor) };
  const changes = read.adapter && changesAnything(read.adapter, findings);
  const card = await readModelCard(files);
  return {
    label: files.label,
    type: asText(config.peft_type) ?? "unknown",
    settings: settingsOf(config, own && { ...configOf(own.kind.codec, {}) }),
    origin: {
      baseModel: asText(config.base_model_name_or_path) ?? null,
      revision: asText(config.revision) ?? null,
      peftVersion: asText(config.peft_version) ?? null,
      ...(card && { card }),
    },
    parameters: total(tensors, ({ shape }) => elementCount(shape)),
    bytes: total(tensors, ({ begin, end }) => end - begin),
    dtypes: countDtypes(tensors),
    layers,
    others,
    changes,
    ...(options.base && { base: options.base.label }),
    findings,
  };
}

/** The adapter where it is LoRA, and what is odd about it; or why it can't be applied. */
async function readOrExplain(
  files: FileSource,
): Promise<{ adapter?: PeftAdapter; findings: AdapterFinding[] }> {
  const warn = (message: string, help = "it is read all the same"): AdapterFinding => ({
    level: "warning",
    message,
    help,
  });
  try {
    const { kind, ...stored } = await readStoredAdapter(files);
    const findings = stored.warnings.map((text) => warn(text));
    if (kind.type !== LORA.type)
      return { findings: [...findings, warn("how much it changes is measured of LoRA alone", COMPARE)] };
    const beyond = beyondFigures(stored.config as PeftLoraConfig).map((text) => warn(text, COMPARE));
    return { adapter: loraPairs(stored), findings: [...findings, ...beyond] };
  } catch (error) {
    if (!(error instanceof LoraError) || error.kind === "network") throw error;
    const [message = "", ...help] = error.message.split("\n  → ");
    return { findings: [{ level: "error", message, help: help.join("; ") }] };
  }
}

const COMPARE = "compare what the model says with it and without";

/** What the figures of scale · B A do not tell of this LoRA. */
function beyondFigures(config: PeftLoraConfig): string[] {
  return [
    ...(config.use_dora
      ? ["ΔW is scale · B A; DoRA's magnitudes, which change the weights too, are not in it"]
      : []),
    ...(config.alora_invocation_tokens
      ? ["ΔW acts on the tokens from alora_invocation_tokens on alone"]
      : []),
    ...(config.init_lora_weights === "loftq"
      ? ["ΔW belongs to a base that was rounded with it (LoftQ)"]
      : []),
  ];
}

async function storedTensors(
  files: FileSource,
  weights: string,
): Promise<ReadonlyMap<string, TensorInfo> | undefined> {
  try {
    return (await readHeader(files, weights)).tensors;
  } catch (error) {
    if (!(error instanceof LoraError) || error.kind === "network") throw error;
    return undefined; // readOrExplain has told why
  }
}

async function describeLayers(
  adapter: PeftAdapter,
  tensors: ReadonlyMap<string, TensorInfo>,
  { base, onProgress }: InspectAdapterOptions,
  findings: AdapterFinding[],
): Promise<{ layers: LayerReport[]; others: OtherTensor[] }> {
  const formats = formatsOf(tensors);
  const paths = [...adapter.tensors.keys()];
  const norms = base ? await normsOf(base, paths, adapter.config) : new Map<string, BaseWeight>();
  if (base) append(findings, misfits(adapter, norms, base.label));
  const layers = paths.map((path, i) => {
    onProgress?.(i, paths.length);
    return describeLayer(path, adapter.tensors.get(path)!, formats.get(path) ?? "", norms.get(path)?.norm);
  });
  const others = [...tensors.values()].filter(({ name }) => !LORA_TENSOR.test(name));
  return { layers, others: others.map(otherTensor) };
}

/** The norms of a base model's weights by the layers' paths, also where its layers are stacked anew. */
async function normsOf(
  base: FileSource,
  paths: readonly string[],
  { layer_replication }: PeftLoraConfig,
): Promise<Map<string, BaseWeight>> {
  const order = replicatedOrder(replicationOf(layer_replication) ?? []);
  const own = (path: string) =>
    path.replace(/(?<=^(?:.*\.)?layers\.)\d+(?=\.)/, (number) => String(order[Number(number)] ?? number));
  const norms = await baseNorms(base, [...new Set(paths.map(own))]);
  return new Map(
    paths.flatMap((path) => {
      const weight = norms.get(own(path));
      return weight ? [[path, weight] as const] : [];
    }),
  );
}

const LORA_TENSOR = /^(?:base_model\.(?:model\.)?)*(.+)\.lora_(?:embedding_)?[AB](?:\.|$)/;

/** The number formats by module path. */
function formatsOf(tensors: ReadonlyMap<string, TensorInfo>): Map<string, string> {
  const found = [...tensors.values()].map(
    ({ name, dtype }) => [LORA_TENSOR.exec(name)?.[1] ?? "", dtype] as const,
  );
  return new Map(found);
}

function describeLayer(
  path: string,
  module: PeftModule,
  dtype: string,
  baseNorm: number | undefined,
): LayerReport {
  const { inFeatures, outFeatures } = changeOf(module);
  const { r, alpha, scale } = module;
  const figures = hasNumbers(module) ? changeFigures(changeOf(module)) : undefined;
  const compared = baseNorm === undefined ? {} : { baseNorm };
  const ratio = figures && baseNorm ? { ratio: figures.norm / baseNorm } : {};
  return { path, inFeatures, outFeatures, r, alpha, scale, dtype, ...figures, ...compared, ...ratio };
}

function hasNumbers({ lora_A, lora_B }: PeftModule): boolean {
  return [lora_A, lora_B].every(({ data }) => nonFinite(data, "f32") === undefined);
}

/** Layers that the base model lacks or has in another size. */
function misfits(
  { tensors }: PeftAdapter,
  norms: ReadonlyMap<string, BaseWeight>,
  base: string,
): AdapterFinding[] {
  const help = "give the base model that the adapter was trained on";
  const missing = [...tensors.keys()].filter((path) => !norms.has(path));
  const other = [...tensors].filter(([path, { lora_A, lora_B }]) => {
    const sizes = [lora_B.shape[0], lora_A.shape[1]];
    const stored = norms.get(path)?.shape;
    return stored && stored.join() !== sizes.join() && stored.join() !== sizes.reverse().join(); // GPT-2 stores [in, out]
  });
  const named = (paths: readonly string[], what: string): AdapterFinding[] =>
    paths.length === 0 ? [] : [{ level: "error", message: `${base} ${what} ${shortList(paths)}`, help }];
  return [
    ...named(missing, "lacks"),
    ...named(
      other.map(([path]) => path),
      "has other sizes at",
    ),
  ];
}

/** Whether the adapter does anything, where that can be told without its base, and what is wrong with its numbers. */
function changesAnything(
  { config, tensors, saved }: PeftAdapter,
  findings: AdapterFinding[],
): boolean | undefined {
  const spoilt = [...tensors].filter(([, module]) => !hasNumbers(module)).map(([path]) => path);
  const others = [...saved]
    .filter(([, { data }]) => nonFinite(data, "f32") !== undefined)
    .map(([name]) => name);
  if (spoilt.length + others.length > 0)
    findings.push({
      level: "error",
      message: `NaN or infinity in ${shortList([...spoilt, ...others])}`,
      help: "take the adapter from before its training diverged",
    });
  const idle = [...tensors].filter(([, module]) => isZero(module)).map(([path]) => path);
  const changes = idle.length < tensors.size || saved.size > 0;
  const { use_dora, lora_bias, trainable_token_indices: rows } = config;
  if (!changes && (use_dora || lora_bias || rows !== null)) return undefined;
  if (!changes)
    findings.push({
      level: "error",
      message: "the adapter has no effect: lora_B or lora_A is 0 in every layer",
      help: "it was saved before its first step, or its training did not reach it (gradients that were off, another adapter active)",
    });
  else if (idle.length > 0)
    findings.push({
      level: "warning",
      message: `no effect at ${shortList(idle)}: lora_B or lora_A is 0`,
      help: "training did not reach these layers; they can be left out",
    });
  return changes;
}

function isZero({ lora_A, lora_B, scale }: PeftModule): boolean {
  return scale === 0 || [lora_A, lora_B].some(({ data }) => data.every((value) => value === 0));
}

/** The fields whose values differ from PEFT's defaults, without those that are told elsewhere. */
function settingsOf(
  config: JsonObject,
  usual: Readonly<Record<string, unknown>> = { ...peftLoraConfig({}), r: undefined, lora_alpha: undefined },
): Record<string, unknown> {
  const told = [
    "peft_type",
    "base_model_name_or_path",
    "revision",
    "peft_version",
    "inference_mode",
    "auto_mapping",
  ];
  const isUsual = (name: string) => JSON.stringify(config[name]) === JSON.stringify(usual[name]);
  const isEmpty = (value: unknown) => value === null || JSON.stringify(value) === "{}";
  return Object.fromEntries(
    Object.entries(config).filter(
      ([name, value]) => !told.includes(name) && !isUsual(name) && !isEmpty(value),
    ),
  );
}

function otherTensor({ name, shape, dtype }: TensorInfo): OtherTensor {
  return { name, shape, dtype };
}

function total(tensors: ReadonlyMap<string, TensorInfo>, of: (tensor: TensorInfo) => number): number {
  return [...tensors.values()].reduce((sum, tensor) => sum + of(tensor), 0);
}

function countDtypes(tensors: ReadonlyMap<string, TensorInfo>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { dtype, shape } of tensors.values()) counts[dtype] = (counts[dtype] ?? 0) + elementCount(shape);
  return counts;
}
