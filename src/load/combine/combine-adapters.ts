import {
  COMBINATION_TYPES,
  type CombinationType,
  combineLayer,
  kindOf,
  type LayerCombination,
} from "../../adapters/combine/combine.ts";
import type { MajoritySign } from "../../adapters/combine/elementwise.ts";
import type { LowRank, Part } from "../../adapters/combine/low-rank.ts";
import { type FileContent, type FileSource, requireFiles } from "../../io/files/files.ts";
import { fail, failAll, Problems } from "../../util/fail.ts";
import { spoiltTensors } from "../../util/finite.ts";
import { callback, checkOptions, integer, number, oneOf, type Rules, text } from "../../util/options.ts";
import { createRandom } from "../../util/random.ts";
import { type PeftModule, peftFiles, readPeftAdapter } from "../lora-files.ts";
import { companionsOf } from "./companions.ts";
import { type Member, memberProblems } from "./members.ts";
import { resultConfig } from "./result-config.ts";

/** An adapter that is combined with others. */
export interface WeightedAdapter {
  /** Where its files are. */
  readonly files: FileSource;
  /** How much of it is wanted; 1 by default, negative takes it away. */
  readonly weight?: number | undefined;
}

/** Options of {@link combineAdapters}; PEFT's names are those of `add_weighted_adapter`. */
export interface CombineOptions {
  /**
   * `cat` by default: the exact weighted sum, its rank the sum of the ranks. `svd`: the closest of a given rank. `linear`:
   * lora_A and lora_B added up each for itself, which brings in products of different adapters. The others are TIES, DARE and
   * pruning by magnitude, on lora_A and lora_B or (`…_svd`) on the changes themselves.
   */
  combinationType?: CombinationType | undefined;
  /** Of types that end in svd: the rank; for `svd` also a share below 1 of the squared norm that must be kept. */
  svdRank?: number | undefined;
  /** Of types that end in svd: the quantile of all values that these are cut off at. */
  svdClamp?: number | undefined;
  /** Share of the values that pruning keeps; `ties`, `dare_*` and `magnitude_prune*` need it. */
  density?: number | undefined;
  /** How TIES votes on signs; `total` by default. */
  majoritySignMethod?: MajoritySign | undefined;
  /** Of DARE's choice; 0 by default. */
  seed?: number | undefined;
  /** Which base model the result is for, where the adapters name different ones. */
  baseModel?: string | undefined;
  /** Called with what deserves attention but is no error, one line at a time. */
  onWarning?: ((warning: string) => void) | undefined;
  /** Called before each layer. */
  onProgress?: ((done: number, of: number) => void) | undefined;
}

/** What {@link combineAdapters} gives. */
export interface CombinedAdapter {
  /** The files of a PEFT adapter. */
  readonly files: Map<string, FileContent>;
  /** Its layers: the rank, and how far the change is from the wanted one, beside its norm, where that has a meaning. */
  readonly layers: readonly { readonly path: string; readonly r: number; readonly error?: number }[];
}

const RULES: Rules<CombineOptions> = {
  combinationType: oneOf(COMBINATION_TYPES, "combination_type"),
  svdRank: number({ above: 0 }, "svd_rank", "rank", "r"),
  svdClamp: number({ above: 0, max: 1 }, "svd_clamp"),
  density: number({ above: 0, max: 1 }),
  majoritySignMethod: oneOf(["total", "frequency"], "majority_sign_method"),
  seed: integer({ min: 0 }),
  baseModel: text("base_model_name_or_path"),
  onWarning: callback(),
  onProgress: callback(),
};

/**
 * Combines LoRA adapters of one base model into one, as PEFT's `add_weighted_adapter`, on the host. Of one adapter `svd`
 * gives its best approximation of a lower rank. Scales (alpha, rsLoRA) go into the tensors: in the result they are 1. A layer
 * that only some adapters have is combined from these.
 * @throws LoraError listing everything in which the adapters do not go together
 */
