import { fail } from "../../util/fail.ts";
import { firstOf } from "../../util/group-lines.ts";
import { isObject } from "../../util/json.ts";
import { existing, type FileSource, readText } from "../files/files.ts";
import { PEFT_CONFIG, PEFT_WEIGHTS } from "./peft-names.ts";

const PICKLE = "adapter_model.bin";
const ADAPTER_HUB_PICKLE = "pytorch_adapter.bin";
const MLX_WEIGHTS = "adapters.safetensors";
const OTHERS = [
  PICKLE,
  ADAPTER_HUB_PICKLE,
  "adapter_model.pt",
  "adapters.npz",
  MLX_WEIGHTS,
  "pytorch_lora_weights.safetensors",
  "model.safetensors",
  "config.json",
];

/** How an adapter of mlx-lm becomes one of PEFT. */
export const MLX_HELP =
  "under mlx-lm's own names of files, adapters.safetensors and adapter_config.json, it is read wherever an adapter is, and webgpu-lora convert FOLDER --to peft --output OUT makes one of PEFT of it";

const NPZ_HELP =
  'in Python: import numpy; from safetensors.numpy import save_file; save_file(dict(numpy.load("adapters.npz")), "adapters.safetensors")';

/** Whether this is what mlx-lm writes as `adapter_config.json`. */
export function isMlxConfig(json: unknown): boolean {
  if (!isObject(json) || json.peft_type !== undefined) return false;
  return isObject(json.lora_parameters) || json.fine_tune_type !== undefined;
}

/** Throws where the files are an adapter of mlx-lm. */
export async function refuseMlx(files: FileSource): Promise<void> {
  const found = [];
  if ((await files.size(PEFT_WEIGHTS)) === undefined && (await files.size(MLX_WEIGHTS)) !== undefined) {
    found.push(MLX_WEIGHTS);
  }
  const settings = await mlxSettings(files);
  if (settings) found.push(settings);
  if (found.length > 0)
    fail(files.label, `this is an adapter of mlx-lm (${found.join("; ")}), not of PEFT`, MLX_HELP);
}

/** The settings that mlx-lm's configuration states, where it is one. */
async function mlxSettings(files: FileSource): Promise<string | undefined> {
  if ((await files.size(PEFT_CONFIG)) === undefined) return undefined;
  const json = parsed(await readText(files, PEFT_CONFIG));
  if (!isObject(json) || !isMlxConfig(json)) return undefined;
  const { rank, scale } = isObject(json.lora_parameters) ? json.lora_parameters : {};
  return `fine_tune_type ${JSON.stringify(json.fine_tune_type)}, rank ${rank}, scale ${scale}`;
}

/** Undefined where the text is no JSON: who reads it next reports that. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What a file of another tool is, and what to do about it. */
interface ForeignFile {
  readonly what: string;
  readonly help: string;
}

const GGUF: ForeignFile = {
  what: "a GGUF file of llama.cpp",
  help: "give its path, which ends in .gguf, in place of the folder; webgpu-lora convert FILE --to peft --output OUT --model BASE makes one of PEFT of it",
};

/** A pickle of Python's, which can run any code when it is read. */
function pickle(name: string, to = PEFT_WEIGHTS): ForeignFile {
  return {
    what: "a Python pickle of torch.save",
    help: `in Python: import torch; from safetensors.torch import save_file; save_file({k: v.contiguous() for k, v in torch.load("${name}", weights_only=True).items()}, "${to}", metadata={"format": "pt"})`,
  };
}

/** Pickles that AdapterHub writes unless told otherwise, beside one another. */
function adapterHubPickle(name: string): ForeignFile {
  const { what, help } = pickle(name, "adapter.safetensors");
  const head = `where there is a pytorch_model_head.bin, make model_head.safetensors of it in the same way`;
  return { what, help: `${help}; ${head}` };
}

