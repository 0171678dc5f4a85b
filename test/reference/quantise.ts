import { FORMATS, type ScaleFormat, type WeightFormat } from "../../src/kernels/formats.ts";
import { codeValue } from "./weight.ts";

/** How values are quantised. */
export interface QuantiseKind {
  readonly format: WeightFormat;
  readonly block: number;
  readonly scales?: ScaleFormat;
  readonly zeros?: "points";
}

/** Largest value of a code. */
const LARGEST: Partial<Record<WeightFormat, number>> = {
  ...{ int8: 127, fp8_e4m3: 448, fp8_e5m2: 57344, int4: 7.5, nf4: 1, fp4: 1 },
};

/** Values after they were quantised, each to the nearest of all that the format has; f32 where the rules have f32. */
export function quantiseReference(
  values: Float32Array,
  { format, block, zeros }: QuantiseKind,
): Float64Array {
  const result = new Float64Array(values.length);
  const codes = Array.from({ length: 2 ** FORMATS[format].bits }, (_, code) => code);
  for (let start = 0; start < values.length; start += block) {
    const own = values.subarray(start, start + block);
    const largest = Math.max(...own.map(Math.abs));
    const [least, most] = [Math.min(0, ...own), Math.max(0, ...own)];
    const scale = zeros
      ? Math.fround(Math.fround(most - least) / 15)
      : format === "mxfp4"
        ? 2 ** (Math.floor(Math.log2(largest)) - 2)
        : Math.fround(largest / (LARGEST[format] as number));
    // The largest value of an int4 block lies halfway between two codes, and goes outward.
    const inverse = Math.fround((format === "int4" && !zeros ? 1 + 2 ** -20 : 1) / scale);
    const zero = zeros && Math.round(-least * inverse);
    const table = codes
      .filter((code) => format !== "int8" || code !== 128)
      .map((code) => codeValue(format, code, zero))
      .filter((value) => Math.abs(value) <= (format === "fp8_e4m3" ? 448 : 57344));
    own.forEach((value, i) => {
      const scaled = Math.fround(value * inverse);
      const nearest = table.reduce((a, b) => (Math.abs(b - scaled) < Math.abs(a - scaled) ? b : a));
      result[start + i] = nearest * scale;
    });
  }
  return result;
}
