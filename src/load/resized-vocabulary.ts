import type { Adapter } from "../adapters/adapter.ts";
import { readAndRelease } from "../gpu/tensor.ts";
import { type FileSource, readJson, readText } from "../io/files/files.ts";
import { type CheckpointSource, type CheckpointTensor, openCheckpoint } from "../io/formats/checkpoint.ts";
import { PEFT_WEIGHTS } from "../io/formats/peft-names.ts";
import { DTYPE_BYTES, readHeader, type TensorInfo } from "../io/formats/safetensors.ts";
import { editJson } from "../io/json/edit.ts";
import { castToFloat } from "../kernels/cast.ts";
import type { Weight } from "../kernels/weight.ts";
import { isLeaf, modules } from "../nn/module.ts";
import type { HostTensor } from "../util/host-tensor.ts";
import { isObject } from "../util/json.ts";
import { decode, encode } from "./merged-values.ts";
import { TOKENIZER_FILES } from "./model-folder.ts";

/**
 * Matrices of the vocabulary, as PEFT knows them (`EMBEDDING_LAYER_NAMES`). What the base had before training, of a layer that is
 * adapted or trained whole, is in its wrapper; without one it is the layer's own, trained or not.
 */
const MATRIX =
  /(?:^|\.)(embed_tokens|lm_head)(?:\.(base_layer|token_adapter\.base_layer|original_module))?\.weight$/;
const layerOf = (name: string) => MATRIX.exec(name)?.[1];
const isWrapped = (name: string) => MATRIX.exec(name)?.[2] !== undefined;

const CONFIG = "config.json";

/**
 * The files of a base model as an adapter had it in training whose vocabulary was resized, with `resize_token_embeddings`:
 * PEFT keeps both matrices in the adapter's file then (`save_embedding_layers`), and the rows that the base lacks are taken from
 * there. The tokenizer is the adapter's, where one lies beside it, as for PEFT's `AutoPeftModel`.
 * @returns the files as they are where the adapter has as many tokens, or not all the matrices that the base has
 */
export async function vocabularyOf(
  base: FileSource | CheckpointSource,
  adapter: FileSource,
): Promise<FileSource | CheckpointSource> {
  if ((await adapter.size(PEFT_WEIGHTS)) === undefined) return base;
  const { tensors } = await readHeader(adapter, PEFT_WEIGHTS);
  const matrices = [...tensors.values()].sort(
    (a, b) => Number(isWrapped(a.name)) - Number(isWrapped(b.name)),
  );
  const stored = new Map<string, TensorInfo>();
  for (const tensor of matrices) {
    const layer = layerOf(tensor.name);
    if (layer !== undefined) stored.set(layer, tensor); // the base's own come last
  }
  const [rows, ...others] = new Set([...stored.values()].map(({ shape }) => shape[0]));
  const config = await readJson(base, CONFIG);
  const own = isObject(config) ? config.vocab_size : undefined;
  if (rows === undefined || others.length > 0 || typeof own !== "number" || rows === own) return base;
  const checkpoint = await openCheckpoint(base);
  const resized = new Map<string, Resized>();
  for (const tensor of checkpoint.tensors.values()) {
    const layer = layerOf(tensor.name);
    if (layer === undefined || tensor.shape[0] !== own) continue;
    const other = stored.get(layer);
    if (!other || tensor.packed || other.shape[1] !== tensor.shape[1]) return base; // who loads it says what is wrong
    resized.set(tensor.name, resize(tensor, other, adapter));
  }
  if (resized.size === 0) return base;
  const text = new TextEncoder().encode(
    editJson(await readText(base, CONFIG), new Map([["vocab_size", rows]])),
  );
  const files = await withTokenizerOf(base, adapter);
  return {
    ...files,
    isResized: true,
    size: async (name) => (name === CONFIG ? text.length : files.size(name)),
    read: async (name, start, end) =>
      name === CONFIG ? text.slice(start, end) : files.read(name, start, end),
    weights: {
      tensors: new Map(
        [...checkpoint.tensors].map(([name, tensor]) => [name, resized.get(name)?.tensor ?? tensor]),
      ),
      async read(tensor, start = 0, end = tensor.end - tensor.begin) {
        const known = resized.get(tensor.name);
        if (!known) return checkpoint.read(tensor, start, end);
        const { source, rest } = known;
        const size = source.end - source.begin;
        const kept =
          start < size ? await checkpoint.read(source, start, Math.min(end, size)) : new Uint8Array();
        if (end <= size) return kept;
        const more = (await rest()).subarray(Math.max(start, size) - size, end - size);
        const whole = new Uint8Array(end - start);
        whole.set(kept);
        whole.set(more, kept.length);
        return whole;
      },
    },
  };
}

