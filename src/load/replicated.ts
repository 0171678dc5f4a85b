import type { Checkpoint, CheckpointTensor } from "../io/formats/checkpoint.ts";
import type { HfConfig } from "../models/config-reader.ts";
import { openPlan } from "../models/open-plan.ts";
import { replicatedOrder } from "../nn/replicate.ts";
import { layOutModel } from "./layout.ts";
import type { LoadedModel } from "./model.ts";

/**
 * The checkpoint of a model whose layers were stacked anew, as that of one whose layers are its own: each copy has tensors under
 * its new number, with the bytes of the layer that it repeats, and the config counts them.
 */
export async function stackedCheckpoint(checkpoint: Checkpoint, model: LoadedModel): Promise<Checkpoint> {
  const { layerReplication, device, task } = model;
  if (!layerReplication) return checkpoint;
  const { config } = checkpoint;
  const order = replicatedOrder(layerReplication);
  const { layers = "" } = await openPlan(config, task, layerReplication);
  const { tensors } = await layOutModel(device, checkpoint, config, task);
  const layerOf = new Map(
    [...tensors].flatMap(([own, { name }]): [string, number][] => {
      const number = own.startsWith(`${layers}.`)
        ? Number.parseInt(own.slice(layers.length + 1), 10)
        : Number.NaN;
      return Number.isNaN(number) ? [] : [[name, number]];
    }),
  );
  const list = layers.slice(layers.lastIndexOf(".") + 1);
  /** What lies where the copy's bytes are. */
  const sources = new Map<CheckpointTensor, CheckpointTensor>();
  const copiesOf = (stored: CheckpointTensor): CheckpointTensor[] => {
    const layer = layerOf.get(stored.name);
    if (layer === undefined) return [stored];
    const places = [...order.keys()].filter((place) => order[place] === layer);
    return places.map((place) => {
      const copy = { ...stored, name: stored.name.replace(`${list}.${layer}.`, `${list}.${place}.`) };
      sources.set(copy, stored);
      return copy;
    });
  };
  const all = [...checkpoint.tensors.values()].flatMap(copiesOf);
  return {
    ...checkpoint,
    config: { ...config, ...stackedFields(config, order) },
    tensors: new Map(all.map((tensor) => [tensor.name, tensor])),
    read: (tensor, ...range) => checkpoint.read(sources.get(tensor) ?? tensor, ...range),
  };
}

/** What a config says of its layers. */
function stackedFields({ layer_types: types }: HfConfig, order: readonly number[]): HfConfig {
  return {
    num_hidden_layers: order.length,
    ...(Array.isArray(types) && { layer_types: order.map((layer) => types[layer] as unknown) }),
  };
}
