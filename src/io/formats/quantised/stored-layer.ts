import { attempt, type Problem } from "../../../util/fail.ts";
import type { Checkpoint, CheckpointTensor } from "../checkpoint.ts";
import type { SafetensorsDtype } from "../safetensors.ts";

/** What a part of a layer has to be; a size of 0 may be any. */
export interface PartShape {
  readonly dtypes: readonly SafetensorsDtype[];
  readonly shape: readonly number[];
}

/** The tensors of a checkpoint that make one quantised weight, by the ends of their names. */
export class StoredLayer {
  /** Its module's path in the file: `model.layers.0.mlp.up_proj`; where parts are a tensor's, the name of that. */
  readonly path: string;
  /** What stands between the path and the ends of the names. */
  readonly #separator: string;
  readonly #parts: ReadonlyMap<string, CheckpointTensor>;
  readonly #read: Checkpoint["read"];
  readonly #problems: Problem[];

  constructor(
    path: string,
    parts: ReadonlyMap<string, CheckpointTensor>,
    {
      read,
      problems,
      separator = ".",
    }: { read: Checkpoint["read"]; problems: Problem[]; separator?: string },
  ) {
    this.path = path;
    this.#separator = separator;
    this.#parts = parts;
    this.#read = read;
    this.#problems = problems;
  }

  /** The ends of the names that are there. */
  get names(): readonly string[] {
    return [...this.#parts.keys()];
  }

  /** The tensor whose name ends like this, where it is there. */
  part(name: string): CheckpointTensor | undefined {
    return this.#parts.get(name);
  }

  /** A tensor that has to be there, of this type and shape; undefined, and noted, where it is not. */
  need(name: string, { dtypes, shape }: PartShape): CheckpointTensor | undefined {
    const tensor = this.#parts.get(name);
    if (!tensor) return this.refuse(`${this.path}${this.#separator}${name} is missing`);
    if (!dtypes.includes(tensor.dtype))
      return this.refuse(`${tensor.name} is ${tensor.dtype}, expected ${dtypes.join(" or ")}`);
    const fits =
      tensor.shape.length === shape.length &&
      shape.every((size, i) => size === 0 || size === tensor.shape[i]);
    if (fits) return tensor;
    const wanted = shape.map((size) => size || "any").join(", ");
    return this.refuse(`${tensor.name} is [${tensor.shape.join(", ")}], expected [${wanted}]`);
  }

  /** Notes what is wrong; reading goes on, so that all problems are told. */
  refuse(problem: string): undefined {
    this.#problems.push(problem);
  }

  /** What `task` gives; where what it reads is wrong, that is noted. */
  attempt<T>(task: () => Promise<T>): Promise<T | undefined> {
    return attempt(this.#problems, task);
  }

  /** All bytes of a tensor, or some of them. */
  read(tensor: CheckpointTensor, start?: number, end?: number): Promise<Uint8Array> {
    return this.#read(tensor, start, end);
  }
}
