import { type PeftConfig, trainedWhole } from "../adapters/config-fields.ts";
import { MERGE_UNTIED } from "../adapters/remedies.ts";
import { unreachableModules } from "../adapters/sites/unreachable.ts";
import { listed } from "../adapters/stored-tensors.ts";
import { isTensorOf } from "../adapters/trained-whole.ts";
import { readAndRelease } from "../gpu/tensor.ts";
import { castToFloat } from "../kernels/cast.ts";
import { isEmbedding } from "../nn/embedding.ts";
import { isLinear } from "../nn/linear.ts";
import { isLeaf, type Leaf, modules } from "../nn/module.ts";
import { failAll } from "../util/fail.ts";
import { spoiltTensors } from "../util/finite.ts";
import type { HostTensor } from "../util/host-tensor.ts";
import type { LoadedModel } from "./model.ts";
import type { ReadAdapter } from "./stored-adapter.ts";

/** The adapter without what the model's task has no use for, such as a pooler: it would change nothing. */
export function withoutUnused(
  { absentModules = [], task }: LoadedModel,
  adapter: ReadAdapter,
): { adapter: ReadAdapter; warnings: string[] } {
  const isUnused = (name: string) =>
    absentModules.some((path) => name === path || name.startsWith(`${path}.`));
  const names = [...adapter.tensors.keys(), ...adapter.saved.keys()].filter(isUnused);
  if (names.length === 0) return { adapter, warnings: [] };
  const used = <T>(entries: ReadonlyMap<string, T>) =>
    new Map([...entries].filter(([name]) => !isUnused(name)));
  const text = `${listed(names)}: ${task} does not use this part of the model, so that it was left out`;
  return {
    adapter: { ...adapter, tensors: used(adapter.tensors), saved: used(adapter.saved) },
    warnings: [text],
  };
}

/** Something that does not fit, and what to do about it. */
interface Misfit {
  readonly problem: string;
  readonly help: string;
}

/**
 * @param doubts what else stands against it
 * @throws LoraError listing everything in which the adapter and the model do not fit each other
 */
export function checkFits(
  model: LoadedModel,
  adapter: ReadAdapter,
  { label, doubts }: { readonly label: string; readonly doubts: readonly string[] },
): void {
  const all = [...modules(model.root)];
  const leaves = all.filter(isLeaf);
  const misfits = [
    ...layerMisfits(model, adapter),
    ...savedMisfits(model, leaves, adapter),
    ...missingTensors(leaves, adapter),
    ...ownMisfits(model, adapter),
    ...randomParts(model, adapter),
    ...spoiltMisfits(adapter),
    ...doubts.map((problem) => ({ problem, help: FORCE })),
  ];
  const help = [...new Set(misfits.map(({ help }) => help))];
  failAll(
    label,
    misfits.map(({ problem }) => problem),
    help,
  );
}

/**
 * Compares weights of the base model that lie beside the adapter with the model's.
 * @throws LoraError where they are others: PEFT would put them into the model
 */
export async function checkBase(
  { root, name }: LoadedModel,
  { base }: ReadAdapter,
  label: string,
): Promise<void> {
  const leaves = new Map([...modules(root)].filter(isLeaf).map((leaf) => [leaf.path, leaf]));
  const problems: string[] = [];
  for (const [tensor, { data }] of base) {
    const own = leaves.get(tensor.slice(0, tensor.lastIndexOf(".")))?.tensors.weight;
    const values = own && (await readAndRelease(own.device, () => [castToFloat(own)]))[0];
    const isSame = values && isAlike(new Float32Array(values), data);
    if (!isSame)
      problems.push(`${tensor} of the base model lies beside the adapter, and ${name} has another`);
  }
  const help =
    "give the model that the adapter was trained on; where the stored weights were trained or their vocabulary was resized, merge the adapter in Python with PEFT";
  failAll(label, problems, help);
}

/** Equal, but for a number format of 16 bits in between. */
function isAlike(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => Math.abs(value - b[i]!) <= 2 ** -7 * Math.abs(value));
}

function isItMadeFor({ name }: LoadedModel): string {
  return `is this adapter made for ${name}?`;
}

function layerMisfits(model: LoadedModel, { tensors, kind }: ReadAdapter): Misfit[] {
  const all = new Map([...modules(model.root)].map((module) => [module.path, module]));
  const unreachable = new Map(unreachableModules(model).map(({ path, why }) => [path, why]));
  return [...tensors].flatMap(([path, stored]): Misfit[] => {
    const why = unreachable.get(path);
    if (why !== undefined) return [{ problem: `${path}: ${why}`, help: MERGE_UNTIED }];
    const misfit = kind.codec.misfit(all.get(path), stored);
    if (misfit === undefined) return [];
    const problem = misfit.startsWith("is ") ? `${path} ${misfit}` : `${path}: ${misfit}`;
    return [{ problem, help: isItMadeFor(model) }];
  });
}

