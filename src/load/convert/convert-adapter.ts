import {
  type FileContent,
  type FileSource,
  failMissing,
  readText,
  requireFiles,
} from "../../io/files/files.ts";
import { ggufLora } from "../../io/formats/gguf/lora.ts";
import { mlxFiles } from "../../io/formats/mlx.ts";
import { PEFT_CONFIG, PEFT_WEIGHTS } from "../../io/formats/peft-names.ts";
import { layersOf } from "../../io/formats/plain-lora.ts";
import { CHAT_TEMPLATE_FILE } from "../../io/tokenizer/chat-templates.ts";
import type { HfConfig } from "../../models/config-reader.ts";
import { fail, failAll } from "../../util/fail.ts";
import { spoiltTensors } from "../../util/finite.ts";
import { callback, checkOptions, oneOf, type Rules, required, words } from "../../util/options.ts";
import { BLOCK_TYPES, GGUF_TYPES, type GgufType } from "../gguf-model.ts";
import { type PeftAdapter, readPeftAdapter } from "../lora-files.ts";
import {
  ADAPTER_FORMATS,
  type AdapterFormat,
  findFormat,
  ggufBaseOf,
  inPeftFormat,
  layersOfModel,
} from "./formats.ts";

/** What gives the base model's config, in any case. */
type BaseConfig = { readonly baseConfig: NonNullable<ConvertOptions["baseConfig"]> };

/** How an adapter is converted. */
export interface ConvertOptions {
  /** The format that is written. */
  readonly to: AdapterFormat;
  /**
   * Gives the base model's `config.json`, parsed; asked for where the formats need it (GGUF, and MLX where some layers only are
   * adapted), with the name that the adapter gives its base.
   */
  readonly baseConfig?: ((name: string | null) => Promise<HfConfig>) | undefined;
  /** The name of the file where that is one; `adapter.gguf` unless given. */
  readonly fileName?: string | undefined;
  /** Number format of the matrices in GGUF; `f32` unless given. */
  readonly type?: GgufType | undefined;
}

const RULES: Rules<ConvertOptions> = {
  to: required(oneOf(ADAPTER_FORMATS)),
  baseConfig: callback(),
  fileName: words("file_name"),
  type: oneOf(GGUF_TYPES),
};

/** A converted adapter. */
export interface ConvertedAdapter {
  /** The format that was found. */
  readonly from: AdapterFormat;
  /** Modules that it adapts. */
  readonly count: number;
  /** What is to be written, by name. */
  readonly files: Map<string, FileContent>;
  /** What deserves attention but is no error, one line each. */
  readonly warnings: readonly string[];
}

/**
 * Writes an adapter in another format. Values stay what they are: MLX's matrices are turned, GGUF's rows of queries and
 * keys put in order.
 * @throws LoraError listing all that is wrong with the adapter, or that the other format has no place for
 */
export async function convertAdapter(files: FileSource, options: ConvertOptions): Promise<ConvertedAdapter> {
  requireFiles("convertAdapter", files);
  checkOptions("convertAdapter", options, RULES);
  const { to } = options;
  const baseConfig = options.baseConfig ?? (async () => fail(files.label, NO_BASE, NO_BASE_HELP));
  const { format: from } = await findFormat(files);
  if (from === to)
    fail(files.label, `it is in the format ${to} already`, "name another with --to, or copy it");
  const source = await inPeftFormat(files, async (name) => ggufBaseOf(await baseConfig(name), files.label));
  const adapter = await readPeftAdapter(source);
  failAll(files.label, spoilt(adapter), "take an adapter from before its training diverged");
  const written = await writeAs(adapter, source, { ...options, baseConfig });
  return { from, count: adapter.tensors.size, files: written, warnings: adapter.warnings };
}

const NO_BASE = "the base model's config.json is needed";
const NO_BASE_HELP = "give baseConfig, such as async () => JSON.parse(text)";

function spoilt({ tensors }: PeftAdapter): string[] {
  return spoiltTensors(
    [...tensors].flatMap(([path, { lora_A, lora_B }]) => [
      [`${path}.lora_A`, lora_A.data] as const,
      [`${path}.lora_B`, lora_B.data] as const,
    ]),
  );
}

async function writeAs(
  adapter: PeftAdapter,
  source: FileSource,
  { to, baseConfig, fileName = "adapter.gguf", type = "f32" }: ConvertOptions & BaseConfig,
): Promise<Map<string, FileContent>> {
  const name = adapter.config.base_model_name_or_path;
  if (to === "gguf") {
    const base = ggufBaseOf(await baseConfig(name), source.label);
    const own = fileName.replace(/\.gguf$/, "");
    return new Map([[fileName, ggufLora(adapter, base, { name: own, type: BLOCK_TYPES[type] })]]);
  }
  const written: Map<string, FileContent> =
    to === "peft" ? await copyOf(source) : mlxFiles(adapter, await mlxBase(adapter, source, baseConfig));
  if ((await source.size(CHAT_TEMPLATE_FILE)) !== undefined) {
    written.set(CHAT_TEMPLATE_FILE, await readText(source, CHAT_TEMPLATE_FILE));
  }
  return written;
}

/** mlx-lm counts layers from the last: where some only are adapted, their number is needed. */
async function mlxBase(
  { config, tensors }: PeftAdapter,
  { label }: FileSource,
  baseConfig: BaseConfig["baseConfig"],
): Promise<{ label: string; numLayers?: number }> {
  const isWhole = config.layers_to_transform === null && layersOf([...tensors.keys()])[0] === 0;
  if (isWhole) return { label };
  return { label, numLayers: layersOfModel(await baseConfig(config.base_model_name_or_path)) };
}

async function copyOf(source: FileSource): Promise<Map<string, FileContent>> {
  const names = [PEFT_CONFIG, PEFT_WEIGHTS];
  const read = names.map(async (name) => {
    const size = (await source.size(name)) ?? failMissing(source, name);
    return [name, await source.read(name, 0, size)] as const;
  });
  return new Map(await Promise.all(read));
}
