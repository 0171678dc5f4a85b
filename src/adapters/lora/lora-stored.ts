import { isEmbedding } from "../../nn/embedding.ts";
import { isLinear, type Linear } from "../../nn/linear.ts";
import { isLeaf, type Module, modules } from "../../nn/module.ts";
import type { HostTensor } from "../../util/host-tensor.ts";
import { transpose } from "../../util/transpose.ts";
import type { Adapter } from "../adapter.ts";
import type { Note, SortedTensors, StoredAdapter, StoredInfo } from "../codec.ts";
import { type Obstacle, trainedWhole } from "../config-fields.ts";
import type { Adaptable, TrainedTensors } from "../method.ts";
import { checkRanks } from "../sites/stored-ranks.ts";
import { requireTogether } from "../stored-tensors.ts";
import { isTensorOf } from "../trained-whole.ts";
import { onWholeWeight } from "./initial/plain.ts";
import type { Lora } from "./lora.ts";
import type { PeftLoraConfig } from "./lora-fields.ts";
import { tiedWhole } from "./lora-sites.ts";

// The tensors of LoRA's files: what belongs together, which shapes fit, and how they lie on the device.

type Named<T> = Readonly<Record<string, T>>;
type Infos = SortedTensors<StoredInfo>["tensors"];

/** The two factors of each module that has an update: at an embedding they have other names. */
export function branchesOf<T>(
  tensors: ReadonlyMap<string, Named<T>>,
): Map<string, { A: T; B: T | undefined }> {
  return new Map(
    [...tensors].flatMap(([path, named]) => {
      const [A, B] = [named.lora_A ?? named.lora_embedding_A, named.lora_B ?? named.lora_embedding_B];
      return A ? [[path, { A, B }] as const] : [];
    }),
  );
}

/** Compares the stored tensors with each other and with the configuration. */
export function checkStored(tensors: Infos, config: PeftLoraConfig | undefined, note: Note): string[] {
  const hasDora = config?.use_dora ?? [...tensors.values()].some((there) => there.lora_magnitude_vector);
  const hasBias = config?.lora_bias ?? [...tensors.values()].some((there) => there.lora_bias);
  const magnitude = hasDora ? ["lora_magnitude_vector"] : [];
  const linear = ["lora_A", "lora_B", ...(hasBias ? ["lora_bias"] : [])];
  const embedding = ["lora_embedding_A", "lora_embedding_B"];
  const isEmbedding = (there: Named<StoredInfo>) =>
    embedding.some((name) => there[name]) && !linear.some((name) => there[name]);
  for (const [path, there] of tensors) {
    const factors = isEmbedding(there) ? embedding : linear;
    requireTogether(new Map([[path, there]]), [...factors, ...magnitude], note);
  }
  checkPerOutput("lora_magnitude_vector", ["use_dora", hasDora], tensors, note);
  checkPerOutput("lora_bias", ["lora_bias", hasBias], tensors, note);
  if (config) checkTokens(tensors, config, note);
  const pairs = [...branchesOf(tensors)].filter(([path, { A, B }]) => B && fits(path, A, B, note));
  const ranks = pairs.map(([path, { A }]) => [path, A.shape[0] as number] as const);
  return config ? checkRanks(ranks, config, note) : [];
}

/** Whether the shapes are those of a pair; what is incomplete was noted before. */
function fits(path: string, A: StoredInfo, B: StoredInfo, note: Note): boolean {
  const shapes = `${path} (lora_A [${A.shape}], lora_B [${B.shape}])`;
  if (A.shape.length !== 2 || B.shape.length !== 2) {
    note("not two axes each, as linear layers have (convolutions are not supported)", shapes);
  } else if (A.shape[0] !== B.shape[1]) {
    note("the rank of lora_A [r, in] is not that of lora_B [out, r]", shapes);
  } else if (A.shape[0] === 0) {
    note("the rank is 0", shapes);
  } else return true;
  return false;
}

/**
 * Magnitudes and biases are those of all outputs, and there are none where the configuration has none; PEFT leaves them
 * out without a word.
 */
