import type { FileSource } from "../../io/files/files.ts";
import { type Checkpoint, type CheckpointTensor, openCheckpoint } from "../../io/formats/checkpoint.ts";
import { readQuantised } from "../../io/formats/quantised/read-quantised.ts";
import { planModel } from "../../models/families.ts";
import { modelName, ownName } from "../../nn/weights.ts";
import { decodeBf16, decodeF16 } from "../../util/half.ts";

/** A weight of the base model. */
export interface BaseWeight {
  readonly shape: readonly number[];
  /** ‖W‖ in Frobenius' norm; undefined where it is quantised in the file. */
  readonly norm: number | undefined;
}

/**
 * The norms of a checkpoint's weights of some layers, by the layers' paths in the adapter. A few MiB are in memory at a
 * time. Layers that it does not hold are left out.
 * @throws LoraError where the checkpoint can't be read or is of an architecture that is not known
 */
export async function baseNorms(
  files: FileSource,
  paths: readonly string[],
): Promise<Map<string, BaseWeight>> {
  const checkpoint = await readQuantised(await openCheckpoint(files));
  const { family } = planModel(checkpoint.config);
  const wanted = new Map(paths.map((path) => [`${ownName(family.renames, path)}.weight`, path]));
  const sources = new Map(family.ties); // an output layer that is not stored is the embedding
  const known = new Set([...wanted.keys(), ...[...wanted.keys()].flatMap((name) => sources.get(name) ?? [])]);
  const stored = new Map(
    [...checkpoint.tensors.values()].map((tensor) => [modelName(family, tensor.name, known), tensor]),
  );
  const norms = new Map<string, BaseWeight>();
  for (const [name, path] of wanted) {
    const tensor = stored.get(name) ?? stored.get(sources.get(name) ?? "");
    if (tensor?.packed) norms.set(path, { shape: tensor.shape, norm: undefined });
    else if (tensor && tensor.dtype in DECODERS)
      norms.set(path, { shape: tensor.shape, norm: Math.sqrt(await squares(checkpoint, tensor)) });
  }
  return norms;
}

/** Bytes that are read at a time. */
const CHUNK_BYTES = 4 * 2 ** 20;

const DECODERS: Readonly<Record<string, (buffer: ArrayBuffer) => Float32Array>> = {
  F32: (buffer) => new Float32Array(buffer),
  BF16: (buffer) => decodeBf16(new Uint16Array(buffer)),
  F16: (buffer) => decodeF16(new Uint16Array(buffer)),
};

async function squares({ read }: Checkpoint, tensor: CheckpointTensor): Promise<number> {
  const size = tensor.end - tensor.begin;
  const decode = DECODERS[tensor.dtype]!;
  let sum = 0;
  for (let start = 0; start < size; start += CHUNK_BYTES) {
    const bytes = await read(tensor, start, Math.min(start + CHUNK_BYTES, size));
    const values = decode(new Uint8Array(bytes).buffer);
    for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  }
  return sum;
}