function ownMisfits(model: LoadedModel, adapter: ReadAdapter): Misfit[] {
  const found = adapter.kind.codec.misfits?.(model, adapter) ?? [];
  return found.map(({ problem, remedy }) => ({ problem, help: remedy }));
}

function savedMisfits(model: LoadedModel, leaves: readonly Leaf[], { saved }: ReadAdapter): Misfit[] {
  const shapes = new Map<string, readonly number[]>(
    leaves.flatMap(({ path, tensors }) =>
      Object.entries(tensors).map(([name, { shape }]) => [`${path}.${name}`, shape] as const),
    ),
  );
  const unreachable = unreachableModules(model);
  return [...saved].flatMap(([name, { shape }]): Misfit[] => {
    const wanted = shapes.get(name);
    const reason = unreachable.find(({ path }) => name.startsWith(`${path}.`));
    if (!wanted && reason) return [{ problem: `${name}: ${reason.why}`, help: MERGE_UNTIED }];
    if (!wanted) {
      return [{ problem: `${name} [${shape}] is no tensor of the model`, help: isItMadeFor(model) }];
    }
    if (String(wanted) === String(shape)) return [];
    const vocabulary = resizedVocabulary(leaves, name, shape, wanted);
    if (vocabulary)
      return [{ problem: `${name} is [${shape}], the model has [${wanted}]`, help: vocabulary }];
    const isHead = model.headModules.some((head) => isTensorOf(name, head));
    const help = isHead
      ? "where the head has other classes, name them as labels (--labels)"
      : isItMadeFor(model);
    return [{ problem: `${name} is [${shape}], the model has [${wanted}]`, help }];
  });
}

/** What to do where a vocabulary has other rows than in the model. */
function resizedVocabulary(
  leaves: readonly Leaf[],
  name: string,
  [rows, columns]: readonly number[],
  wanted: readonly number[],
): string | undefined {
  const leaf = leaves.find(({ path }) => name === `${path}.weight`);
  const isVocabulary = leaf && (isEmbedding(leaf) || (isLinear(leaf) && leaf.isOutput));
  if (!isVocabulary || columns !== wanted[1]) return undefined;
  return `the vocabulary had ${rows} tokens in training: where the file has all matrices of it, open the model with vocabularyOf(its files, the adapter's), as commands do; else, as for PEFT, make the base model so first; in Python: base.resize_token_embeddings(${rows}) and base.save_pretrained(OUT), and the tokenizer's save_pretrained(OUT); then use OUT as the model`;
}

const FORCE = "give the right one, or insist: --force, strict: false in the library";

const INCOMPLETE =
  "PEFT cannot load such a file either: save the adapter again with save_pretrained; or, where the base model's own weights are meant, take the names out of modules_to_save in adapter_config.json, and for the head make task_type null";

/** A module that is trained whole has all its tensors in the file, which PEFT wants, too (it raises KeyError). */
function missingTensors(leaves: readonly Leaf[], { config, saved }: ReadAdapter): Misfit[] {
  const names = trainedWhole(config);
  const wanted = leaves.flatMap(({ path, tensors }) => Object.keys(tensors).map((name) => `${path}.${name}`));
  const missing = wanted.filter(
    (tensor) => !saved.has(tensor) && names.some((name) => isTensorOf(tensor, name)),
  );
  return missing.map((tensor) => ({ problem: `${tensor} is missing in the file`, help: INCOMPLETE }));
}

/** A training that diverged leaves such values: with them a model computes no numbers. */
function spoiltMisfits({ tensors, shared, saved }: ReadAdapter): Misfit[] {
  const named = (prefix: string, all: Readonly<Record<string, HostTensor>>) =>
    Object.entries(all).map(([name, tensor]) => [prefix + name, tensor] as const);
  const sites = [...tensors].flatMap(([path, all]) => named(`${path}.`, all));
  const values = [...sites, ...named("", shared), ...saved].map(([name, { data }]) => [name, data] as const);
  const help =
    "take an adapter from before its training diverged, or train it again at a lower learning rate";
  return spoiltTensors(values).map((problem) => ({ problem, help }));
}

/** What starts at random, is not in the adapter, and so has no meaning. */
function randomParts({ initialised }: LoadedModel, { saved, config }: ReadAdapter): Misfit[] {
  const random = initialised.filter((name) => !saved.has(name) && !isReported(name, config));
  if (random.length === 0) return [];
  const problem = `neither the model nor the adapter holds ${listed(random)}, which would be random`;
  const help =
    "give the model that the adapter was trained on, with its head; or train the adapter again with these modules in modules_to_save";
  return [{ problem, help }];
}

function isReported(tensor: string, config: PeftConfig): boolean {
  return trainedWhole(config).some((name) => isTensorOf(tensor, name));
}