function checkPerOutput(
  name: "lora_magnitude_vector" | "lora_bias",
  [field, isOn]: readonly [name: string, isOn: boolean],
  tensors: Infos,
  note: Note,
): void {
  const inFile = name === "lora_bias" ? "lora_B.bias" : name;
  for (const [path, { [name]: own, ...there }] of tensors) {
    if (!own) continue;
    const B = there.lora_B ?? there.lora_embedding_B;
    const shown = `${path} ([${own.shape}])`;
    if (!isOn) note(`${inFile}, and ${field} is false`, shown);
    else if (B && (own.shape.length !== 1 || own.shape[0] !== B.shape[0]))
      note(`${inFile} is not [out] of lora_B [out, r]`, shown);
  }
}

/** The trained rows are as many as the tokens that the configuration names, and lie where it says. */
function checkTokens(tensors: Infos, { trainable_token_indices: given }: PeftLoraConfig, note: Note): void {
  const rows = [...tensors].flatMap(([path, { token_rows: own }]) => (own ? [[path, own] as const] : []));
  const lists = given === null ? [] : Object.entries(Array.isArray(given) ? { "": given } : given);
  for (const [path, { shape }] of rows) {
    const [, list] = lists.find(([name]) => path.endsWith(name)) ?? [];
    const shown = `${path} [${shape}]`;
    if (!Array.isArray(list))
      note("trained rows of tokens that trainable_token_indices does not name", shown);
    else if (shape.length !== 2 || shape[0] !== list.length)
      note(`trained rows that are not the ${list.length} of trainable_token_indices`, shown);
  }
  const missing = lists.filter(([name, list]) => {
    // Of tied modules, the embedding holds the rows of both.
    const isTied = lists.some(([other, tokens]) => other !== name && String(tokens) === String(list));
    return Array.isArray(list) && list.length > 0 && !isTied && !rows.some(([path]) => path.endsWith(name));
  });
  const wanted = lists.some(([, list]) => Array.isArray(list) && list.length > 0);
  if (missing.length > 0 || (wanted && rows.length === 0)) {
    const names = (missing.length > 0 ? missing : lists).map(([name]) => name || "the embedding");
    note("trainable_token_indices names tokens whose rows are missing", ...names);
  }
}

/** Why stored tensors can't be those of this module. */
export function misfitOf(
  module: Module | undefined,
  tensors: Named<Pick<HostTensor, "shape">>,
): string | undefined {
  const { lora_embedding_A: A, lora_embedding_B: B, token_rows: rows } = tensors;
  if (!A && !rows) return linearMisfit(module, tensors);
  if (!module || !(isEmbedding(module) || (rows && isLinear(module)))) return "is no embedding of the model";
  const { weight } = module.tensors;
  if (rows && rows.shape[1] !== weight.columns)
    return `trained rows [${rows.shape}] do not fit vectors of ${weight.columns}`;
  if (!A || (A.shape[1] === weight.rows && B?.shape[0] === weight.columns)) return undefined;
  return `A [${A.shape}], B [${B?.shape}] do not fit an embedding of ${weight.rows} tokens, ${weight.columns} wide`;
}

function linearMisfit(
  module: Module | undefined,
  { lora_A, lora_B, lora_magnitude_vector: magnitude }: Named<Pick<HostTensor, "shape">>,
): string | undefined {
  if (!module || !isLinear(module)) return "is no linear layer of the model";
  const { inFeatures, outFeatures } = module;
  if (magnitude && magnitude.shape[0] !== outFeatures)
    return `lora_magnitude_vector [${magnitude.shape}] does not fit a layer of ${outFeatures} outputs`;
  if (lora_A?.shape[1] === inFeatures && lora_B?.shape[0] === outFeatures) return undefined;
  return `A [${lora_A?.shape}], B [${lora_B?.shape}] do not fit a layer of ${inFeatures} → ${outFeatures}`;
}

/** What embeddings and output layers are called; PEFT's own list has the first two. */
const VOCABULARY = /(?:^|\.)(?:embed_tokens|lm_head|wte|word_embeddings|embed_in|embed_out)\.weight$/;

/**
 * Matrices of the vocabulary that lie in the file though they were not trained (`save_embedding_layers`), or because what
 * they are tied to was.
 */
export function isVocabulary(plain: string): boolean {
  return VOCABULARY.test(plain);
}

/** The model's modules whose matrices lie in the file and are not trained: as in PEFT they take the place of its own. */
export function keptTensors(
  model: Adaptable,
  { saved }: StoredAdapter<PeftLoraConfig>,
  trained: readonly TrainedTensors[],
): TrainedTensors[] {
  const taken = new Set<Module>(trained.map(({ module }) => module));
  const leaves = [...modules(model.root)].filter(isLeaf).filter((leaf) => !taken.has(leaf));
  const kept = leaves.filter(({ path }) => saved.has(`${path}.weight`));
  const found = kept.map((module) => ({ module, names: ["weight"], trained: false }));
  return tiedWhole(model, found).map((one) => ({ ...one, trained: false }));
}

