import type { Adapter } from "../adapters/adapter.ts";
import { readAndRelease, type Tensor } from "../gpu/tensor.ts";
import { castToFloat } from "../kernels/cast.ts";
import { add, scale as scaleTensor } from "../kernels/elementwise.ts";
import type { Weight } from "../kernels/weight.ts";
import { isExperts } from "../nn/expert-layer.ts";
import { isLinear, type Linear } from "../nn/linear.ts";
import { type Leaf, type Module, modules } from "../nn/module.ts";
import { storedShape } from "../nn/weights.ts";
import { fail, failAll } from "../util/fail.ts";
import { transposeStack } from "../util/transpose.ts";
import type { LoadedModel } from "./model.ts";

// What an adapter changes of a model's tensors, and which of them part for it.

/** A tensor of the checkpoint that the adapter changes, or adds. */
export interface Change {
  readonly shape: readonly number[];
  /** Its new values, computed when its turn comes. */
  values(): Promise<Float32Array>;
}

/** Every tensor that the adapter changes, by the model's own name for it. */
function changesOf(adapter: Adapter, scale: number): Map<string, Change> {
  const { method, sites, shared, saved } = adapter;
  const merge = method.merge ?? fail("merge", `${method.type} has no merged form`, "keep it as an adapter");
  if (scale !== 1 && !method.scales)
    fail("merge", `${method.type} has no factor of its update`, "leave the scale out");
  failAll("merge", method.mergeProblems?.(sites) ?? [], "keep it as an adapter");
  const copies = new Map<Module, Readonly<Record<string, Weight>>>([
    ...(method.bases?.tensors ?? []),
    ...saved.map(({ module, tensors }) => [module, tensors] as const),
  ]);
  const merged = sites.flatMap((site) =>
    Object.entries(merge(site, shared, copies.get(site.module) ?? {})).map(([name, compute]) => {
      const own = copies.get(site.module)?.[name] ?? ((site.module as Leaf).tensors[name] as Weight);
      return changeOf(site.module, name, scale === 1 ? compute : () => scaledMerge(own, compute(), scale));
    }),
  );
  const trained = saved.flatMap(({ module, tensors }) =>
    Object.entries(tensors)
      .filter(([name]) => name !== "weight" || !followsTie(module, adapter))
      .map(([name, tensor]) => changeOf(module, name, () => tensor)),
  );
  return new Map([...trained, ...merged]); // of both, the latter has the former in it
}

/** W + factor · (merged − W). */
function scaledMerge(own: Weight, merged: Tensor, factor: number): Tensor {
  return add(scaleTensor(castToFloat(own), 1 - factor), merged, factor);
}

/** Whether an adapter changes an output layer as it does the embedding that it shares its matrix with, and not by itself. */
function followsTie(module: Module, { sites, saved }: Adapter): boolean {
  if (!isLinear(module) || !module.tiedTo) return false;
  const { tiedTo } = module;
  const weightOf = (leaf: Module) => saved.find((one) => one.module === leaf)?.tensors.weight;
  const site = sites.find((one) => one.module === module);
  const isShared = weightOf(module) !== undefined && weightOf(module) === weightOf(tiedTo);
  return isShared || (site !== undefined && Object.keys(site.tensors).length === 0);
}

/** How an adapter is merged, and who is told what parts. */
interface PartingOptions {
  readonly scale?: number | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
}

/**
 * An output layer and the embedding that it shares its matrix with part where one of the two changes: the layer gets a
 * tensor of its own, and the config says so.
 * @param changes those of the adapter are added to them
 */
export function partTies(
  model: LoadedModel,
  adapter: Adapter,
  changes: Map<string, Change>,
  { scale = 1, onWarning }: PartingOptions,
): LoadedModel {
  const changed = changesOf(adapter, scale);
  const parted = [...modules(model.root)].filter(isLinear).filter((head) => {
    const { path, tiedTo } = head;
    if (followsTie(head, adapter)) return false;
    return tiedTo && (changed.has(`${path}.weight`) || changed.has(`${tiedTo.path}.weight`));
  });
  for (const head of parted) {
    const [name, change] = changeOf(head, "weight", () => castToFloat(head.weight));
    changes.set(name, change);
    onWarning?.(describeParting(head, changed));
  }
  for (const [name, change] of changed) changes.set(name, change);
  return parted.length > 0 ? ({ ...model, tied: false } as LoadedModel) : model;
}

/** PEFT warns of it while it merges, too. */
function describeParting({ path, tiedTo }: Linear, changed: ReadonlyMap<string, Change>): string {
  const own = [path, (tiedTo as Module).path];
  const paths = own.filter((one) => changed.has(`${one}.weight`)).join(" and ");
  return `${own.join(" and ")} are one matrix of the model, and the adapter changes ${paths} by itself: the merged model has two, and "tie_word_embeddings": false in its config.json; an adapter that is trained with ensure_weight_tying leaves them one`;
}

/** How files have a tensor of a module. */
function placeOf(module: Module, name: string): { transposed: boolean; stack?: number } {
  const isMatrix = !/bias$/.test(name);
  if (isExperts(module) && isMatrix) return { transposed: module.fanInFanOut, stack: module.count };
  return { transposed: name === "weight" && isLinear(module) && module.fanInFanOut };
}

/** What becomes of a tensor of a module, by the model's own name. */
export function changeOf(module: Module, name: string, compute: () => Tensor): [string, Change] {
  const { shape, device } = (module as Leaf).tensors[name] as Weight;
  const { transposed, stack } = placeOf(module, name);
  return [
    `${module.path}.${name}`,
    {
      shape: storedShape(shape, { transposed, stack }),
      async values() {
        const [buffer] = await readAndRelease(device, () => [compute()]);
        const values = new Float32Array(buffer ?? []);
        return transposed ? transposeStack(values, shape, stack) : values;
      },
    },
  ];
}
