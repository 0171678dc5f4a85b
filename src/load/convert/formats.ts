import { configOf } from "../../adapters/config-fields.ts";
import { LORA } from "../../adapters/lora/lora-codec.ts";
import type { PeftLoraConfig } from "../../adapters/lora/lora-fields.ts";
import { peftPatterns } from "../../adapters/sites/patterns.ts";
import { type FileSource, memoryFiles } from "../../io/files/files.ts";
import { readGgufHeader } from "../../io/formats/gguf/header.ts";
import { type GgufBase, ggufBaseName, readGgufLora } from "../../io/formats/gguf/lora.ts";
import { isMlxAdapter, readMlxAdapter } from "../../io/formats/mlx.ts";
import { PEFT_WEIGHTS } from "../../io/formats/peft-names.ts";
import { layersOf, mostCommon, type PlainLora, placeInLayers } from "../../io/formats/plain-lora.ts";
import { CHAT_TEMPLATE_FILE } from "../../io/tokenizer/chat-templates.ts";
import type { HfConfig } from "../../models/config-reader.ts";
import type { DecoderConfig } from "../../models/decoder.ts";
import { planModel } from "../../models/families.ts";
import { fail } from "../../util/fail.ts";
import { requireGgufArchitecture } from "../gguf-metadata.ts";
import { peftFiles } from "../lora-files.ts";
import type { LoadedModel } from "../model.ts";

/** The formats of adapters. */
export const ADAPTER_FORMATS = ["peft", "mlx", "gguf"] as const;

/** One of {@link ADAPTER_FORMATS}. */
export type AdapterFormat = (typeof ADAPTER_FORMATS)[number];

/** Gives what has to be known of the base model of an adapter in GGUF, which may name it. */
export type BaseSource = (name: string | null) => Promise<GgufBase>;

/** A format that was found in a folder. */
export type FoundFormat =
  | { readonly format: "peft" | "mlx" }
  | { readonly format: "gguf"; readonly name: string };

/** Which format an adapter is in, by the names of its files; PEFT's where that cannot be told. */
export async function findFormat(files: FileSource): Promise<FoundFormat> {
  if ((await files.size(PEFT_WEIGHTS)) !== undefined) return { format: "peft" };
  if (await isMlxAdapter(files)) return { format: "mlx" };
  const names = (await files.list?.()) ?? [];
  const [name, ...others] = names.filter((each) => each.endsWith(".gguf"));
  if (name === undefined) return { format: "peft" };
  if (others.length > 0) {
    const several = [name, ...others].join(", ");
    fail(files.label, `there are several GGUF files: ${several}`, "give the path of the one that is meant");
  }
  return { format: "gguf", name };
}

/** One file of a folder. */
export function onlyFile(files: FileSource, name: string): FileSource {
  return {
    ...files,
    size: async (wanted) => (wanted === name ? files.size(name) : undefined),
    list: async () => [name],
    folders: async () => [],
  };
}

/**
 * The files of an adapter as PEFT has them, whichever format they are in.
 * @param base asked for where the format is GGUF
 * @throws LoraError as {@link readMlxAdapter} and {@link readGgufLora} do
 */
export async function inPeftFormat(files: FileSource, base: BaseSource): Promise<FileSource> {
  const found = await findFormat(files);
  if (found.format === "peft") return files;
  const read =
    found.format === "gguf" ? await readGguf(files, found.name, base) : await readMlxAdapter(files);
  const written = peftFiles({ config: peftConfigOf(read), tensors: read.modules });
  const encoded = [...written].map(([name, content]): [string, Uint8Array] => [
    name,
    typeof content === "string" ? new TextEncoder().encode(content) : content,
  ]);
  const template = await files.size(CHAT_TEMPLATE_FILE);
  if (template !== undefined)
    encoded.push([CHAT_TEMPLATE_FILE, await files.read(CHAT_TEMPLATE_FILE, 0, template)]);
  return memoryFiles(files.label, new Map(encoded));
}

async function readGguf(files: FileSource, name: string, base: BaseSource): Promise<PlainLora> {
  const header = await readGgufHeader(files, name);
  return readGgufLora(files, name, await base(ggufBaseName(header)));
}

function peftConfigOf({ modules, dropout, base, isWhole }: PlainLora): PeftLoraConfig {
  const all = [...modules.values()];
  const r = mostCommon(all.map((module) => module.r)) ?? 1;
  const lora_alpha = mostCommon(all.map(({ alpha }) => alpha)) ?? r;
  return configOf(LORA.codec, {
    r,
    lora_alpha,
    lora_dropout: dropout,
    ...peftPatterns({ r, lora_alpha }, modules),
    ...choiceOf([...modules.keys()], isWhole),
    task_type: "CAUSAL_LM",
    base_model_name_or_path: base,
  });
}

/**
 * The fields that choose exactly these modules: the ends of their paths, and the layers where they may not be all; or the
 * paths one by one.
 */
export function choiceOf(
  paths: readonly string[],
  isWhole: boolean,
): Pick<PeftLoraConfig, "target_modules" | "layers_to_transform"> {
  const places = paths.map(placeInLayers);
  const ends = [...new Set(places.map((place) => place?.inside ?? ""))];
  const stacks = new Set(places.map((place) => place?.stack));
  const layers = layersOf(paths);
  const isRegular = stacks.size === 1 && !ends.includes("") && ends.length * layers.length === paths.length;
  if (!isRegular) return { target_modules: paths, layers_to_transform: null };
  return { target_modules: ends, layers_to_transform: isWhole ? null : layers };
}

/** What GGUF needs to know of a model, by its `config.json`. @throws LoraError for a family that llama.cpp gets none of */
export function ggufBaseOf(config: HfConfig, name: string): GgufBase {
  const { family, ownConfig } = planModel(config, "causal-lm");
  const { numHeads, numKvHeads } = ownConfig as DecoderConfig;
  return { architecture: requireGgufArchitecture(family.modelType, name), numHeads, numKvHeads };
}

/** The same of a loaded model. */
export function ggufBaseOfModel({ modelType, name, config }: LoadedModel): GgufBase {
  const { numHeads, numKvHeads } = config as object as DecoderConfig;
  return { architecture: requireGgufArchitecture(modelType, name), numHeads, numKvHeads };
}

/** Layers of a model, by its `config.json`. */
export function layersOfModel(config: HfConfig): number {
  return (planModel(config, "causal-lm").ownConfig as DecoderConfig).layers.length;
}
