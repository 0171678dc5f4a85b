import { LoraError, Problems } from "../../../util/fail.ts";
import { shown } from "../../../util/shown.ts";
import { checkRange, type FileSource, memoryFiles } from "../../files/files.ts";
import type { CheckpointSource, CheckpointTensor } from "../checkpoint.ts";
import {
  type GgufArchitecture,
  ggufArchitecture,
  ggufTensorName,
  moduleOfGguf,
  permutedHeads,
} from "./architectures.ts";
import type { BlockType } from "./block-formats.ts";
import { type GgufHeader, readGgufHeader } from "./header.ts";
import { MetadataReader } from "./metadata-reader.ts";
import { configOfGguf, GGUF_ARCHITECTURES, modelTypeOf } from "./model-config.ts";
import { vocabularyOfGguf } from "./model-vocabulary.ts";
import { readPart, readRows, type StoredRows } from "./stored-rows.ts";
import { readGgufTensor } from "./tensors.ts";
import { TRANSCODED, transcode, transcodedDecoding } from "./transcode.ts";

/** Tensors that are no module's: factors of the rotary embedding, and buffers of old converters. */
const FACTORS = /^rope_(?:freqs|factors_long|factors_short)\.weight$/;
const BUFFERS = /^blk\.\d+\.attn_rot_embd\./;

const DENSE: readonly BlockType[] = ["F32", "F16", "BF16"];

const TAKE_ANOTHER =
  "take a file that llama.cpp's converter or llama-quantize made of the model, or the model itself in safetensors";

/**
 * A model in a GGUF file as a folder of transformers': `config.json`, the tokenizer's files and `generation_config.json` are
 * made of its metadata, and its tensors have transformers' names, with their rows in transformers' order.
 * @param files where the file lies
 * @throws LoraError that lists everything that is not known or does not fit together; nothing of the weights is read
 */
export async function ggufModelFiles(files: FileSource, name: string): Promise<CheckpointSource> {
  const header = await readGgufHeader(files, name);
  const label = files.hub ? `${files.label}:${name}` : `${files.label}/${name}`;
  const problems = new Problems();
  const metadata = new MetadataReader(header.metadata, problems);
  const architecture = requireModel(header, metadata, label);
  metadata.only("general.quantization_version", 2);
  const factors = await readFactors(files, name, header);
  const config = configOfGguf(architecture, { metadata, tensors: header.tensors, factors, problems });
  const vocabulary = vocabularyOfGguf(metadata, { name: metadata.text("general.name", ""), problems });
  const heads = {
    numHeads: Number(config.num_attention_heads),
    numKvHeads: Number(config.num_key_value_heads),
  };
  const own = ggufArchitecture(String(config.model_type)) as GgufArchitecture;
  const stored = storedTensors(header, { architecture: own, heads, problems });
  checkLayers(header, Number(config.num_hidden_layers), problems);
  if (problems.length > 0) throw new LoraError("unsupported", label, problems, TAKE_ANOTHER);
  const json = {
    "config.json": config,
    ...(vocabulary && {
      "tokenizer.json": vocabulary.tokenizer,
      "tokenizer_config.json": vocabulary.tokenizerConfig,
      "generation_config.json": vocabulary.generationConfig,
    }),
  };
  const encoded = Object.entries(json).map(([file, content]): [string, Uint8Array] => [
    file,
    new TextEncoder().encode(JSON.stringify(content)),
  ]);
  const made = memoryFiles(label, new Map(encoded));
  return {
    ...made,
    // The file itself is there, too: it tells the base from others.
    size: (file) => (file === name ? files.size(name) : made.size(file)),
    read: (file, start, end) => (file === name ? files.read(name, start, end) : made.read(file, start, end)),
    list: async (folder) => [...((await made.list?.(folder)) ?? []), ...(folder === undefined ? [name] : [])],
    ...(files.hub && { hub: files.hub }),
    ...(files.commit && { commit: files.commit }),
    weights: {
      ...weightsOf(files, name, stored),
      fileName: (path) => ggufTensorName(own, path) ?? path,
      misfitHelp: `the file's metadata and tensors do not belong together: ${TAKE_ANOTHER}`,
    },
  };
}

