import type { Checkpoint } from "../checkpoint.ts";
import { quantisationOf } from "./settings.ts";
import { refuseUnconfigured } from "./unread.ts";

/**
 * A checkpoint whose quantised weights are tensors like the others, each under its layer's `weight`: with the shape that the
 * model asks for, read by `packed`. Where nothing is quantised it is the same. What says how to read the codes is
 * read, the codes are not.
 * @throws LoraError listing everything that is wrong, or of kind `unsupported` where the method is not read
 */
export async function readQuantised(checkpoint: Checkpoint): Promise<Checkpoint> {
  const found = quantisationOf(checkpoint.config);
  if (found === undefined) {
    refuseUnconfigured(checkpoint);
    return checkpoint;
  }
  const { readByMethod } = await import("./methods.ts"); // its readers stay out of a page that opens no such model
  return readByMethod(checkpoint, found);
}
