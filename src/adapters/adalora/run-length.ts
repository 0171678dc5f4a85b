import type { AdapterTensors, Site } from "../method.ts";

/** Steps of the runs that adapters of this kind were trained in, by their sites: PEFT's file wants to know. */
const LENGTHS = new WeakMap<readonly Site[], number>();

/** Notes that an adapter is trained in a run of so many steps. */
export function noteRunLength(sites: readonly Site[], steps: number): void {
  LENGTHS.set(sites, steps);
}

/** Steps of the run that an adapter was trained in, if it was. */
export function runLength({ sites }: Pick<AdapterTensors, "sites">): number | undefined {
  return LENGTHS.get(sites);
}
