import type { Decoding } from "../../../kernels/formats.ts";
import type { TensorSpec } from "../safetensors-writer.ts";

/** The parts of a quantised matrix, as the device has them. */
export interface MatrixParts {
  readonly words: Uint8Array;
  readonly scales: Uint8Array;
  /** Zero points; of nested scales their offset, the values of their codes, the second scales, all f32. */
  readonly zeros: Uint8Array | undefined;
}

/** A tensor of a file that is one of a matrix's. */
export interface MatrixTensor {
  readonly spec: TensorSpec;
  bytesOf(parts: MatrixParts): Uint8Array;
}

/** A quantised matrix that is to be written, without its values. */
export interface WrittenMatrix {
  readonly decoding: Decoding;
  /** `[out, in]` */
  readonly shape: readonly [rows: number, columns: number];
}

/** How a library stores quantised matrices. */
export interface MatrixWriter {
  /** What is wrong with a matrix for it; undefined where it has a place for it. */
  problem(matrix: WrittenMatrix): string | undefined;
  /**
   * @param name of the weight in the file
   * @param dtype of the checkpoint's other tensors
   */
  tensors(name: string, matrix: WrittenMatrix, dtype: string): MatrixTensor[];
  /**
   * `quantization_config` of config.json.
   * @param matrices by the names of their modules in the file
   * @param skipped names of the linear layers that are not quantised
   */
  config(
    matrices: ReadonlyMap<string, WrittenMatrix>,
    dtype: string,
    skipped: readonly string[],
  ): Record<string, unknown>;
}
