import { float32View, float64View, uint16View } from "../../util/bytes.ts";
import { attempt, failAll, type Problem } from "../../util/fail.ts";
import { decodeBf16, decodeF16 } from "../../util/half.ts";
import { patternMatcher } from "../../util/module-patterns.ts";
import { type FileSource, readJson } from "../files/files.ts";
import {
  type ParsedPeftConfig,
  type PeftLoraConfig,
  parsePeftConfig,
  peftConfigProblems,
  peftConfigText,
} from "./peft-config.ts";
import { failWithoutWeights, PEFT_CONFIG, PEFT_WEIGHTS, refuseMisnamed, refuseMlx } from "./peft-foreign.ts";
import { sortedPattern, unmatchedKeys } from "./peft-patterns.ts";
import { type LoraPair, listed, pairTensors } from "./peft-tensors.ts";
import { readHeader, type SafetensorsHeader, type TensorInfo } from "./safetensors.ts";
import { type TensorEntry, writeSafetensors } from "./safetensors-writer.ts";

export { type PeftLoraConfig, parsePeftConfig, peftConfigText, peftLoraConfig } from "./peft-config.ts";
export { peftPatterns, sortedPattern } from "./peft-patterns.ts";

/** A tensor in main memory: row-major f32. */
export interface AdapterTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** LoRA of one linear layer: y += scale · lora_B · lora_A · x. */
export interface PeftModule {
  /** `[r, in]`. */
  readonly lora_A: AdapterTensor;
  /** `[out, r]`. */
  readonly lora_B: AdapterTensor;
  /** Rank, from the shapes. */
  readonly r: number;
  /** lora_alpha, or the value of alpha_pattern. */
  readonly alpha: number;
  /** alpha / r, or alpha / √r with `use_rslora`. */
  readonly scale: number;
}

/** An adapter as it lies in PEFT's files. */
export interface PeftAdapter {
  readonly config: PeftLoraConfig;
  /** By module path, such as `model.layers.0.self_attn.q_proj`. */
  readonly tensors: ReadonlyMap<string, PeftModule>;
  /** Tensors of modules that were trained whole (modules_to_save), by name, such as `classifier.weight`. */
  readonly saved: ReadonlyMap<string, AdapterTensor>;
  /** What deserves attention but is no error, one line each. */
  readonly warnings: readonly string[];
}

/** What it takes to write an adapter; a {@link PeftAdapter} is one. */
export interface WritableAdapter {
  readonly config: PeftLoraConfig;
  /** By module path. `alpha`, where given, is checked against the configuration. */
  readonly tensors: ReadonlyMap<string, Pick<PeftModule, "lora_A" | "lora_B"> & { readonly alpha?: number }>;
  /** Tensors of modules that were trained whole, by name; `modules_to_save` must name their modules. */
  readonly saved?: ReadonlyMap<string, AdapterTensor>;
}

/**
 * The files of an adapter, byte for byte what PEFT 0.21 saves for the same tensors in f32.
 * Modules whose rank or alpha differs from `r` and `lora_alpha` need `peftPatterns` in the configuration.
 * @throws LoraError that lists every field, shape, rank and alpha that PEFT would not load as meant.
 */
export function peftFiles(adapter: WritableAdapter): Map<string, Uint8Array | string> {
  failAll("peftFiles", [...peftConfigProblems(adapter.config), ...writeProblems(adapter)]);
  const pairs = [...adapter.tensors].flatMap(([path, { lora_A, lora_B }]) => [
    entryOf(`${path}.lora_A.weight`, lora_A),
    entryOf(`${path}.lora_B.weight`, lora_B),
  ]);
  const entries = [...pairs, ...[...(adapter.saved ?? [])].map(([name, tensor]) => entryOf(name, tensor))];
  return new Map<string, Uint8Array | string>([
    [PEFT_CONFIG, peftConfigText(adapter.config)],
    [PEFT_WEIGHTS, writeSafetensors(entries, { format: "pt" })],
  ]);
}

function entryOf(name: string, { shape, data }: AdapterTensor): TensorEntry {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { name: `base_model.model.${name}`, dtype: "F32", shape, data: bytes };
}

function writeProblems({ config, tensors }: WritableAdapter): string[] {
  const ranks = patternMatcher(sortedPattern(config.rank_pattern));
  const alphas = patternMatcher(sortedPattern(config.alpha_pattern));
  return [...tensors].flatMap(([path, { lora_A, lora_B, alpha }]) => {
    const rank = ranks(path)[0] ?? config.r;
    const configured = alphas(path)[0] ?? config.lora_alpha;
    const problems = [...shapeProblems(path, "lora_A", lora_A), ...shapeProblems(path, "lora_B", lora_B)];
    if (problems.length === 0 && (lora_A.shape[0] !== rank || lora_B.shape[1] !== rank)) {
      const shapes = `lora_A is [${lora_A.shape}] and lora_B [${lora_B.shape}]`;
      problems.push(`${path}: ${shapes}, but the configuration gives it r ${rank}; see peftPatterns`);
    }
    if (alpha !== undefined && alpha !== configured) {
      problems.push(
        `${path}: alpha is ${alpha}, but the configuration gives it ${configured}; see peftPatterns`,
      );
    }
    return problems;
  });
}

