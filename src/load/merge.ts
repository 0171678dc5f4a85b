import type { Adapter } from "../adapters/adapter.ts";
import type { Device } from "../gpu/device.ts";
import { scoped, type Tensor } from "../gpu/tensor.ts";
import type { FileContent, FileSource } from "../io/files/files.ts";
import { type Checkpoint, type CheckpointTensor, openCheckpoint } from "../io/formats/checkpoint.ts";
import { byteLength, type SafetensorsDtype } from "../io/formats/safetensors.ts";
import { planSafetensors, type TensorSpec } from "../io/formats/safetensors-writer.ts";
import type { HfConfig } from "../models/config-reader.ts";
import { buildModel } from "../models/families.ts";
import { shapeWeights } from "../nn/initial-weights.ts";
import { isLinear } from "../nn/linear.ts";
import type { Leaf, Module } from "../nn/module.ts";
import { ownName } from "../nn/weights.ts";
import { fail } from "../util/fail.ts";
import { encodeBf16, encodeF16 } from "../util/half.ts";
import { transpose } from "../util/transpose.ts";
import { type LoadedModel, withLabels } from "./model.ts";

const INDEX = "model.safetensors.index.json";

/** What belongs to a checkpoint beside its weights and configuration; copied where it is there. */
const COMPANIONS = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "vocab.txt",
  "merges.txt",
  "tokenizer.model",
  "chat_template.jinja",
  "preprocessor_config.json",
] as const;

/** Bytes of an unchanged tensor that are copied at a time. */
const CHUNK_BYTES = 4 * 2 ** 20;

/** A tensor of the checkpoint that the adapter changes, or adds. */
interface Change {
  readonly shape: readonly number[];
  /** Its new values, computed when its turn comes. */
  values(): Promise<Float32Array>;
}

/**
 * The files of a model with an adapter merged into its weights: W + s · B A where there is LoRA, and the trained copy of
 * what was trained whole. Number formats and shards stay those of the checkpoint, so that whatever reads the base model
 * reads the result; what the model does not read, such as heads of other tasks, is left out. One tensor at a time is in
 * memory. The model is left as it is.
 * PEFT's `merge_and_unload`.
 * @param files the checkpoint that the model was loaded from
 * @throws LoraError where the adapter's method cannot be merged, or the checkpoint is another
 */
export async function mergedFiles(
  model: LoadedModel,
  adapter: Adapter,
  files: FileSource,
): Promise<Map<string, FileContent>> {
  const checkpoint = await openCheckpoint(files);
  const changes = changesOf(adapter);
  const layout = layOut(checkpoint, changes, renamer(model, checkpoint.config));
  const shards = [...layout].map(([file, tensors]) => [file, weightsFile(checkpoint, tensors)] as const);
  const result = new Map<string, FileContent>([["config.json", mergedConfig(checkpoint, model)], ...shards]);
  if (layout.size > 1 || !layout.has("model.safetensors")) result.set(INDEX, indexFile(layout));
  for (const name of COMPANIONS) {
    const size = await files.size(name);
    if (size !== undefined) result.set(name, await files.read(name, 0, size));
  }
  return result;
}

/** The model's own name for a stored tensor, or nothing where the model does not read it. */
function renamer(
  { device, renames, task }: LoadedModel,
  config: HfConfig,
): (stored: string) => string | undefined {
  const { root, requests } = shapeWeights(device);
  buildModel(device, config, root, task).release();
  const known = new Set(requests.map(({ name }) => name));
  return (stored) => {
    const name = ownName(renames, stored);
    return known.has(name) ? name : undefined;
  };
}

/** A tensor of the result: where its values come from. */
type Source = {
  readonly spec: TensorSpec;
  readonly stored?: CheckpointTensor;
  readonly change?: Change | undefined;
};

/** The tensors of each file. Those that the checkpoint lacks (a new head) go into the last file. */
function layOut(
  { tensors }: Checkpoint,
  changes: ReadonlyMap<string, Change>,
  nameOf: (stored: string) => string | undefined,
): Map<string, Source[]> {
  const layout = new Map<string, Source[]>();
  const names = new Set<string>();
  for (const stored of [...tensors.values()].sort((a, b) => (a.file < b.file ? -1 : 1))) {
    const name = nameOf(stored.name);
    if (name === undefined) continue;
    const change = changes.get(name);
    const spec = { name, dtype: stored.dtype, shape: change?.shape ?? stored.shape };
    const sources = layout.get(stored.file) ?? [];
    layout.set(stored.file, sources);
    sources.push({ spec, stored, change });
    names.add(name);
  }
  const last = [...layout.values()].at(-1) ?? [];
  const { dtype } = last[0]?.spec ?? fail("merge", "the checkpoint holds no tensors");
  for (const [name, change] of changes) {
    if (!names.has(name)) last.push({ spec: { name, dtype, shape: change.shape }, change });
  }
  return layout;
}

