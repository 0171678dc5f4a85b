import { asAny, type StoredAdapter } from "../adapters/codec.ts";
import { configProblems } from "../adapters/config-fields.ts";
import { LORA, storedRanks } from "../adapters/lora/lora-codec.ts";
import type { PeftLoraConfig } from "../adapters/lora/lora-fields.ts";
import { branchesOf } from "../adapters/lora/lora-stored.ts";
import { beyondPlainLora } from "../adapters/lora/lora-variants.ts";
import { sortedPattern } from "../adapters/sites/patterns.ts";
import type { FileSource } from "../io/files/files.ts";
import { fail, failAll } from "../util/fail.ts";
import type { HostTensor } from "../util/host-tensor.ts";
import { patternMatcher } from "../util/module-patterns.ts";
import { storedAdapterFiles } from "./adapter-writer.ts";
import { readStoredAdapter } from "./stored-adapter.ts";

// LoRA's files without a model, for what works on the matrices themselves: combining, converting.

/** LoRA of one layer: y += scale · lora_B · lora_A · x. */
export interface PeftModule {
  /** `[r, in]`; of an embedding `[r, rows]`. */
  readonly lora_A: HostTensor;
  /** `[out, r]`. */
  readonly lora_B: HostTensor;
  /** Rank, from the shapes. */
  readonly r: number;
  /** lora_alpha, or the value of alpha_pattern. */
  readonly alpha: number;
  /** alpha / r, or alpha / √r with `use_rslora`. */
  readonly scale: number;
}

/** A LoRA adapter as it lies in PEFT's files. */
export interface PeftAdapter extends Pick<StoredAdapter<PeftLoraConfig>, "config" | "saved" | "warnings"> {
  /** By module path, such as `model.layers.0.self_attn.q_proj`. */
  readonly tensors: ReadonlyMap<string, PeftModule>;
}

/** What it takes to write an adapter; a {@link PeftAdapter} is one. */
export interface WritableLora {
  readonly config: PeftLoraConfig;
  /** By module path. `alpha`, where given, is checked against the configuration. */
  readonly tensors: ReadonlyMap<string, Pick<PeftModule, "lora_A" | "lora_B"> & { readonly alpha?: number }>;
  /** Tensors of modules that were trained whole, by name; `modules_to_save` must name their modules. */
  readonly saved?: ReadonlyMap<string, HostTensor>;
}

/**
 * Reads an adapter of plain LoRA.
 * @throws LoraError as {@link readStoredAdapter} does, and for another method's, or what has more than lora_A and lora_B
 */
export async function readPeftAdapter(files: FileSource): Promise<PeftAdapter> {
  const { kind, ...stored } = await readStoredAdapter(files);
  if (kind.type !== LORA.type) {
    const help = kind.becomesLora ? BECOMES_LORA : STAYS;
    fail(files.label, `is an adapter of ${kind.type}, wanted one of ${LORA.type}`, help);
  }
  const obstacles = beyondPlainLora(stored.config as PeftLoraConfig, stored);
  const remedies = new Set(obstacles.map(({ remedy }) => remedy));
  failAll(
    files.label,
    obstacles.map(({ problem }) => problem),
    [...remedies],
  );
  return loraPairs(stored);
}

const BECOMES_LORA =
  "webgpu-lora convert ADAPTER --to peft --lora-rank 16 --output OUT makes LoRA of it, and tells how near that is; give OUT";

const STAYS =
  "no LoRA does the same: use it as it is; generate and eval take several at once (--adapter A --adapter B)";

/**
 * lora_A and lora_B of each layer of a stored adapter of LoRA, those of embeddings among them; whatever else it has is left
 * out.
 */
export function loraPairs(stored: StoredAdapter): PeftAdapter {
  const config = stored.config as PeftLoraConfig;
  const ranks = storedRanks({ ...stored, config });
  const modules = [...branchesOf(stored.tensors)].map(([path, { A, B }]): [string, PeftModule] => {
    const { r, alpha } = ranks.get(path)!;
    const scale = alpha / (config.use_rslora ? Math.sqrt(r) : r);
    return [path, { lora_A: A, lora_B: B!, r, alpha, scale }];
  });
  const { saved, warnings } = stored;
  return { config, saved, warnings, tensors: new Map(modules) };
}

/**
 * The files of a LoRA adapter, byte for byte what PEFT 0.21 saves for the same tensors in f32.
 * Modules whose rank or alpha differs from `r` and `lora_alpha` need `peftPatterns` in the configuration.
 * @throws LoraError that lists every field, shape, rank and alpha that PEFT would not load as meant.
 */
export function peftFiles(adapter: WritableLora): Map<string, Uint8Array | string> {
  const { config, tensors, saved = new Map() } = adapter;
  const beyond = beyondPlainLora(config, { saved }).map(({ problem }) => problem);
  failAll("peftFiles", [...configProblems(LORA.codec, config), ...beyond, ...writeProblems(adapter)]);
  const pairs = [...tensors].map(([path, { lora_A, lora_B }]) => [path, { lora_A, lora_B }] as const);
  return storedAdapterFiles(asAny(LORA), { config, tensors: new Map(pairs), shared: {}, saved });
}

function writeProblems({ config, tensors }: WritableLora): string[] {
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

function shapeProblems(path: string, part: string, { shape, data }: HostTensor): string[] {
  if (shape.length !== 2) return [`${path}: ${part} is [${shape}], expected two axes`];
  const count = shape[0]! * shape[1]!;
  return data.length === count ? [] : [`${path}: ${part} is [${shape}], but has ${data.length} values`];
}
