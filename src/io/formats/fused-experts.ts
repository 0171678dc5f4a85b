import type { Checkpoint, CheckpointTensor } from "./checkpoint.ts";

// Files of most families hold a matrix for each expert; models hold all of a layer's in one.

/** What a layer of one expert is called, and which part of the fused matrix it is, in which order. */
const PARTS: Readonly<Record<string, readonly [matrix: string, place: number]>> = {
  gate_proj: ["gate_up_proj", 0],
  up_proj: ["gate_up_proj", 1],
  down_proj: ["down_proj", 0],
  w1: ["gate_up_proj", 0],
  w3: ["gate_up_proj", 1],
  w2: ["down_proj", 0],
};

/**
 * The tensors of a checkpoint with the experts of each layer as one, `[experts, rows, columns]`, a gate's rows before those of
 * its up (`MergeModulelist` and `Concatenate` in core_model_loading.py of transformers 5). Experts of which some are missing
 * or differ stay as they are, and so do those that are held in fewer bits: see {@link quantisedExpert}.
 */
export function fuseExperts(tensors: Checkpoint["tensors"]): Map<string, CheckpointTensor> {
  const all = new Map(tensors);
  for (const [name, parts] of partsByMatrix(tensors)) {
    const fused = fuse(name, parts);
    if (!fused) continue;
    for (const part of parts) all.delete(part.tensor.name);
    all.set(name, fused);
  }
  return all;
}

interface Part {
  readonly tensor: CheckpointTensor;
  readonly expert: number;
  readonly place: number;
}

function partsByMatrix(tensors: Checkpoint["tensors"]): Map<string, Part[]> {
  const found = new Map<string, Part[]>();
  for (const tensor of tensors.values()) {
    const part = partOf(tensor);
    if (!part || tensor.packed) continue;
    const parts = found.get(part.name) ?? [];
    found.set(part.name, parts);
    parts.push(part);
  }
  return found;
}

/** What a tensor is of the matrix of all experts with this name; undefined where it is no matrix of one expert. */
function partOf(tensor: CheckpointTensor): (Part & { readonly name: string }) | undefined {
  const [, path, expert, layer] = /^(.*\.experts)\.(\d+)\.(\w+)\.weight$/.exec(tensor.name) ?? [];
  const known = layer !== undefined && Object.hasOwn(PARTS, layer) ? PARTS[layer] : undefined;
  return known && { name: `${path}.${known[0]}`, tensor, expert: Number(expert), place: known[1] };
}

/** A matrix of one expert that is held in fewer bits, where there is one: these are not read. */
export function quantisedExpert(tensors: Checkpoint["tensors"]): CheckpointTensor | undefined {
  return [...tensors.values()].find((tensor) => tensor.packed && partOf(tensor));
}

function fuse(name: string, parts: Part[]): CheckpointTensor | undefined {
  parts.sort((a, b) => a.expert - b.expert || a.place - b.place);
  const [first] = parts;
  if (!first) return undefined;
  const places = name.endsWith(".gate_up_proj") ? 2 : 1;
  const { dtype, shape, file } = first.tensor;
  const isWhole = parts.every(
    ({ expert, place }, i) => expert === Math.floor(i / places) && place === i % places,
  );
  const isAlike = parts.every(({ tensor }) => tensor.dtype === dtype && tensor.shape.join() === shape.join());
  if (!isWhole || !isAlike || parts.length % places !== 0) return undefined;
  const [rows = 0, columns = 0] = shape;
  const end = parts.reduce((sum, { tensor }) => sum + tensor.end - tensor.begin, 0);
  return {
    ...{ name, dtype, file, begin: 0, end, shape: [parts.length / places, places * rows, columns] },
    parts: parts.map(({ tensor }) => tensor),
  };
}

/** Reads tensors that consist of others as if they lay one after the other. */
export function readingParts(read: Checkpoint["read"]): Checkpoint["read"] {
  return async (tensor, start = 0, end = tensor.end - tensor.begin) => {
    const { parts } = tensor;
    if (!parts) return read(tensor, start, end);
    const bytes = new Uint8Array(end - start);
    let begin = 0;
    for (const part of parts) {
      const length = part.end - part.begin;
      const [from, to] = [Math.max(start, begin), Math.min(end, begin + length)];
      if (from < to) bytes.set(await read(part, from - begin, to - begin), from - start);
      begin += length;
    }
    return bytes;
  };
}
