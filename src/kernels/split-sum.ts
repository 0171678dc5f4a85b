import shader from "../../shaders/split-sum.wgsl";
import type { Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { perElement } from "./launch.ts";
import { storedAs } from "./stored.ts";

/** Where {@link splitSum} puts its result. */
export interface SplitSumOptions {
  /** Row length of c as stored; that of the parts unless given. */
  ldc?: number;
  /** First element of c that is written. */
  offset?: number;
  /** Adds to c instead of overwriting it. */
  accumulate?: boolean;
}

/**
 * c[row, col] = Σ_s parts[s, row, col]: the end of a product whose sum was cut into slices.
 * @param parts `[slices, m, n]` f32
 * @param c f32 or f16, m rows that are `ldc` apart
 */
export function splitSum(parts: Tensor, c: Tensor, options: SplitSumOptions = {}): Tensor {
  const [slices = 0, m = 0, n = 0] = parts.shape;
  const { ldc = n, offset = 0, accumulate = false } = options;
  if (ldc < n || offset + (m - 1) * ldc + n > c.size)
    fail("splitSum", `${m}×${n} from element ${offset}, rows ${ldc} apart, do not fit into [${c.shape}]`);
  const unit = (n | ldc | offset) % 4 === 0 ? n : 1;
  const { width, count, elem, WG, grid } = perElement(c.device, m * n, unit);
  c.device.run(shader, "forward", {
    bind: { parts, c },
    params: { count, slices, n: n / width, ldc: ldc / width, c_offset: offset / width },
    constants: { elem, WG, ACCUMULATE: accumulate, ...storedAs("splitSum", elem, [c]) },
    grid,
  });
  return c;
}
