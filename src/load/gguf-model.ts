import type { Adapter } from "../adapters/adapter.ts";
import type { FileSource } from "../io/files/files.ts";
import {
  type GgufArchitecture,
  ggufTensorName,
  permutedHeads,
  permuteRows,
} from "../io/formats/gguf/architectures.ts";
import { type BlockType, blockFormat, tensorBytes } from "../io/formats/gguf/block-formats.ts";
import { type GgufValue, gguf } from "../io/formats/gguf/values.ts";
import { vocabularyMetadata } from "../io/formats/gguf/vocabulary.ts";
import { type GgufTensorSpec, planGguf, streamGguf } from "../io/formats/gguf/writer.ts";
import { readSettledTokenizer } from "../io/tokenizer/tokenizer-files.ts";
import type { HfConfig } from "../models/config-reader.ts";
import type { DecoderConfig } from "../models/decoder.ts";
import { planModel } from "../models/families.ts";
import { requireModel } from "../nn/module.ts";
import { fail, failAll } from "../util/fail.ts";
import { checkOptions, oneOf, type Rules } from "../util/options.ts";
import { type GgufModelPlan, planGgufModel, requireGgufArchitecture } from "./gguf-metadata.ts";
import { MERGE_RULES, type MergedTensor, type MergeOptions, mergedTensors } from "./merge.ts";
import type { LoadedModel } from "./model.ts";

/** The number formats of a GGUF model's matrices; vectors and norms are F32, as llama.cpp wants them. */
export const GGUF_TYPES = ["f16", "bf16", "q8_0", "f32"] as const;

/** One of {@link GGUF_TYPES}. */
export type GgufType = (typeof GGUF_TYPES)[number];

/** llama.cpp's numbers of whole files (`llama_ftype`). */
const FILE_TYPES: Readonly<Record<GgufType, number>> = { f32: 0, f16: 1, q8_0: 7, bf16: 32 };

/** The version of the quantised layouts (`GGML_QNT_VERSION`). */
const QUANTISATION_VERSION = 2;

/** How a GGUF model is written. */
export interface GgufModelOptions extends MergeOptions {
  /** Number format of the matrices; `f16` unless given. */
  type?: GgufType | undefined;
}

const RULES: Rules<GgufModelOptions> = { ...MERGE_RULES, type: oneOf(GGUF_TYPES, "outtype") };

/** A GGUF model that is to be written. */
export interface GgufModel {
  /** Bytes of the file. */
  readonly size: number;
  /** They come one after another, as they are computed; to be read once. */
  readonly content: AsyncIterable<Uint8Array>;
  /** Where llama.cpp computes something else in some cases, one line each. */
  readonly warnings: readonly string[];
}

/**
 * A model with an adapter merged into its weights as one GGUF file of llama.cpp, with its tokenizer and chat template.
 * One tensor at a time is in memory; the model is left as it is. Merged weights are rounded once, to the file's format.
 * @param files the checkpoint that the model was loaded from
 * @throws LoraError as `mergedFiles` does, and of kind `unsupported` for what llama.cpp does not have: a family, a
 * setting, a tokenizer
 */
export async function ggufModel(
  model: LoadedModel,
  adapter: Adapter,
  files: FileSource,
  options: GgufModelOptions = {},
): Promise<GgufModel> {
  checkOptions("ggufModel", options, RULES);
  requireModel("ggufModel", model);
  const { type = "f16", ...merging } = options;
  requireGgufArchitecture(model.modelType, model.name);
  if (model.task !== "causal-lm")
    fail("gguf", `${model.name} is a model for ${model.task}`, "load it for causal-lm");
  const { config, tensors } = await mergedTensors(model, adapter, files, merging);
  const own = planModel(config, "causal-lm").ownConfig as DecoderConfig;
  const plan = planGgufModel(model.modelType, own, model.name);
  const sources = [...plan.tensors.map(extraSource), ...tensorSources(tensors, plan.architecture, own, type)];
  const metadata = new Map([
    ...generalMetadata(model, plan, type),
    ...(await tokenizerMetadata(model, files, { config, rows: own.vocabSize })),
  ]);
  const file = planGguf(
    metadata,
    sources.map(({ spec }) => spec),
  );
  const byName = new Map(sources.map((source) => [source.spec.name, source]));
  const content = streamGguf(file, ({ name }) => dataOf(byName.get(name) as Source));
  return { size: file.size, content, warnings: plan.warnings };
}

