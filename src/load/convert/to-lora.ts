import { type Adapter, attach } from "../../adapters/adapter.ts";
import { rankFor } from "../../adapters/combine/combine.ts";
import { fromSvd, type LowRank } from "../../adapters/combine/low-rank.ts";
import { lora } from "../../adapters/lora/lora.ts";
import type { Site } from "../../adapters/method.ts";
import { requireAdapterOf } from "../../adapters/owners.ts";
import { peftPatterns } from "../../adapters/sites/patterns.ts";
import { readAndRelease, type Tensor } from "../../gpu/tensor.ts";
import type { FileContent } from "../../io/files/files.ts";
import { mostCommon } from "../../io/formats/plain-lora.ts";
import { castToFloat } from "../../kernels/cast.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import { isLeaf, type Leaf, requireModel } from "../../nn/module.ts";
import { fail, failAll } from "../../util/fail.ts";
import { spoiltTensors } from "../../util/finite.ts";
import type { Dense } from "../../util/linalg/dense.ts";
import { norm } from "../../util/linalg/matrix.ts";
import { type Svd, truncated } from "../../util/linalg/svd.ts";
import { topSvd } from "../../util/linalg/top-svd.ts";
import { callback, checkOptions, number, type Rules, required } from "../../util/options.ts";
import { createRandom } from "../../util/random.ts";
import { adapterFiles } from "../adapter.ts";
import type { LoadedModel } from "../model.ts";
import { choiceOf } from "./formats.ts";

/** Options of {@link convertToLora}. */
export interface ConvertToLoraOptions {
  /** Rank of the result; or, below 1, the share of the squared norm of each layer's change that the smallest sufficient rank keeps. */
  rank: number;
  /** Called before each layer. */
  onProgress?: ((done: number, of: number) => void) | undefined;
}

/** What {@link convertToLora} gives. */
export interface ConvertedToLora {
  /** The files of an adapter of plain LoRA on the same base model. */
  readonly files: Map<string, FileContent>;
  /** Its layers: the rank, and how far its change is from the adapter's, beside that one's norm. */
  readonly layers: readonly { readonly path: string; readonly r: number; readonly error: number }[];
}

const RULES: Rules<ConvertToLoraOptions> = {
  rank: required(number({ above: 0 }, "r")),
  onProgress: callback(),
};

/**
 * Plain LoRA that comes as near to an adapter of another method as its rank allows: the largest singular values of each
 * layer's change ΔW = merged − W, with the error told. What DoRA or (IA)³ change of a weight has no low rank; VeRA's and LoHa's
 * has one. PEFT's `convert_to_lora`. Modules that were trained whole go with it.
 * @param model with the weights that the adapter is for
 * @throws LoraError where the method merges into no weights, or changes what no LoRA can: biases, norms
 */
export async function convertToLora(
  model: LoadedModel,
  adapter: Adapter,
  options: ConvertToLoraOptions,
): Promise<ConvertedToLora> {
  requireModel("convertToLora", model);
  checkOptions("convertToLora", options, RULES);
  const { rank, onProgress } = options;
  if (rank >= 1 && !Number.isSafeInteger(rank))
    fail("convertToLora", `rank is ${rank}, wanted a whole number, or a share below 1 of the squared norm`);
  requireAdapterOf("convertToLora", adapter, model.root);
  const sites = await changedSites(adapter);
  const layers: { path: string; change: LowRank; error: number }[] = [];
  for (const [i, { module, weight }] of sites.entries()) {
    onProgress?.(i, sites.length);
    const delta = await deltaOf(module, weight);
    const nearest = nearestOfRank(delta, rank);
    const total = norm(delta.values) ** 2;
    const lost = total - norm(nearest.S) ** 2;
    layers.push({
      path: module.path,
      change: fromSvd(nearest),
      error: Math.sqrt(Math.max(0, lost) / (total || 1)),
    });
  }
  const files = await writeLora(model, adapter, new Map(layers.map(({ path, change }) => [path, change])));
  return { files, layers: layers.map(({ path, change, error }) => ({ path, r: change.r, error })) };
}

/** A linear layer, and what its weight becomes. */
interface ChangedSite {
  readonly module: Linear;
  readonly weight: () => Tensor;
}