/** Files that are taken for adapters, by their names; the first match counts. */
const FOREIGN: readonly (readonly [RegExp, (name: string) => ForeignFile])[] = [
  [/\.gguf$/i, () => GGUF],
  [/^pytorch_adapter\.bin$/, adapterHubPickle],
  [/\.(?:bin|pt|pth|ckpt)$/i, (name) => pickle(name)],
  [/^adapters\.safetensors$/, () => ({ what: "an adapter of mlx-lm", help: MLX_HELP })],
  [/^adapters\.npz$/, () => ({ what: "an adapter of an old mlx-lm", help: NPZ_HELP })],
  [
    /^pytorch_lora_weights\.safetensors$/,
    () => ({ what: "a LoRA of diffusers, for a model that makes images", help: IMAGES_HELP }),
  ],
  [
    /\.safetensors$/i,
    () => ({
      what: "a safetensors file that has not the name of a PEFT adapter",
      help: `give the folder of ${PEFT_CONFIG} and ${PEFT_WEIGHTS}; if this holds the tensors of a PEFT adapter, rename it so`,
    }),
  ],
];

/** What to do with adapters of diffusion models. */
export const IMAGES_HELP =
  "no model that makes images is supported: use it where it was made for, such as pipe.load_lora_weights(FILE) of diffusers";

/** Throws where a path is that of a file which is no folder of an adapter, saying what it is. */
export function refuseForeignFile(path: string): void {
  const name = path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
  const found = foreignFile(name);
  if (found) fail(path, `this is ${found.what}, expected the folder of a PEFT adapter`, found.help);
}

function foreignFile(name: string): ForeignFile | undefined {
  return FOREIGN.find(([expression]) => expression.test(name))?.[1](name);
}

/** Throws: the file of the tensors is missing. Says what is there instead, and the remedy. */
export async function failWithoutWeights(files: FileSource, weights: string): Promise<never> {
  const names = files.list ? await files.list() : await existing(files, OTHERS);
  const where = `${files.label}/${weights}`;
  const isModel = names.some(
    (name) => name === "config.json" || /^(?:pytorch_)?model\b.*\.(?:safetensors|bin)$/.test(name),
  );
  const pickled = names.find((name) => name === PICKLE || name === ADAPTER_HUB_PICKLE);
  if (isModel && pickled === undefined) {
    fail(where, "no such file; this looks like a model, not an adapter", "give the folder of the adapter");
  }
  const own = pickled ?? names.find((name) => foreignFile(name));
  const found = own === undefined ? undefined : foreignFile(own);
  if (found) fail(where, `no such file, only ${own}: ${found.what}`, found.help);
  const folders = await adapterFolders(files);
  if (folders.length > 0) {
    const help = `give one of them, such as ${files.label}/${folders.at(-1)}`;
    fail(where, `no such file; adapters lie in the folders ${folders.join(", ")}`, help);
  }
  const there = names.length > 0 ? `; the files there are ${firstOf(names)}` : "";
  return fail(where, `no such file${there}`, "give the folder that PEFT's save_pretrained wrote");
}

/** Folders inside this one that hold adapters: checkpoints of a trainer, adapters with names. In the order of numbers. */
async function adapterFolders(files: FileSource): Promise<string[]> {
  const names = (await files.folders?.()) ?? [];
  const sizes = await Promise.all(names.map((name) => files.size(`${name}/${PEFT_WEIGHTS}`)));
  return names
    .filter((_, i) => sizes[i] !== undefined)
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
}

/** Throws where the file of the tensors is of another kind than its name says, told by its first bytes. */
export async function refuseMisnamed(files: FileSource, size: number, weights: string): Promise<void> {
  const start = await files.read(weights, 0, Math.min(9, size));
  if (start[8] === 0x7b) return; // "{" behind the header's length, which may look like the start of a pickle
  const text = new TextDecoder("latin1").decode(start.subarray(0, 4));
  // torch.save writes a zip file, or, before PyTorch 1.6, a bare pickle of protocol 2.
  const isPickle = text === "PK\x03\x04" || (start[0] === 0x80 && start[1] === 2);
  const found = text === "GGUF" ? GGUF : isPickle ? pickle(weights, weights) : undefined;
  if (found) fail(`${files.label}/${weights}`, `this is ${found.what}, and no safetensors file`, found.help);
}