/** What lies in the file for both of a tied pair has to be the same. */
export function tieMisfits(
  { root }: Adaptable,
  { config, tensors, saved }: StoredAdapter<PeftLoraConfig>,
): Obstacle[] {
  const whole = trainedWhole(config);
  const leaves = [...modules(root)].filter(isLeaf);
  const head = leaves.find((leaf): leaf is Linear => isLinear(leaf) && leaf.tiedTo !== undefined);
  const embedding = head?.tiedTo;
  const [own, shared] = [saved.get(`${head?.path}.weight`), saved.get(`${embedding?.path}.weight`)];
  const { lora_A, lora_B } = tensors.get(head?.path ?? "") ?? {};
  const { lora_embedding_A: A, lora_embedding_B: B } = tensors.get(embedding?.path ?? "") ?? {};
  const isOther = head && A && B && lora_A && lora_B && !(isTransposed(lora_A, B) && isTransposed(lora_B, A));
  const isTied =
    config.ensure_weight_tying ||
    !whole.some(
      (name) => isTensorOf(`${head?.path}.weight`, name) || isTensorOf(`${embedding?.path}.weight`, name),
    );
  const isOtherWhole = isTied && own && shared && !own.data.every((value, i) => value === shared.data[i]);
  const problems = [
    ...(isOther || isOtherWhole
      ? [`${head?.path} and ${embedding?.path} are one matrix, and the file has others for each`]
      : []),
  ];
  const remedy =
    "save the adapter again with PEFT's save_pretrained, or make ensure_weight_tying false where they differ on purpose";
  return problems.map((problem) => ({ problem, remedy }));
}

function isTransposed(a: HostTensor, b: HostTensor): boolean {
  const turned = transpose(b.data, b.shape[0] ?? 0, b.shape[1] ?? 0);
  return a.data.length === turned.length && a.data.every((value, i) => value === turned[i]);
}

/** The tensors of a file: LoRA on the whole weight, and an embedding's also at the output layer that is tied to it. */
export function writtenTensors(
  tensors: ReadonlyMap<string, Named<HostTensor>>,
  { method, sites }: Adapter<Lora>,
): Map<string, Named<HostTensor>> {
  return new Map(
    sites.flatMap(({ module }): [string, Named<HostTensor>][] => {
      const role = method.roleOf(module);
      if (role.does === "tied tokens") return [];
      if (role.does !== "tied branch")
        return [[module.path, heldTensors(onWhole(tensors.get(module.path) ?? {}))]];
      const { lora_embedding_A: A, lora_embedding_B: B } = tensors.get(role.of.path) ?? {};
      return A && B ? [[module.path, { lora_A: turned(B), lora_B: A }]] : [];
    }),
  );
}

/** lora_embedding_A the other way round: `[r, V]` in the file, `[V, r]` on the device, where a token's part is a row. */
export function heldTensors(tensors: Named<HostTensor>): Named<HostTensor> {
  const { lora_embedding_A: A } = tensors;
  return A ? { ...tensors, lora_embedding_A: turned(A) } : tensors;
}

function turned({ shape, data }: HostTensor): HostTensor {
  const [rows = 0, columns = 0] = shape;
  return { shape: [columns, rows], data: transpose(data, rows, columns) };
}

/** The tensors for the whole weight, where the branch began as a part of it: PEFT's own conversion. */
function onWhole(tensors: Named<HostTensor>): Named<HostTensor> {
  const { lora_A, lora_B, initial_A, initial_B } = tensors;
  if (!lora_A || !lora_B || !initial_A || !initial_B) return tensors;
  const [r = 0, inFeatures = 0] = lora_A.shape;
  const [outFeatures = 0] = lora_B.shape;
  const sizes = { inFeatures, outFeatures, r, scale: 1 };
  const initial = { A: initial_A.data, B: initial_B.data };
  const { A, B } = onWholeWeight({ ...sizes, A: lora_A.data, B: lora_B.data }, initial);
  return {
    lora_A: { shape: [2 * r, inFeatures], data: A },
    lora_B: { shape: [outFeatures, 2 * r], data: B },
  };
}