/** Every tensor that the adapter changes, by the model's own name for it. */
function changesOf({ method, sites, saved }: Adapter): Map<string, Change> {
  const merge = method.merge ?? fail("merge", `${method.type} has no merged form`, "keep it as an adapter");
  const merged = sites.flatMap(({ module, tensors }) =>
    Object.entries(merge(module, tensors)).map(([name, compute]) => changeOf(module, name, compute)),
  );
  const trained = saved.flatMap(({ module, tensors }) =>
    Object.entries(tensors).map(([name, tensor]) => changeOf(module, name, () => tensor)),
  );
  return new Map([...merged, ...trained]);
}

function changeOf(module: Module, name: string, compute: () => Tensor): [string, Change] {
  const { shape, device } = (module as Leaf).tensors[name] as Tensor;
  const [rows = 0, columns = 0] = shape;
  const turned = name === "weight" && isLinear(module) && module.fanInFanOut;
  return [
    `${module.path}.${name}`,
    {
      shape: turned ? [columns, rows] : shape,
      async values() {
        const values = await readOnce(device, compute);
        return turned ? transpose(values, rows, columns) : values;
      },
    },
  ];
}

/** Computes a tensor and reads it; its memory is free again at once. */
async function readOnce(device: Device, compute: () => Tensor): Promise<Float32Array> {
  let values: Promise<Float32Array> | undefined;
  scoped(device, () => {
    values = compute().read(); // records the copy before the scope ends
    return undefined;
  });
  return values as Promise<Float32Array>;
}

/** A file's bytes, one after another: the header, then each tensor's. */
async function* weightsFile(checkpoint: Checkpoint, sources: readonly Source[]): AsyncIterable<Uint8Array> {
  const { header, tensors } = planSafetensors(
    sources.map(({ spec }) => spec),
    { format: "pt" },
  );
  yield header;
  const byName = new Map(sources.map((source) => [source.spec.name, source]));
  for (const { name } of tensors) yield* tensorBytes(checkpoint, byName.get(name) as Source);
}

async function* tensorBytes(
  { read }: Checkpoint,
  { spec, stored, change }: Source,
): AsyncIterable<Uint8Array> {
  if (change) {
    yield encode(await change.values(), spec);
  } else if (stored) {
    const size = stored.end - stored.begin;
    for (let start = 0; start < size; start += CHUNK_BYTES) {
      yield await read(stored, start, Math.min(start + CHUNK_BYTES, size));
    }
  }
}

/** f32 values in a checkpoint's number format, rounded to nearest. */
function encode(values: Float32Array, { name, dtype }: TensorSpec): Uint8Array {
  const encoders: Partial<Record<SafetensorsDtype, () => Float32Array | Uint16Array>> = {
    F32: () => values,
    BF16: () => encodeBf16(values),
    F16: () => encodeF16(values),
  };
  const { buffer, byteOffset, byteLength } =
    encoders[dtype]?.() ?? fail("merge", `${name} is ${dtype}, wanted F32, BF16 or F16`);
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

function indexFile(layout: ReadonlyMap<string, readonly Source[]>): string {
  const placed = [...layout].flatMap(([file, sources]) => sources.map(({ spec }) => [spec, file] as const));
  const total_size = placed.reduce((sum, [{ dtype, shape }]) => sum + byteLength(dtype, shape), 0);
  const weight_map = Object.fromEntries(placed.map(([{ name }, file]) => [name, file]));
  return `${JSON.stringify({ metadata: { total_size }, weight_map }, null, 2)}\n`;
}

/** The checkpoint's config for the model's head: its class, and the names of a classifier's labels. */
function mergedConfig({ config }: Checkpoint, model: LoadedModel): string {
  const labels = "labels" in model ? model.labels : undefined;
  const named = withLabels(config, labels);
  return `${JSON.stringify({ ...named, architectures: [model.architecture] }, null, 2)}\n`;
}
