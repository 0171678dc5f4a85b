import type { Device } from "../gpu/device.ts";
import type { Tensor } from "../gpu/tensor.ts";
import { largest } from "../util/arrays.ts";
import { greatestCommonDivisor } from "../util/divisors.ts";
import { fail } from "../util/fail.ts";
import type { Weight } from "./weight.ts";

/** Binding offsets must be multiples of this on the portable floor (`minStorageBufferOffsetAlignment`), bytes. */
const ALIGNMENT = 256;
/**
 * Windows start at multiples of so many rows, which the vectors of {@link matmul} need: three windows of 50 646 rows of a
 * bf16 head 896 × 151936 had sent it to the portable kernel, at 1.5 GFLOP/s instead of 28 on lavapipe.
 */
const VECTOR = 4;

/** Rows [start, end) of a tensor's first axis. */
export interface RowWindow {
  start: number;
  end: number;
}

/**
 * Cuts a tensor or a weight into the fewest equal runs of rows of which each can be bound on its own: at most `limitBytes`
 * long, starting at a multiple of 256 bytes and of four rows. A tensor that fits gives one window.
 * @param limitBytes the device's `bindingLimit`; tests give less.
 */
export function rowWindows(tensor: Tensor | Weight, limitBytes = tensor.device.bindingLimit): RowWindow[] {
  const rows = tensor.shape[0] ?? 1;
  return commonWindows(rows, [tensor.byteLength / rows], limitBytes);
}

/**
 * {@link rowWindows} of several tensors with the same number of rows.
 * @param rowBytes of each tensor; not whole where a row of a weight in four bits ends within a byte
 */
export function commonWindows(rows: number, rowBytes: readonly number[], limitBytes: number): RowWindow[] {
  const widest = largest(rowBytes);
  if (rows * widest <= limitBytes) return [{ start: 0, end: rows }];
  let step = VECTOR;
  for (const bytes of rowBytes) {
    const aligned = ALIGNMENT / greatestCommonDivisor(ALIGNMENT, bytes);
    step = (step * aligned) / greatestCommonDivisor(step, aligned);
  }
  const most = Math.floor(limitBytes / (step * widest)) * step;
  if (most === 0) {
    fail("windows", `${step} rows of ${widest} bytes exceed the binding limit of ${limitBytes} bytes`);
  }
  const even = Math.ceil(rows / Math.ceil(rows / most));
  const size = Math.min(most, Math.ceil(even / step) * step);
  const starts = Array.from({ length: Math.ceil(rows / size) }, (_, i) => i * size);
  return starts.map((start) => ({ start, end: Math.min(start + size, rows) }));
}

/**
 * Ranges of elements [start, end) of flat tensors of f32, or of halves among them, that can be bound.
 * @param unit a length that no range cuts: rows that belong together
 */
export function elementWindows(device: Device, size: number, unit = 1): RowWindow[] {
  if (4 * size <= device.bindingLimit) return [{ start: 0, end: size }];
  const windows = commonWindows(size / unit, [4 * unit, 2 * unit], device.bindingLimit);
  return windows.map(({ start, end }) => ({ start: unit * start, end: unit * end }));
}
