import { FP4, NF4 } from "../../../kernels/code-tables.ts";
import { byteView } from "../../../util/bytes.ts";
import type { TensorSpec } from "../safetensors-writer.ts";
import { NESTED_BLOCK, STATES } from "./bitsandbytes.ts";
import type { MatrixParts, MatrixTensor, MatrixWriter, WrittenMatrix } from "./matrix-writer.ts";

/** Blocks that bitsandbytes has kernels for. */
const BLOCKS: readonly number[] = [32, 64, 128, 256, 512, 1024, 2048, 4096];

/** Digits of a number in f32, with sign, point and exponent. */
const LONGEST_NUMBER = 24;

/** What Python calls the numbers that a matrix had before. */
const DTYPES: Readonly<Record<string, string>> = { F32: "float32", BF16: "bfloat16", F16: "float16" };

/** bitsandbytes' four bits, as transformers saves them. */
export const fourBitWriter: MatrixWriter = { problem, tensors, config };

function problem({ decoding: { format, block, name } }: WrittenMatrix): string | undefined {
  if (format !== "nf4" && format !== "fp4") return `is ${name}`;
  return BLOCKS.includes(block) ? undefined : `has blocks of ${block}, which bitsandbytes has no kernels for`;
}

/** `QuantState.as_dict(packed=True)` in functional.py. */
function tensors(
  name: string,
  { decoding: { format, block, scales }, shape }: WrittenMatrix,
  dtype: string,
): MatrixTensor[] {
  const type = format === "fp4" ? "fp4" : "nf4";
  const count = shape[0] * shape[1];
  const blocks = Math.ceil(count / block);
  const isNested = scales === "nested";
  const f32 = (end: string, length: number): TensorSpec => ({
    ...{ name: `${name}.${end}`, dtype: "F32", shape: [length] },
  });
  const u8 = (end: string, shape: readonly number[]): TensorSpec => ({
    ...{ name: `${name}${end}`, dtype: "U8", shape },
  });
  const state = { quant_type: type, blocksize: block, dtype: DTYPES[dtype] ?? "float32", shape };
  const nested = { nested_blocksize: NESTED_BLOCK, nested_dtype: "float32" };
  // The header comes first, so that the length must not depend on the offset: readers of JSON skip spaces.
  const length = JSON.stringify({ ...state, ...nested, nested_offset: "" }).length + LONGEST_NUMBER;
  const text = (offset: number) =>
    JSON.stringify(isNested ? { ...state, ...nested, nested_offset: offset } : state).padEnd(length);
  const table = byteView(type === "nf4" ? NF4 : FP4);
  const stateName = STATES[type].slice("weight".length);
  return [
    {
      spec: u8("", [Math.ceil(count / 2), 1]),
      bytesOf: ({ words }) => words.subarray(0, Math.ceil(count / 2)),
    },
    {
      spec: isNested ? u8(".absmax", [blocks]) : f32("absmax", blocks),
      bytesOf: ({ scales }) => scales.subarray(0, isNested ? blocks : 4 * blocks),
    },
    { spec: f32("quant_map", 16), bytesOf: () => table },
    ...(isNested
      ? [
          {
            spec: f32("nested_absmax", Math.ceil(blocks / NESTED_BLOCK)),
            bytesOf: ({ zeros = table }: MatrixParts) => zeros.subarray(4 * 257),
          },
          {
            spec: f32("nested_quant_map", 256),
            bytesOf: ({ zeros = table }: MatrixParts) => zeros.subarray(4, 4 * 257),
          },
        ]
      : []),
    {
      spec: u8(stateName, [length]),
      bytesOf: ({ zeros }) => new TextEncoder().encode(text(zeros ? offsetOf(zeros) : 0)),
    },
  ];
}

const offsetOf = ({ buffer, byteOffset }: Uint8Array) => new DataView(buffer, byteOffset).getFloat32(0, true);

function config(
  matrices: ReadonlyMap<string, WrittenMatrix>,
  dtype: string,
  skipped: readonly string[],
): Record<string, unknown> {
  const [
    {
      decoding: { format, scales },
    },
  ] = [...matrices.values()] as [WrittenMatrix];
  return {
    quant_method: "bitsandbytes",
    ...{ _load_in_4bit: true, _load_in_8bit: false, load_in_4bit: true, load_in_8bit: false },
    bnb_4bit_quant_type: format,
    bnb_4bit_use_double_quant: scales === "nested",
    bnb_4bit_compute_dtype: DTYPES[dtype] ?? "float32",
    bnb_4bit_quant_storage: "uint8",
    llm_int8_skip_modules: skipped,
  };
}