export async function combineAdapters(
  adapters: readonly WeightedAdapter[],
  options: CombineOptions = {},
): Promise<CombinedAdapter> {
  checkOptions("combine", options, RULES);
  checkCombination(options);
  const members = await readMembers(adapters);
  for (const { label, adapter } of members)
    for (const warning of adapter.warnings) options.onWarning?.(`${label}: ${warning}`);
  const { combinationType: type = "cat", seed = 0 } = options;
  const { problems, remedies } = memberProblems(members, kindOf(type), options.baseModel);
  failAll("combine", problems, remedies);
  const random = createRandom(seed);
  const paths = [...new Set(members.flatMap(({ adapter }) => [...adapter.tensors.keys()]))];
  const combined = paths.map((path, i) => {
    options.onProgress?.(i, paths.length);
    const { change, error } = combineLayer(
      partsOf(path, members),
      layerOptions(options, type, random.fork(path)),
    );
    return { path, change, ...(error !== undefined && { error }) };
  });
  const changes = new Map(combined.map(({ path, change }) => [path, change]));
  const { companions, saved, warnings } = await companionsOf(members, adapters);
  for (const warning of warnings) options.onWarning?.(warning);
  const config = resultConfig(members, changes, options.baseModel);
  const tensors = new Map([...changes].map(([path, change]) => [path, storedModule(change)]));
  const values = [...tensors].flatMap(([path, { lora_A, lora_B }]) => [
    [`${path}.lora_A`, lora_A.data] as const,
    [`${path}.lora_B`, lora_B.data] as const,
  ]);
  failAll("combine", spoiltTensors(values), "the weights are too large: values beyond 3.4e38 come out");
  const files = new Map<string, FileContent>([...peftFiles({ config, tensors, saved }), ...companions]);
  return { files, layers: combined.map(({ change, ...layer }) => ({ ...layer, r: change.r })) };
}

/** @throws LoraError where options do not go with the type of combination */
export function checkCombination({ combinationType: type = "cat", ...options }: CombineOptions): void {
  const { of, prune, elects } = kindOf(type);
  const { svdRank, svdClamp, density, majoritySignMethod } = options;
  const problems = new Problems();
  const useless = (name: string, value: unknown) => {
    if (value !== undefined) problems.push(`${name} means nothing to ${type}`);
  };
  if (of !== "changes") {
    useless("svd_rank", svdRank);
    useless("svd_clamp", svdClamp);
  } else if (svdRank !== undefined && svdRank < 1 && prune !== undefined) {
    problems.push(`svd_rank is ${svdRank}: only svd takes a share; ${type} wants a whole number`);
  } else if (svdRank !== undefined && svdRank >= 1 && !Number.isSafeInteger(svdRank)) {
    problems.push(`svd_rank is ${svdRank}, wanted a whole number, or a share below 1 of the squared norm`);
  }
  if (prune === undefined) useless("density", density);
  else if (density === undefined)
    problems.push(`${type} needs density, the share of the values that is kept; 0.5 is usual`);
  if (!elects) useless("majority_sign_method", majoritySignMethod);
  failAll("combine", problems);
}

async function readMembers(adapters: readonly WeightedAdapter[]): Promise<Member[]> {
  if (adapters.length === 0) fail("combine", "there is no adapter", "give at least one");
  const members: Member[] = [];
  for (const { files, weight = 1 } of adapters) {
    requireFiles("combine", files);
    members.push({ label: files.label, weight, adapter: await readPeftAdapter(files) });
  }
  return members;
}

function partsOf(path: string, members: readonly Member[]): Part[] {
  return members.flatMap(({ adapter, weight }) => {
    const module = adapter.tensors.get(path);
    return module ? [{ change: changeOf(module), weight }] : [];
  });
}

/** The change of a stored module. */
export function changeOf({ lora_A, lora_B, r, scale }: PeftModule): LowRank {
  const [, inFeatures = 0] = lora_A.shape;
  const [outFeatures = 0] = lora_B.shape;
  return { inFeatures, outFeatures, r, A: lora_A.data, B: lora_B.data, scale };
}

function storedModule({ A, B, r, inFeatures, outFeatures }: LowRank) {
  return {
    lora_A: { shape: [r, inFeatures], data: A },
    lora_B: { shape: [outFeatures, r], data: B },
    alpha: r,
  };
}

function layerOptions(
  { svdRank, svdClamp, density, majoritySignMethod }: CombineOptions,
  type: CombinationType,
  random: LayerCombination["random"],
): LayerCombination {
  return { type, rank: svdRank, clamp: svdClamp, density, majoritySign: majoritySignMethod, random };
}