async function changedSites({ method, sites, shared, saved }: Adapter): Promise<ChangedSite[]> {
  const { merge, type } = method;
  if (!merge)
    return fail("convertToLora", `${type} changes no weights, which LoRA would change`, "keep it as it is");
  failAll("convertToLora", method.mergeProblems?.(sites) ?? [], "keep it as an adapter");
  const copies = new Map(saved.map(({ module, tensors }) => [module as Leaf, tensors]));
  const problems: string[] = [];
  const found: ChangedSite[] = [];
  for (const site of sites) {
    const changes = merge(site, shared, copies.get(site.module as Leaf) ?? {});
    const { weight, ...others } = changes as Partial<typeof changes>;
    if (weight && isLinear(site.module)) found.push({ module: site.module, weight });
    else problems.push(`${site.module.path} is no linear layer`);
    for (const [name, compute] of Object.entries(others))
      if (compute && (await differs(site, name, compute)))
        problems.push(`${site.module.path}: its ${name} is changed, too`);
  }
  failAll(
    "convertToLora",
    problems,
    "plain LoRA changes weights of linear layers: merge the adapter instead",
  );
  return found;
}

async function differs({ module }: Site, name: string, compute: () => Tensor): Promise<boolean> {
  const own = isLeaf(module) ? module.tensors[name] : undefined;
  if (!own) return true;
  const [before, after] = await readAndRelease(own.device, () => [castToFloat(own), compute()]);
  const [a, b] = [before, after].map((buffer) => new Float32Array(buffer ?? []));
  return !a?.every((value, i) => value === b?.[i]);
}

/** merged − W, `[out, in]`, in f32: exact to the last bits of W, which may be many of ΔW where that is small. */
async function deltaOf({ weight }: Linear, merged: () => Tensor): Promise<Dense> {
  const [rows = 0, cols = 0] = weight.shape;
  const [before, after] = await readAndRelease(weight.device, () => [castToFloat(weight), merged()]);
  const base = new Float32Array(before ?? []);
  const values = new Float32Array(after ?? []).map((value, i) => value - (base[i] as number));
  return { rows, cols, values };
}

/** The largest singular values: so many, or as few as keep a share of the squared norm. */
function nearestOfRank(delta: Dense, rank: number): Svd {
  const most = Math.min(delta.rows, delta.cols);
  if (rank >= 1) return topSvd(delta, Math.min(rank, most), createRandom(0));
  const wanted = rank * norm(delta.values) ** 2;
  for (let count = 8; ; count *= 2) {
    const found = topSvd(delta, Math.min(count, most), createRandom(0));
    if (count >= most || norm(found.S) ** 2 >= wanted) return truncated(found, rankFor(found.S, wanted));
  }
}

/** The files as those of an adapter of LoRA that is put on the same model for a moment. */
async function writeLora(
  model: LoadedModel,
  adapter: Adapter,
  changes: ReadonlyMap<string, LowRank>,
): Promise<Map<string, FileContent>> {
  const ranks = new Map([...changes].map(([path, { r }]) => [path, { r, alpha: r }]));
  const r = mostCommon([...ranks.values()].map((each) => each.r)) ?? 1;
  const patterns = peftPatterns({ r, lora_alpha: r }, ranks);
  const choice = choiceOf([...changes.keys()], false);
  const whole = [...new Set(adapter.saved.map(({ module }) => module.path))];
  const method = lora({
    ...{ r, alpha: r, rankPattern: patterns.rank_pattern, alphaPattern: patterns.alpha_pattern },
    targetModules: choice.target_modules as readonly string[] as string[],
    ...(choice.layers_to_transform !== null && { layersToTransform: [choice.layers_to_transform].flat() }),
    ...(whole.length > 0 && { modulesToSave: whole }),
  });
  const made = attach(Object.assign({}, model, model.withAdapters([])), method);
  try {
    for (const { module, tensors } of made.sites) {
      const { A, B } = changes.get(module.path) ?? fail("convertToLora", `${module.path} has no change`);
      tensors.lora_A?.write(A);
      tensors.lora_B?.write(B);
    }
    for (const { module, tensors } of made.saved) {
      const trained = adapter.saved.find((site) => site.module === module);
      for (const [name, tensor] of Object.entries(tensors)) {
        const values = trained?.tensors[name];
        if (values) tensor.write(await values.read());
      }
    }
    const values = [...changes].flatMap(([path, { A, B }]) => [
      [`${path}.A`, A] as const,
      [`${path}.B`, B] as const,
    ]);
    failAll("convertToLora", spoiltTensors(values), "take an adapter from before its training diverged");
    return await adapterFiles(made);
  } finally {
    made.release();
  }
}
