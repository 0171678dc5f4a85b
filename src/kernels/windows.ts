import type { Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";

/** Binding offsets must be multiples of this on the portable floor (`minStorageBufferOffsetAlignment`), bytes. */
const ALIGNMENT = 256;

/** Rows [start, end) of a tensor's first axis. */
export interface RowWindow {
  start: number;
  end: number;
}

/**
 * Cuts a tensor into the fewest equal runs of rows of which each can be bound on its own: at most `limitBytes`
 * long, starting at a multiple of 256 bytes. A tensor that fits gives one window.
 * @param limitBytes the device's `maxStorageBufferBindingSize`; tests give less.
 */
export function rowWindows(
  tensor: Tensor,
  limitBytes = tensor.device.limits.maxStorageBufferBindingSize,
): RowWindow[] {
  const rows = tensor.shape[0] ?? 1;
  const rowBytes = tensor.byteLength / rows;
  if (tensor.byteLength <= limitBytes) return [{ start: 0, end: rows }];
  const step = ALIGNMENT / greatestCommonDivisor(ALIGNMENT, rowBytes);
  const most = Math.floor(limitBytes / (step * rowBytes)) * step;
  if (most === 0) {
    fail("rowWindows", `${step} rows of ${rowBytes} bytes exceed the binding limit of ${limitBytes} bytes`);
  }
  const even = Math.ceil(rows / Math.ceil(rows / most));
  const size = Math.min(most, Math.ceil(even / step) * step);
  const starts = Array.from({ length: Math.ceil(rows / size) }, (_, i) => i * size);
  return starts.map((start) => ({ start, end: Math.min(start + size, rows) }));
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
