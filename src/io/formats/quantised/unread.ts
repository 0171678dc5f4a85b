import { LoraError } from "../../../util/fail.ts";
import { nearest } from "../../../util/nearest.ts";
import { shown } from "../../../util/shown.ts";
import type { Checkpoint, CheckpointTensor } from "../checkpoint.ts";
import type { QuantisationSettings } from "./settings.ts";

/** The error for weights that are quantised in a way that is not read. @param known the methods that are */
export function unreadMethod(
  { label, config }: Checkpoint,
  { method, field, settings }: QuantisationSettings,
  known: readonly string[],
): LoraError {
  const close = nearest(method, known);
  const read = close === undefined ? `read are ${known.join(", ")}` : `the nearest that is read: ${close}`;
  return new LoraError(
    "unsupported",
    label,
    `its weights are quantised (${method}): config.json has ${field} ${shown(settings)}; ${read}`,
    remedy(label, config._name_or_path),
  );
}

/**
 * Refuses a checkpoint whose config says nothing of quantisation, and whose tensors are quantised.
 * @throws LoraError of kind `unsupported` that names the method and, where it can be told, the repository to take instead
 */
export function refuseUnconfigured({ label, config, tensors }: Checkpoint): void {
  const found = methodOfTensors(tensors);
  if (found === undefined) return;
  throw new LoraError(
    "unsupported",
    label,
    `its weights are quantised (${found.method}): ${found.reason}, and config.json has no quantization_config that says how`,
    remedy(label, config._name_or_path),
  );
}

/** The error for experts that are quantised each by itself. @param expert a matrix of one of them */
export function unreadExperts({ label, config }: Checkpoint, { name, packed }: CheckpointTensor): LoraError {
  return new LoraError(
    "unsupported",
    label,
    `its experts are quantised one by one (${name}: ${packed?.type}), and quantised experts are read as one matrix of a layer only, as gpt-oss has them in mxfp4`,
    remedy(label, config._name_or_path),
  );
}

interface Finding {
  readonly method: string;
  readonly reason: string;
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
    ({ name, dtype, shape, packed }) =>
      !packed && name.endsWith(".weight") && shape.length >= 2 && CODES.test(dtype),
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
