import type { ChooseFormat } from "../io/formats/checkpoint-weights.ts";
import { type Decoding, decodingOf, FORMATS, type WeightFormat } from "../kernels/formats.ts";
import { fail } from "../util/fail.ts";
import {
  checkOptions,
  either,
  flag,
  integer,
  listOf,
  objectOf,
  oneOf,
  type Rules,
  required,
  text,
} from "../util/options.ts";

/** Formats that a checkpoint's matrices can be quantised to while it is loaded. */
export const QUANTIZATIONS = ["nf4", "fp4", "int4", "mxfp4", "int8", "fp8_e4m3", "fp8_e5m2"] as const;

/** The name of one. */
export type QuantizationFormat = (typeof QUANTIZATIONS)[number];

/** How a frozen model is quantised while it is loaded. */
export interface Quantization {
  /** nf4 and fp4 as bitsandbytes quantises, bit for bit. */
  format: QuantizationFormat;
  /**
   * Consecutive values, row after row, that share a scale, a multiple of 4: 64 for nf4, fp4 and int4, 32 for mxfp4, 128 for
   * the others unless given. `row`: those of a row.
   */
  block?: number | "row" | undefined;
  /**
   * nf4 and fp4: scales are quantised themselves, to 8 bits (`bnb_4bit_use_double_quant`): 4.13 bits a value instead of 4.5,
   * for slower products. False unless given.
   */
  doubleQuantization?: boolean | undefined;
  /** int4: each block has a zero point, and not its largest magnitude alone; true unless given. */
  zeroPoints?: boolean | undefined;
  /**
   * Modules that stay as they are, by names on their paths (`llm_int8_skip_modules`). Unless given, everything stays but
   * linear layers; `[]` also quantises embedding and output layer.
   */
  skipModules?: readonly string[] | undefined;
}

/** What the options have to be. */
const RULES: Rules<Quantization> = {
  format: required(oneOf(QUANTIZATIONS, "bnb_4bit_quant_type", "quantization")),
  block: either(integer({ min: 4 }, "group_size", "blocksize"), oneOf(["row"])),
  doubleQuantization: flag("bnb_4bit_use_double_quant"),
  zeroPoints: flag("zero_point"),
  skipModules: listOf(text(), "a list of names", "llm_int8_skip_modules"),
};

/** A format, or how exactly; what belongs together is checked by {@link quantisation}. */
export const QUANTIZATION = either(oneOf(QUANTIZATIONS), objectOf("an object with a format"));

/** Which matrices of a checkpoint are quantised, and how. @throws LoraError for options that do not belong together */
export function quantisation(given: Quantization | QuantizationFormat | undefined): ChooseFormat | undefined {
  if (given === undefined) return undefined;
  const options: Quantization = typeof given === "string" ? { format: given } : given;
  checkOptions("quantization", options, RULES);
  checkTogether(options);
  const { skipModules } = options;
  return (name, { linear = false, fresh = false }, columns) => {
    const isSkipped = skipModules ? skipModules.some((module) => isOn(name, module)) : !linear;
    return isSkipped || fresh ? undefined : decodingFor(options, columns);
  };
}

/** Whether a module, or one above it, has this name, or these last names. */
function isOn(tensor: string, module: string): boolean {
  return `.${tensor}`.includes(`.${module}.`);
}

function decodingFor(
  { format, block, doubleQuantization, zeroPoints }: Quantization,
  columns: number,
): Decoding {
  const { block: usual, scales: usualScales } = FORMATS[format];
  const scales = usualScales === "nested" && !doubleQuantization ? "f32" : usualScales;
  const zeros = format === "int4" && zeroPoints !== false ? "points" : "none";
  return decodingOf(format, {
    block: block === "row" ? columns : (block ?? usual ?? columns),
    ...(scales && { scales }),
    zeros,
  });
}

function checkTogether({ format, block, doubleQuantization, zeroPoints }: Quantization): void {
  const only = (option: string, formats: readonly WeightFormat[]) =>
    fail(
      "quantization",
      `${option} means nothing to ${format}`,
      `it belongs to ${formats.join(" and ")}: leave it out`,
    );
  if (doubleQuantization !== undefined && FORMATS[format].scales !== "nested")
    only("doubleQuantization", ["nf4", "fp4"]);
  if (zeroPoints !== undefined && format !== "int4") only("zeroPoints", ["int4"]);
  if (typeof block === "number" && block % 4 !== 0)
    fail("quantization", `block is ${block}`, "take a multiple of 4");
  if (format === "mxfp4" && block !== undefined && block !== 32)
    fail("quantization", `block is ${block}`, "mxfp4 has blocks of 32: leave it out");
}
