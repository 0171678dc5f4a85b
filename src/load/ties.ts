import type { Checkpoint, CheckpointTensor } from "../io/formats/checkpoint.ts";
import type { Ties } from "../models/family.ts";
import { decodeBf16, decodeF16 } from "../util/half.ts";

/** What a checkpoint says about a shared output layer. */
export interface SettledTies {
  /** The output layer is stored and is another matrix: it isn't shared, whatever the config says. */
  readonly untied: boolean;
  readonly warnings: readonly string[];
}

/**
 * Settles which tensors an output layer shares, as `tie_weights` of transformers 5 does: of a pair that a file holds
 * in one place, that one stands for both; where both are there and differ, each is its own.
 * @param tensors by the model's own names; filled up where one of a pair stands for the other
 */
export async function settleTies(
  { label, read }: Pick<Checkpoint, "label" | "read">,
  tensors: Map<string, CheckpointTensor>,
  ties: Ties,
): Promise<SettledTies> {
  let untied = false;
  const warnings: string[] = [];
  for (const [copy, source] of ties) {
    const [own, shared] = [tensors.get(copy), tensors.get(source)];
    if (own && !shared) tensors.set(source, own);
    else if (shared && !own) tensors.set(copy, shared);
    if (!own || !shared || (await isSame(read, own, shared))) continue;
    if (copy.endsWith(".weight")) {
      untied = true;
      warnings.push(
        `${label}: config.json says or means tie_word_embeddings: true, and the stored ${own.name} differs from ` +
          `${shared.name}: it is used as an output layer of its own, as by transformers`,
      );
    } else {
      tensors.set(source, own); // of the two, the layer computes with its own
      warnings.push(
        `${label}: ${own.name} and ${shared.name} differ; the former is used, as by transformers`,
      );
    }
  }
  return { untied, warnings };
}

/** Elements that are compared at a time. */
const CHUNK = 2 ** 20;

/** Whether two stored tensors hold equal values, whatever their formats. They are read in parts. */
async function isSame(read: Checkpoint["read"], a: CheckpointTensor, b: CheckpointTensor): Promise<boolean> {
  if (a.shape.join() !== b.shape.join() || a.packed || b.packed) return false;
  const count = a.shape.reduce((product, size) => product * size, 1);
  const part = (tensor: CheckpointTensor, first: number, last: number) => {
    const width = (tensor.end - tensor.begin) / count;
    return read(tensor, first * width, last * width);
  };
  for (let first = 0; first < count; first += CHUNK) {
    const last = Math.min(first + CHUNK, count);
    const [left, right] = await Promise.all([part(a, first, last), part(b, first, last)]);
    if (a.dtype === b.dtype && isEqual(left, right)) continue;
    const [x, y] = [valuesOf(left, a.dtype), valuesOf(right, b.dtype)];
    if (!x || !y || !isEqual(x, y)) return false;
  }
  return true;
}

function isEqual(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** Undefined for a format that holds no weights here. */
function valuesOf(bytes: Uint8Array, dtype: string): Float32Array | undefined {
  const { buffer } = new Uint8Array(bytes); // at an element's boundary
  if (dtype === "F32") return new Float32Array(buffer);
  if (dtype === "BF16") return decodeBf16(new Uint16Array(buffer));
  return dtype === "F16" ? decodeF16(new Uint16Array(buffer)) : undefined;
}
