import shader from "../../shaders/segments.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { foldGrid } from "./grid.ts";
import { reductionSize } from "./launch.ts";

/** Stretches of a list of values, which may share some, each with a factor. */
export interface Segments {
  /** First value and end of each, u32 `[S, 2]`. */
  readonly ranges: Tensor;
  /** f32 `[S]` */
  readonly factors: Tensor;
}

/** Some of the values, the first of which is that of this number. */
export interface ValueWindow {
  /** f32 `[n]` */
  readonly values: Tensor;
  readonly start: number;
}

/**
 * factor · Σ of the values of each segment that lie in a window.
 * @returns `[S]`, or `into` with the sums added to it
 */
export function segmentSums({ values, start }: ValueWindow, segments: Segments, into?: Tensor): Tensor {
  const { ranges, factors } = segments;
  checkSegments(segments);
  const y = into ?? empty(values.device, [factors.size]);
  values.device.run(shader, "sums", {
    bind: { x: values, ranges, factors, y },
    params: { segments: factors.size, start, count: values.size },
    constants: { WG: reductionSize(values.device, values.size), ACCUMULATE: into !== undefined },
    grid: foldGrid(factors.size),
  });
  return y;
}

/**
 * The backward pass of {@link segmentSums}: Σ of factor · dy over the segments that hold a value.
 * @param dy `[S]`
 * @param window where the values lie
 * @returns `[count]`, or `into` with the gradient added to it
 */
export function segmentSpread(
  dy: Tensor,
  { start, count }: { readonly start: number; readonly count: number },
  segments: Segments,
  into?: Tensor,
): Tensor {
  const { ranges, factors } = segments;
  checkSegments(segments);
  if (dy.size !== factors.size) fail("segmentSpread", `dy is [${dy.shape}] for ${factors.size} segments`);
  const dx = into ?? empty(dy.device, [count]);
  dy.device.run(shader, "spread", {
    bind: { ranges, factors, dy, dx },
    params: { segments: factors.size, start, count },
    constants: { WG: 64, ACCUMULATE: into !== undefined },
    grid: foldGrid(Math.ceil(count / 64)),
  });
  return dx;
}

function checkSegments({ ranges, factors }: Segments): void {
  if (ranges.dtype !== "u32" || ranges.size !== 2 * factors.size)
    fail("segments", `ranges are [${ranges.shape}] ${ranges.dtype}, expected [${factors.size}, 2] u32`);
}
