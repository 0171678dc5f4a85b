import shader from "../../shaders/adamw-8bit.wgsl";
import type { Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { type AdamWStep, adamWParams } from "./adamw.ts";
import { foldGrid } from "./grid.ts";
import { checkRates, RATE_BLOCK, type UpdateTensors } from "./update.ts";
import { commonWindows } from "./windows.ts";

/** Elements whose moments share a scale. */
export const MOMENT_BLOCK = 256;

/** What AdamW with 8-bit moments updates and reads: flat, of n elements. */
export interface AdamW8bitTensors extends UpdateTensors {
  /** `[n / 4]` u32: codes of the first moment; those of 0 before the first step. */
  m: Tensor;
  /** `[n / 4]` u32: codes of the second moment. */
  v: Tensor;
  /** `[blocks of 256, 2]` f32: the largest first and second moment of each block, 0 before the first step. */
  scales: Tensor;
  /** `[512]` f32 from {@link momentTables}. */
  tables: Tensor;
}

/**
 * The values of the codes: 256 rising ones between −1 and 1 for the first moment and 256 between 0 and 1 for the second, more
 * the smaller they are. bitsandbytes' `create_dynamic_map`: Dettmers et al. 2021, arXiv 2110.02861, "dynamic tree".
 */
export function momentTables(): Float32Array {
  return Float32Array.from([...dynamicMap(true), ...dynamicMap(false)]);
}

/** Seven powers of ten, each with twice as many values as the one below it. */
function dynamicMap(signed: boolean): number[] {
  const values = [0, 1];
  for (let exponent = 0; exponent < 7; exponent++) {
    const count = signed ? 2 ** exponent : 2 ** (exponent + 1);
    for (let i = 0; i < count; i++) {
      const mean = 0.1 + (0.9 * (i + 0.5)) / count;
      const value = mean * 10 ** (exponent - 6);
      values.push(value);
      if (signed) values.push(-value);
    }
  }
  return values.sort((a, b) => a - b);
}

/** One step of {@link adamW} in place, with moments of 8 bits each. */
export function adamW8bit(
  { parameters, gradients, m, v, scales, tables, outcome, rates }: AdamW8bitTensors,
  step: AdamWStep,
): void {
  const { device, size } = parameters;
  const blocks = Math.ceil(size / MOMENT_BLOCK);
  const isFitting = gradients.size === size && 4 * m.size === size && 4 * v.size === size;
  if (!isFitting || scales.size !== 2 * blocks || tables.size !== 512)
    fail("adamW8bit", `tensors of other sizes than ${size} parameters need`);
  checkRates("adamW8bit", rates, size);
  const params = adamWParams("adamW8bit", step);
  for (const { start, end } of commonWindows(blocks, [4 * MOMENT_BLOCK], device.bindingLimit)) {
    const [first, last] = [start * MOMENT_BLOCK, Math.min(size, end * MOMENT_BLOCK)];
    const range = (tensor: Tensor, per: number) =>
      tensor.reshape([tensor.size]).slice(first / per, Math.ceil(last / per));
    device.run(shader, "forward", {
      bind: {
        ...{ p: range(parameters, 1), gradient: range(gradients, 1), m: range(m, 4), v: range(v, 4) },
        ...{ scales: range(scales, MOMENT_BLOCK / 2), tables, outcome, rates },
      },
      params: {
        ...params,
        ...{ count: last - first, first_block: first / RATE_BLOCK, block_shift: Math.log2(RATE_BLOCK / 4) },
      },
      grid: foldGrid(end - start),
      changing: true, // the rate, and bias corrections
    });
  }
}
