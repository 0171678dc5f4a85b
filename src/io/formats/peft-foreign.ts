import { fail } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import { existing, type FileSource, readText } from "../files/files.ts";

/** PEFT's files. */
export const PEFT_CONFIG = "adapter_config.json";
export const PEFT_WEIGHTS = "adapter_model.safetensors";

const PICKLE = "adapter_model.bin";
const MLX_WEIGHTS = "adapters.safetensors";
const OTHERS = [PICKLE, MLX_WEIGHTS, "pytorch_lora_weights.safetensors", "model.safetensors", "config.json"];

/** How an adapter of mlx-lm becomes one of PEFT: mlx-lm computes y + scale · (x · lora_a) · lora_b. */
export const MLX_HELP =
  "PEFT's format is needed: lora_a [in, r] and lora_b [r, out] transposed, as base_model.model.<path>.lora_A.weight and .lora_B.weight in adapter_model.safetensors; lora_alpha = scale · r in adapter_config.json";

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

/** Throws: the file of the tensors is missing. Says what is there instead, and the remedy. */
export async function failWithoutWeights(files: FileSource): Promise<never> {
  const names = files.list ? await files.list() : await existing(files, OTHERS);
  const where = `${files.label}/${PEFT_WEIGHTS}`;
  if (names.includes(PICKLE)) fail(where, `no such file, only ${PICKLE}`, UNPICKLE);
  if (names.includes("config.json") || names.includes("model.safetensors")) {
    fail(where, "no such file; this looks like a model, not an adapter", "give the folder of the adapter");
  }
  const there = names.length > 0 ? `; the files there are ${names.slice(0, 20).join(", ")}` : "";
  return fail(where, `no such file${there}`, "give the folder that PEFT's save_pretrained wrote");
}

const UNPICKLE =
  'a .bin is a Python pickle; in Python: from safetensors.torch import save_file; save_file(torch.load("adapter_model.bin", weights_only=True), "adapter_model.safetensors", metadata={"format": "pt"})';