function generalMetadata(
  model: LoadedModel,
  { architecture, metadata }: GgufModelPlan,
  type: GgufType,
): [string, GgufValue][] {
  const name = (model.hub?.repo ?? model.name).split(/[\\/]/).filter(Boolean).at(-1) ?? "model";
  return [
    ["general.architecture", gguf.string(architecture.name)],
    ["general.type", gguf.string("model")],
    ["general.name", gguf.string(name)],
    ...metadata.map(([key, value]): [string, GgufValue] => [key, value]),
    ["general.file_type", gguf.u32(FILE_TYPES[type])],
    ["general.quantization_version", gguf.u32(QUANTISATION_VERSION)],
  ];
}

async function tokenizerMetadata(
  { tokenizer, chatTemplates, name }: LoadedModel,
  files: FileSource,
  { config, rows }: { config: HfConfig; rows: number },
) {
  const settled = await readSettledTokenizer(files, { config: { ...config } });
  if (!settled || !tokenizer) return fail(name, "has no tokenizer, without which llama.cpp opens no model");
  return vocabularyMetadata({ settled, tokenizer, rows, chatTemplate: chatTemplates.get("default")?.source });
}

/** A tensor of the file and where its values come from. */
interface Source {
  readonly spec: GgufTensorSpec;
  values(): Promise<Float32Array>;
}

function extraSource({ name, values }: GgufModelPlan["tensors"][number]): Source {
  return { spec: { name, type: "F32", shape: [values.length] }, values: async () => values };
}

function tensorSources(
  tensors: readonly MergedTensor[],
  architecture: GgufArchitecture,
  config: DecoderConfig,
  type: GgufType,
): Source[] {
  const wanted = tensors.filter(({ name }) => !(config.tied && name === "lm_head.weight"));
  const unknown = wanted.filter(({ name }) => ggufTensorName(architecture, name) === undefined);
  failAll(
    "gguf",
    unknown.map(({ name, shape }) => `llama.cpp's ${architecture.name} has no place for ${name} [${shape}]`),
  );
  return wanted.map((tensor) => {
    const name = ggufTensorName(architecture, tensor.name) as string;
    return { spec: { name, type: typeOf(name, tensor.shape, type), shape: tensor.shape }, values: changed };

    async function changed() {
      const values = await tensor.values();
      const isNorm = tensor.name.endsWith("norm.weight");
      if (isNorm && architecture.normOffset > 0)
        return values.map((value) => value + architecture.normOffset);
      const heads = permutedHeads(architecture, name.replace(/\.\w+$/, ""), config);
      const [rows = 0] = tensor.shape;
      return heads === undefined ? values : permuteRows(values, { rows, heads, direction: "out" });
    }
  });
}

/** What ggml calls them. */
export const BLOCK_TYPES: Readonly<Record<GgufType, BlockType>> = {
  f32: "F32",
  f16: "F16",
  bf16: "BF16",
  q8_0: "Q8_0",
};

/** As llama.cpp's converter chooses: vectors and norms F32; F16 where a row is no whole number of blocks. */
function typeOf(name: string, shape: readonly number[], type: GgufType): BlockType {
  if (shape.length < 2 || name.endsWith("_norm.weight")) return "F32";
  return tensorBytes(BLOCK_TYPES[type], shape) === undefined ? "F16" : BLOCK_TYPES[type];
}

/** Values that are encoded at a time; a multiple of every block. */
const CHUNK_VALUES = 2 ** 20;

async function* dataOf({ spec, values }: Source): AsyncGenerator<Uint8Array> {
  const { encode } = blockFormat(spec.type);
  if (!encode) return fail("gguf", `${spec.name} cannot be written as ${spec.type}`);
  const all = await values();
  checkRange(all, spec);
  for (let start = 0; start < all.length; start += CHUNK_VALUES) {
    yield encode(all.subarray(start, start + CHUNK_VALUES));
  }
}

/** Beyond F16's largest value a weight would become infinite: the one of a BF16 checkpoint may be. */
function checkRange(values: Float32Array, { name, type }: GgufTensorSpec): void {
  if (type !== "F16") return;
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  if (largest < 65_520) return;
  fail("gguf", `${name} holds ${largest}, and F16 ends at 65504`, "write bf16 (--gguf-type bf16)");
}