/** @throws LoraError for a file that holds no model, a part of one, or one of an architecture that is not read */
function requireModel({ metadata: entries }: GgufHeader, metadata: MetadataReader, label: string): string {
  const type = entries.get("general.type")?.value ?? "model";
  const parts = entries.get("split.count")?.value ?? 1;
  const architecture = metadata.text("general.architecture", "");
  if (type !== "model") {
    const help =
      type === "adapter" ? "give it as --adapter, and the model that it belongs to here" : TAKE_ANOTHER;
    throw new LoraError(
      "unsupported",
      label,
      `it holds no model: general.type is ${shown(String(type))}`,
      help,
    );
  }
  if (Number(parts) > 1) {
    const help = "join them: llama-gguf-split --merge FIRST OUT.gguf (of llama.cpp)";
    throw new LoraError("unsupported", label, `it is one of ${parts} files of a model`, help);
  }
  if (modelTypeOf(architecture) !== undefined) return architecture;
  const got = `its architecture is ${shown(architecture)}; read are ${GGUF_ARCHITECTURES.join(", ")}`;
  throw new LoraError("unsupported", label, got, "take the model itself in safetensors");
}

async function readFactors(
  files: FileSource,
  name: string,
  { tensors }: GgufHeader,
): Promise<Map<string, Float32Array>> {
  const own = [...tensors.values()].filter((tensor) => FACTORS.test(tensor.name));
  const values = own.map(async (tensor) => [tensor.name, await readGgufTensor(files, name, tensor)] as const);
  return new Map(await Promise.all(values));
}

function checkLayers({ tensors }: GgufHeader, stated: number, problems: Problems): void {
  const layers = new Set([...tensors.keys()].flatMap((name) => /^blk\.(\d+)\./.exec(name)?.[1] ?? []));
  if (layers.size !== stated)
    problems.push(`block_count is ${stated}, and there are tensors of ${layers.size} layers`);
}

/** A tensor by transformers' name. */
interface Stored extends StoredRows {
  /** As transformers calls it. */
  readonly path: string;
}

function storedTensors(
  { tensors }: GgufHeader,
  {
    architecture,
    heads,
    problems,
  }: {
    architecture: GgufArchitecture;
    heads: { readonly numHeads: number; readonly numKvHeads: number };
    problems: Problems;
  },
): Stored[] {
  const found: Stored[] = [];
  for (const tensor of tensors.values()) {
    const { name, type, shape } = tensor;
    if (FACTORS.test(name) || BUFFERS.test(name)) continue;
    const [, own = "", part = ""] = /^(.*)\.(weight|bias)$/.exec(name) ?? [];
    const module = moduleOfGguf(architecture, own);
    const isShared = own === "output" && ["gemma", "gemma2"].includes(architecture.name);
    if (module === undefined || isShared) {
      problems.push(`llama.cpp's ${architecture.name} has no ${name} [${shape}]`);
      continue;
    }
    if (!DENSE.includes(type) && !TRANSCODED.includes(type))
      problems.push(`${name} is ${type}; read are ${[...DENSE, ...TRANSCODED].join(", ")}`);
    const permuted = permutedHeads(architecture, own, heads);
    const [rows = 0] = shape;
    if (permuted !== undefined && !Number.isInteger(rows / (2 * permuted)))
      problems.push(`${name}: ${rows} rows cannot be shared among ${permuted} heads`);
    const isNorm = own.endsWith("norm");
    const offset = isNorm && part === "weight" ? architecture.normOffset : 0;
    if (offset > 0 && type !== "F32") problems.push(`${name} is ${type}, expected F32`);
    found.push({
      path: `${module}.${part}`,
      tensor,
      offset,
      ...(permuted !== undefined && { heads: permuted }),
    });
  }
  return found;
}

function weightsOf(files: FileSource, name: string, stored: readonly Stored[]): CheckpointSource["weights"] {
  const byPath = new Map(stored.map((each) => [each.path, each]));
  const tensors = stored.map((each): [string, CheckpointTensor] => {
    const { path, tensor } = each;
    const { type, shape, begin, end } = tensor;
    const decoding = transcodedDecoding(type);
    const own = { name: path, shape, begin, end, file: "model.safetensors" }; // in the folder that it stands for
    if (!decoding) return [path, { ...own, dtype: type as "F32" | "F16" | "BF16" }];
    const read = async (first: number, last: number) =>
      transcode(type, await readRows(files, name, each, first, last));
    return [path, { ...own, dtype: "U8", packed: { type, decoding, read } }];
  });
  return {
    tensors: new Map(tensors),
    read: async ({ name: path, begin, end: last }, start = 0, end = last - begin) => {
      checkRange({ label: name, name: path, size: last - begin, start, end });
      return readPart(files, name, byPath.get(path) as Stored, start, end);
    },
  };
}