function shapeProblems(path: string, part: string, { shape, data }: AdapterTensor): string[] {
  if (shape.length !== 2) return [`${path}: ${part} is [${shape}], expected two axes`];
  const count = shape[0]! * shape[1]!;
  return data.length === count ? [] : [`${path}: ${part} is [${shape}], but has ${data.length} values`];
}

/**
 * Reads an adapter that PEFT saved, any version. Keys may lack the prefix `base_model.model.` and may carry the
 * adapter's name; tensors may be f32, f16, bf16 or f64 (rounded to f32). Each tensor of the file is accounted for: what the engine cannot
 * apply is refused, never dropped.
 * @throws LoraError that lists every problem of both files; for the adapter of another tool it says which.
 */
export async function readPeftAdapter(files: FileSource): Promise<PeftAdapter> {
  await refuseMlx(files);
  const problems: Problem[] = [];
  const parsed = await attempt(problems, () => readConfig(files));
  const header = await attempt(problems, () => readWeightsHeader(files));
  const sorted = pairTensors(header?.tensors ?? new Map(), parsed?.config);
  const found = header ? sorted.problems.map((problem) => `${PEFT_WEIGHTS}: ${problem}`) : [];
  failAll(files.label, [...problems, ...found], header && sorted.remedies);
  const { config } = parsed!;
  const tensors = await readModules(files, sorted.pairs, config);
  const values = await readTensors(files, [...sorted.saved.values()]);
  const saved = [...sorted.saved].map(([name, info]): [string, AdapterTensor] => [
    name,
    { shape: info.shape, data: values.get(info.name)! },
  ]);
  return {
    config,
    tensors,
    saved: new Map(saved),
    warnings: [...parsed!.warnings, ...sorted.warnings, ...patternWarnings(config, tensors)],
  };
}

async function readConfig(files: FileSource): Promise<ParsedPeftConfig> {
  return parsePeftConfig(await readJson(files, PEFT_CONFIG), `${files.label}/${PEFT_CONFIG}`);
}

async function readWeightsHeader(files: FileSource): Promise<SafetensorsHeader> {
  const size = await files.size(PEFT_WEIGHTS);
  if (size === undefined) return failWithoutWeights(files);
  await refuseMisnamed(files, size);
  return readHeader(files, PEFT_WEIGHTS);
}

async function readModules(
  files: FileSource,
  pairs: ReadonlyMap<string, LoraPair>,
  config: PeftLoraConfig,
): Promise<Map<string, PeftModule>> {
  const data = await readTensors(
    files,
    [...pairs.values()].flatMap(({ A, B }) => [A, B]),
  );
  const tensorOf = (info: TensorInfo): AdapterTensor => ({ shape: info.shape, data: data.get(info.name)! });
  const alphas = patternMatcher(config.alpha_pattern);
  const modules = [...pairs].map(([path, { A, B }]): [string, PeftModule] => {
    const r = A.shape[0]!;
    const alpha = alphas(path)[0] ?? config.lora_alpha;
    const scale = alpha / (config.use_rslora ? Math.sqrt(r) : r);
    return [path, { lora_A: tensorOf(A), lora_B: tensorOf(B), r, alpha, scale }];
  });
  return new Map(modules);
}

/** Bytes of one read: few requests over a network, and never a whole large file twice in memory. */
const BATCH_BYTES = 64 * 1024 * 1024;

/** Values of the tensors by name. Neighbours in the file are read together. */
async function readTensors(
  files: FileSource,
  infos: readonly TensorInfo[],
): Promise<Map<string, Float32Array>> {
  const values = new Map<string, Float32Array>();
  for (const batch of batches(infos)) {
    const start = batch[0]!.begin;
    const bytes = await files.read(PEFT_WEIGHTS, start, batch.at(-1)!.end);
    for (const info of batch)
      values.set(info.name, decode(info, bytes.slice(info.begin - start, info.end - start)));
  }
  return values;
}

function batches(infos: readonly TensorInfo[]): TensorInfo[][] {
  const groups: TensorInfo[][] = [];
  for (const info of infos.toSorted((a, b) => a.begin - b.begin)) {
    const last = groups.at(-1);
    if (last && info.end - last[0]!.begin <= BATCH_BYTES) last.push(info);
    else groups.push([info]);
  }
  return groups;
}

function decode({ dtype }: TensorInfo, bytes: Uint8Array): Float32Array {
  if (dtype === "F32") return float32View(bytes);
  if (dtype === "F64") return Float32Array.from(float64View(bytes));
  return dtype === "F16" ? decodeF16(uint16View(bytes)) : decodeBf16(uint16View(bytes));
}

/** Patterns that match nothing, and modules whose alpha hangs on the order of the keys. */
function patternWarnings(config: PeftLoraConfig, modules: ReadonlyMap<string, PeftModule>): string[] {
  const paths = [...modules.keys()];
  const warnings = (["rank_pattern", "alpha_pattern"] as const).flatMap((field) =>
    unmatchedKeys(config[field], paths).map(
      (key) => `${PEFT_CONFIG}: the key ${JSON.stringify(key)} of ${field} matches no module`,
    ),
  );
  const alphas = patternMatcher(config.alpha_pattern);
  const unclear = paths.filter((path) => new Set(alphas(path)).size > 1);
  if (unclear.length > 0) {
    const text = `${PEFT_CONFIG}: several keys of alpha_pattern match, of which the first counts, as in PEFT`;
    warnings.push(`${text}: ${listed(unclear)}`);
  }
  return warnings;
}
