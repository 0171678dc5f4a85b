import { attempt, fail, failAll, Problems } from "../../util/fail.ts";
import { firstOf } from "../../util/group-lines.ts";
import { isObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";
import {
  checkRange,
  existing,
  type FileSource,
  leavesFolder,
  readObject,
  readOptionalObject,
} from "../files/files.ts";
import type { PackedMatrix } from "./packed.ts";
import { readHeader, type TensorInfo } from "./safetensors.ts";

/** A tensor of a checkpoint and the file it lies in. */
export interface CheckpointTensor extends TensorInfo {
  readonly file: string;
  /** Where its values are held in fewer bits: then they are read by this, and its bytes by themselves say nothing. */
  readonly packed?: PackedMatrix;
  /** Stored tensors whose bytes are its own, one after the other: then its own place says nothing. */
  readonly parts?: readonly CheckpointTensor[];
  /** Where its values are made of other tensors' bytes when they are read: those from `start` to `end` of them. */
  readonly made?: (start: number, end: number) => Promise<Uint8Array>;
}

/** Where a tensor should be that is not there. */
export interface AbsentTensor {
  readonly file: string;
  /** Whether there is such a file at all. */
  readonly fileExists: boolean;
}

/** A Hugging Face checkpoint: configuration and tensors, one file or sharded. */
export interface Checkpoint {
  readonly label: string;
  /** `config.json`. */
  readonly config: Record<string, unknown>;
  /** `generation_config.json`, where there is one. */
  readonly generationConfig?: Record<string, unknown>;
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** Tensors that the index names and no file holds, with the file that it says: an error only where one is needed. */
  readonly absent: ReadonlyMap<string, AbsentTensor>;
  /** What a tensor is called in files where the names are not transformers'. */
  readonly fileName?: (name: string) => string;
  /** What to do where a tensor is missing or has another shape; about `config.json` unless given. */
  readonly misfitHelp?: string;
  /** What about the files deserves attention but is no error. */
  readonly warnings: readonly string[];
  /** Bytes [start, end) of a tensor's data, counted from its own start; the whole of it by default. */
  read(tensor: CheckpointTensor, start?: number, end?: number): Promise<Uint8Array>;
}

/** Files of a model whose weights are no safetensors, and are read by themselves. */
export interface CheckpointSource extends FileSource {
  readonly weights: Pick<Checkpoint, "tensors" | "read" | "fileName" | "misfitHelp">;
  /** The vocabulary has other rows than in the model's own files. */
  readonly isResized?: boolean;
}

/** What to do where a file beside the weights is not what it should be. */
const COPY = "take the file that belongs to these weights: copy or download it again";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** Whether there are tensors where {@link openCheckpoint} looks for them. */
export async function hasTensors(files: FileSource | CheckpointSource): Promise<boolean> {
  return "weights" in files || (await existing(files, [SINGLE, INDEX])).length > 0;
}

/**
 * Opens a checkpoint: reads its configuration and the headers of its files, no tensor data.
 * `model.safetensors` wins over `model.safetensors.index.json`, as in transformers.
 * Throws a LoraError that lists every problem of every file.
 */
export async function openCheckpoint(files: FileSource | CheckpointSource): Promise<Checkpoint> {
  const problems = new Problems();
  const [config, generationConfig, stored] = await Promise.all([
    attempt(problems, () => readObject(files, "config.json", COPY)),
    attempt(problems, () => readOptionalObject(files, "generation_config.json", COPY)),
    "weights" in files ? undefined : attempt(problems, () => readTensors(files, problems)),
  ]);
  failAll(files.label, problems);
  const own = {
    label: files.label,
    config: config!,
    ...(generationConfig && { generationConfig }),
  };
  if ("weights" in files) return { ...own, ...files.weights, absent: new Map(), warnings: [] };
  return {
    ...own,
    ...stored!,
    read: (tensor, start = 0, end = tensor.end - tensor.begin) => readSlice(files, tensor, start, end),
  };
}

async function readSlice(
  files: FileSource,
  tensor: CheckpointTensor,
  start: number,
  end: number,
): Promise<Uint8Array> {
  const { file, name, begin } = tensor;
  checkRange({ label: `${files.label}/${file}`, name, size: tensor.end - begin, start, end });
  return files.read(file, begin + start, begin + end);
}

/** The tensors of a checkpoint's files, and where its index is not right about them. */
type Stored = Pick<Checkpoint, "tensors" | "absent" | "warnings">;

async function readTensors(files: FileSource, problems: Problems): Promise<Stored> {
  if ((await files.size(SINGLE)) !== undefined) {
    return { tensors: await readFileTensors(files, SINGLE), absent: new Map(), warnings: [] };
  }
  if ((await files.size(INDEX)) !== undefined) return readShards(files, problems);
  return failWithoutWeights(files);
}

async function readFileTensors(files: FileSource, file: string): Promise<Map<string, CheckpointTensor>> {
  const { tensors } = await readHeader(files, file);
  return new Map([...tensors].map(([name, info]) => [name, { ...info, file }]));
}

/**
 * As transformers does: the index says which files there are, and all that they hold counts, wherever the index says
 * that it is. A file that is not there is an error only where the model needs what it should hold.
 */
async function readShards(files: FileSource, problems: Problems): Promise<Stored> {
  const where = `${files.label}/${INDEX}`;
  const weightMap = readWeightMap(await readObject(files, INDEX, COPY), where);
  const names = [...new Set(weightMap.values())].sort();
  const outside = names.filter(leavesFolder);
  await attempt(problems, async () => {
    const paths = outside.map((name) => `the shard path ${JSON.stringify(name)} leaves the folder`);
    failAll(where, paths, "the files of a checkpoint lie in one folder: name them without a path");
  });

  const shards = new Map<string, Map<string, CheckpointTensor>>();
  const openShard = async (name: string) => {
    if ((await files.size(name)) === undefined) return;
    const tensors = await attempt(problems, () => readFileTensors(files, name));
    shards.set(name, tensors ?? new Map());
  };
  await Promise.all(names.filter((name) => !leavesFolder(name)).map(openShard));
  const inOrder = names.flatMap((name) => [...(shards.get(name)?.values() ?? [])]);
  const tensors = new Map(inOrder.map((tensor) => [tensor.name, tensor]));
  const absent = [...weightMap]
    .filter(([name]) => !tensors.has(name))
    .map(([name, file]) => [name, { file, fileExists: shards.has(file) }] as const);
  return { tensors, absent: new Map(absent), warnings: twiceStored(inOrder, tensors, where) };
}

function twiceStored(
  inOrder: readonly CheckpointTensor[],
  kept: ReadonlyMap<string, CheckpointTensor>,
  where: string,
): string[] {
  return inOrder
    .map((tensor) => ({ tensor, used: kept.get(tensor.name) ?? tensor }))
    .filter(({ tensor, used }) => tensor !== used)
    .map(
      ({ tensor: { name, file }, used }) =>
        `${where}: ${name} is in ${file} and in ${used.file}; the latter is used, as by transformers`,
    );
}

function readWeightMap(index: Record<string, unknown>, where: string): Map<string, string> {
  const map = index.weight_map;
  if (!isObject(map))
    return fail(where, "weight_map is missing or no object of tensor name → file name", COPY);
  const problems = new Problems();
  const files = new Map<string, string>();
  for (const name of Object.keys(map)) {
    const file = map[name];
    if (typeof file === "string") files.set(name, file);
    else problems.push(() => `weight_map.${name} is ${shown(file)}, expected a file name`);
  }
  failAll(where, problems, COPY);
  return files;
}

const FOREIGN_FILES = ["pytorch_model.bin", "pytorch_model.bin.index.json", "adapter_model.safetensors"];

/** Throws: no weights in a format we read. Says what is there instead and how to convert it. */
async function failWithoutWeights(files: FileSource): Promise<never> {
  const names = files.list ? await files.list() : await existing(files, FOREIGN_FILES);
  const wanted = `found neither ${SINGLE} nor ${INDEX}`;
  const foreign = names.filter((name) => /\.(bin|gguf|pth?|ckpt)$|\.bin\.index\.json$/.test(name));
  if (names.includes("adapter_model.safetensors")) {
    fail(files.label, `${wanted}; this is an adapter`, "load the base model here, then the adapter onto it");
  }
  const gguf = foreign.find((name) => name.endsWith(".gguf"));
  if (foreign.length > 0)
    fail(
      files.label,
      `${wanted}, only ${foreign.join(", ")}`,
      gguf ? `name the GGUF file: …/${gguf}` : CONVERT,
    );
  const there = names.length > 0 ? `; the files there are ${firstOf(names)}` : "";
  const help = files.absence ?? OTHERWISE;
  return fail(files.label, wanted + there, help);
}

const OTHERWISE =
  "give the folder or repository of a model in safetensors format, or name a GGUF file in it: folder/FILE.gguf, on the hub owner/name:FILE.gguf";
const CONVERT =
  "weights must be safetensors: in Python, AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OUT, safe_serialization=True) converts a .bin";