/** A matrix with other rows. */
interface Resized {
  readonly tensor: CheckpointTensor;
  /** As it lies in the checkpoint. */
  readonly source: CheckpointTensor;
  /** The rows behind its own, in its number format. */
  rest(): Promise<Uint8Array>;
}

function resize(source: CheckpointTensor, other: TensorInfo, adapter: FileSource): Resized {
  const [own = 0, columns = 0] = source.shape;
  const [rows = 0] = other.shape;
  const end = source.begin + rows * columns * DTYPE_BYTES[source.dtype];
  let rest: Promise<Uint8Array> | undefined;
  const read = async () => {
    const from = other.begin + own * columns * DTYPE_BYTES[other.dtype];
    return encode(decode(await adapter.read(PEFT_WEIGHTS, from, other.end), other), source);
  };
  return { source, tensor: { ...source, shape: [rows, columns], end }, rest: () => (rest ??= read()) };
}

/** Files of a model, those of the tokenizer being the ones beside an adapter, where it has some. */
async function withTokenizerOf(base: FileSource, adapter: FileSource): Promise<FileSource> {
  if ((await adapter.size("tokenizer.json")) === undefined) return base;
  const of = (name: string) => (TOKENIZER_FILES.includes(name) ? adapter : base);
  return {
    ...base,
    size: (name) => of(name).size(name),
    read: (name, start, end) => of(name).read(name, start, end),
  };
}

/** The tokenizer's files of a model whose vocabulary was resized: nobody would have its tokens without them. */
export async function tokenizerFiles(files: FileSource): Promise<[string, Uint8Array][]> {
  const found = TOKENIZER_FILES.map(async (name): Promise<[string, Uint8Array][]> => {
    const size = await files.size(name);
    return size === undefined ? [] : [[name, await files.read(name, 0, size)]];
  });
  return (await Promise.all(found)).flat();
}

/**
 * The matrices of a resized vocabulary that are not trained whole, by PEFT's names: what an adapter's file holds so that its base
 * can be made again. PEFT's `save_embedding_layers="auto"`.
 */
export async function vocabularyMatrices({ base, sites, saved }: Adapter): Promise<[string, HostTensor][]> {
  const leaves = [...modules(base.root)].filter(isLeaf).filter(({ path }) => layerOf(`${path}.weight`));
  const kept = leaves.filter(
    (leaf) => !saved.some(({ module, tensors }) => module === leaf && tensors.weight),
  );
  const matrices = kept.map(async (leaf): Promise<[string, HostTensor]> => {
    const weight = leaf.tensors.weight as Weight;
    const [buffer] = await readAndRelease(weight.device, () => [castToFloat(weight)]);
    const own = Object.keys(sites.find(({ module }) => module === leaf)?.tensors ?? {});
    const wrapper =
      own.length === 0 ? "" : own.includes("token_rows") ? ".token_adapter.base_layer" : ".base_layer";
    return [
      `${leaf.path}${wrapper}.weight`,
      { shape: weight.shape, data: new Float32Array(buffer as ArrayBuffer) },
    ];
  });
  return Promise.all(matrices);
}
