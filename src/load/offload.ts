import { fail } from "../util/fail.ts";
import { either, flag, integer } from "../util/options.ts";

/** Which layers' frozen matrices stay in the host's memory: all of them, or so many, evenly spread. */
export type Offloading = boolean | number;

/** What stays there. */
export interface OffloadedLayers {
  /** How many layers. */
  readonly layers: number;
  /** Of their matrices. */
  readonly bytes: number;
}

/** What it has to be. */
export const OFFLOAD = either(flag(), integer({ min: 1 }));

/** A layer's path: all up to the first number in a name. */
const LAYER = /^(?:[^.]+\.)*?\d+(?=\.)/;

/**
 * The layer with which a matrix stays on the host.
 * @param names of all of a model's tensors
 * @returns undefined of a name where the matrix goes to the device
 * @throws LoraError where there are fewer layers
 */
export function offloadedLayers(
  names: Iterable<string>,
  offload: Offloading,
): (name: string) => string | undefined {
  const layerOf = (name: string) => LAYER.exec(name)?.[0];
  const layers = [...new Set([...names].map(layerOf))].filter((layer) => layer !== undefined);
  const count = offload === true ? layers.length : Number(offload);
  if (count > layers.length) {
    const help = `give ${layers.length} at most, or nothing for all`;
    fail("offload", `${count} layers are to stay on the host, and the model has ${layers.length}`, help);
  }
  // Between layers that are on the device there is more time for the next one to arrive.
  const chosen = new Set(
    Array.from({ length: count }, (_, i) => layers[Math.floor((i * layers.length) / count)]),
  );
  return (name) => {
    const layer = layerOf(name);
    return layer !== undefined && chosen.has(layer) ? layer : undefined;
  };
}
