import { decodeBf16, decodeF16 } from "./half.ts";

/** A number format whose values lie in 32-bit words. */
export type FloatFormat = "f32" | "bf16" | "f16";

/** Of a word: the exponents' bits, what makes them overflow where all of one are set, and the bits that it overflows into. */
const BITS: Readonly<Record<FloatFormat, readonly [exponents: number, one: number, overflows: number]>> = {
  f32: [0x7f800000, 0x00800000, 0x80000000],
  bf16: [0x7f807f80, 0x00800080, 0x80008000],
  f16: [0x7c007c00, 0x04000400, 0x80008000],
};

/**
 * The first value that is NaN or infinite; undefined where all are finite. It is looked for by the exponents' bits, so
 * that 16-bit values are not decoded and most of the time is that of reading the memory.
 * @param bytes whole words of values of the format
 */
export function nonFinite(bytes: ArrayBufferView, format: FloatFormat): number | undefined {
  const words = wordsOf(bytes);
  const [exponents, one, overflows] = BITS[format];
  let found = 0;
  for (let i = 0; i < words.length; i++) found |= (words[i]! & exponents) + one;
  if ((found & overflows) === 0) return undefined;
  const word = words.find((word) => (((word & exponents) + one) & overflows) !== 0) as number;
  return valuesOf(word, format).find((value) => !Number.isFinite(value));
}

/** Which f32 tensors hold NaN or infinity, a line each. */
export function spoiltTensors(tensors: Iterable<readonly [name: string, values: Float32Array]>): string[] {
  return [...tensors].flatMap(([name, values]) => {
    const value = nonFinite(values, "f32");
    return value === undefined ? [] : [`${name} holds ${value}`];
  });
}

function valuesOf(word: number, format: FloatFormat): Float32Array {
  const { buffer } = Int32Array.of(word);
  if (format === "f32") return new Float32Array(buffer);
  return (format === "bf16" ? decodeBf16 : decodeF16)(new Uint16Array(buffer));
}

/** The bytes as words: the same memory where they begin at a word's boundary, else a copy. */
function wordsOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Int32Array {
  if (byteOffset % 4 === 0) return new Int32Array(buffer, byteOffset, byteLength / 4);
  return new Int32Array(buffer.slice(byteOffset, byteOffset + byteLength));
}
