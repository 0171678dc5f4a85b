import { isObject, type JsonObject } from "../../../util/json.ts";

/** What `config.json` says of how weights are quantised. */
export interface QuantisationSettings {
  /** `quant_method`, or what the fields amount to. */
  readonly method: string;
  /** The field that says it. */
  readonly field: string;
  readonly settings: JsonObject;
}

/** Fields that say how weights are quantised: of MLX, of transformers, and of older compressed-tensors. */
export const QUANTISATION_FIELDS: readonly string[] = [
  "quantization",
  "quantization_config",
  "compression_config",
];

/** Undefined where the config says nothing of it. */
export function quantisationOf(config: JsonObject): QuantisationSettings | undefined {
  const parts = [config, config.text_config].filter(isObject);
  for (const field of QUANTISATION_FIELDS) {
    const settings = parts.map((part) => part[field]).find((value) => isObject(value) && !isEmpty(value));
    if (isObject(settings)) return { method: methodName(field, settings), field, settings };
  }
  return undefined;
}

const isEmpty = (object: JsonObject) => Object.keys(object).length === 0;

function methodName(field: string, { quant_method, ...settings }: JsonObject): string {
  if (typeof quant_method === "string") return quant_method;
  if (settings.load_in_4bit !== undefined || settings.load_in_8bit !== undefined) return "bitsandbytes";
  if (field === "quantization" || (settings.group_size !== undefined && settings.bits !== undefined))
    return "mlx";
  return field === "compression_config" ? "compressed-tensors" : "a method without a name";
}

/** The config of the same model before it was quantised. */
export function withoutQuantisation<C extends JsonObject>(config: C): C {
  const without = (part: JsonObject) =>
    Object.fromEntries(Object.entries(part).filter(([name]) => !QUANTISATION_FIELDS.includes(name)));
  const own = without(config);
  return (isObject(own.text_config) ? { ...own, text_config: without(own.text_config) } : own) as C;
}
