import { LoraError } from "../../util/fail.ts";
import { isObject, type JsonObject } from "../../util/json.ts";
import { shown } from "../../util/shown.ts";
import type { Checkpoint, CheckpointTensor } from "./checkpoint.ts";

/**
 * Refuses a checkpoint whose weights are quantised, by the field of `config.json` that says so or by the tensors.
 * @throws LoraError of kind `unsupported` that names the method and, where it can be told, the repository to take instead
 */
export function checkQuantisation({ label, config, tensors }: Omit<Checkpoint, "read">): void {
  const found = methodOfConfig(config) ?? methodOfTensors(tensors);
  if (found === undefined) return;
  throw new LoraError(
    "unsupported",
    label,
    `its weights are quantised (${found.method}): ${found.reason}; supported are F32, BF16 and F16`,
    remedy(label, config._name_or_path),
  );
}

interface Finding {
  readonly method: string;
  readonly reason: string;
}

/** Fields that say how weights are quantised: of transformers, of older compressed-tensors, and of MLX. */
const FIELDS = ["quantization_config", "compression_config", "quantization"];

function methodOfConfig(config: JsonObject): Finding | undefined {
  const parts = [config, config.text_config].filter(isObject);
  for (const name of FIELDS) {
    const value = parts.map((part) => part[name]).find((field) => isObject(field) && !isEmpty(field));
    if (!isObject(value)) continue;
    const method = methodName(name, value);
    return { method, reason: `config.json has ${name} ${shown(value)}` };
  }
  return undefined;
}

const isEmpty = (object: JsonObject) => Object.keys(object).length === 0;

function methodName(field: string, value: JsonObject): string {
  if (typeof value.quant_method === "string") return value.quant_method;
  if (value.load_in_4bit !== undefined || value.load_in_8bit !== undefined) return "bitsandbytes";
  if (field === "quantization") return "MLX";
  return field === "compression_config" ? "compressed-tensors" : "a method without a name";
}

/** What the tensors of each method are called, beside the layers' own. */
const MARKS: readonly (readonly [method: string, mark: RegExp])[] = [
  ["bitsandbytes", /\.weight\.(?:absmax|quant_map|nested_absmax|quant_state\.\w+)$|\.SCB$/],
  ["GPTQ or AWQ", /\.(?:qweight|qzeros)$/],
  ["compressed-tensors", /\.(?:weight_packed|weight_shape|weight_global_scale)$/],
  ["mxfp4", /(?:_blocks|\.weight_blocks)$/],
  ["HQQ", /\.W_q$/],
  ["FP8", /\.weight_scale(?:_inv)?$/],
  ["torchao", /\.weight_qdata$|:_data$/],
];

/** Formats that hold numbers of whole matrices in fewer bits. */
const CODES = /^(?:U8|I8|U16|I32|U32|F8_\w+|F4|F6_\w+)$/;

function methodOfTensors(tensors: ReadonlyMap<string, CheckpointTensor>): Finding | undefined {
  for (const [method, mark] of MARKS) {
    const name = [...tensors.keys()].find((name) => mark.test(name));
    if (name !== undefined) return { method, reason: `there is a tensor ${name}` };
  }
  const coded = [...tensors.values()].find(
    ({ name, dtype, shape }) => name.endsWith(".weight") && shape.length >= 2 && CODES.test(dtype),
  );
  if (coded === undefined) return undefined;
  const isMlx = tensors.has(coded.name.replace(/weight$/, "scales")) && coded.dtype === "U32";
  const method = isMlx ? "MLX" : `to ${coded.dtype}`;
  return { method, reason: `${coded.name} is ${coded.dtype}` };
}

/** What repositories of quantised weights have at the ends of their names. */
const SUFFIX =
  /[-_.](?:unsloth-)?(?:bnb|nf4|fp4|fp8|mxfp4|nvfp4|int[48]|[48]bits?|awq|gptq(?:-v\d)?|hqq|autoround|torchao|quantized|w\d+a\d+|dynamic|marlin|g?\d+g|mlx)(?=$|[-_.])/gi;

/** Owners that quantise models of others: the model's own name is known, not whose it is. */
const QUANTISERS = new Set([
  ...["TheBloke", "mlx-community", "RedHatAI", "neuralmagic", "nm-testing", "hugging-quants", "casperhansen"],
  ...["ModelCloud", "nvidia", "amd", "Intel", "pytorch", "mobiuslabsgmbh", "lmstudio-community"],
]);

function remedy(label: string, original: unknown): string {
  const [likely] = [original, label].flatMap((name) => unquantised(name, label) ?? []);
  const named = likely === undefined ? "" : ` (here probably ${likely})`;
  return `take the unquantised repository of this model${named}: an adapter of the one fits the other`;
}

/** The repository that one of this name was probably made of. */
function unquantised(name: unknown, label: string): string | undefined {
  if (typeof name !== "string" || !/^[\w-][\w.-]*\/[\w.-]+(?:@[\w./-]+)?$/.test(name)) return undefined;
  const [owner = "", repository = ""] = name.replace(/@.*$/, "").split("/");
  const plain = repository.replaceAll(SUFFIX, "");
  if (plain === "" || (plain === repository && name === label)) return undefined;
  return QUANTISERS.has(owner) ? plain : `${owner}/${plain}`;
}
