import type { JsonObject } from "../../../util/json.ts";
import type { CheckpointTensor } from "../checkpoint.ts";
import type { PackedMatrix } from "../packed.ts";
import type { StoredLayer } from "./stored-layer.ts";
import type { Unpacked } from "./unordered.ts";

/** A matrix as one layer's tensors hold it. */
export interface StoredMatrix {
  /** `[out, in]`, as `torch.nn.Linear` has it, also where a layer that is not quantised would be stored transposed. */
  readonly shape: readonly [rows: number, columns: number];
  /** Where most of it lies. */
  readonly codes: CheckpointTensor;
  readonly packed: PackedMatrix | Unpacked;
}

/** Reads the weight of one layer; notes what is wrong with it, and gives nothing then. */
export type ReadLayer = (layer: StoredLayer) => Promise<StoredMatrix | undefined> | StoredMatrix | undefined;

/** One way in which checkpoints hold quantised weights. */
export interface QuantisationMethod {
  /** What `quant_method` of `config.json` calls it. */
  readonly names: readonly string[];
  /**
   * Ends of the names of the tensors that make a weight, behind the layer's path and a dot. `weight` alone is a layer that
   * is not quantised, unless its numbers are codes.
   */
  readonly parts: readonly string[];
  /**
   * What stands between a tensor's own name and the end of a part's, where parts are not a layer's but a tensor's:
   * `gate_up_proj_blocks` is a part of `gate_up_proj`.
   */
  readonly ofTensors?: string;
  /**
   * @param settings what `config.json` says of it
   * @param refuse notes a setting that is not read
   */
  open(settings: JsonObject, refuse: (problem: string) => void): ReadLayer;
}
