import shader from "../../shaders/block-rotation.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { foldGrid } from "./grid.ts";
import { swapAxes } from "./swap-axes.ts";
import { rowWindows } from "./windows.ts";

// Matrices of blocks along the diagonal, as OFT rotates with.

const WG = 64;
const NOTHING = { rows: 0, blocks: 0, size: 0, row: 0, block: 0, matrix: 0, alpha: 1, bound: 0 };
const perElement = (count: number) => foldGrid(Math.ceil(count / WG));

/** Elements above the diagonal of a block. */
export const skewElements = (size: number): number => (size * (size - 1)) / 2;

/** The size of blocks that have so many elements above the diagonal. */
export function blockSizeOf(elements: number): number {
  return Math.round((1 + Math.sqrt(1 + 8 * elements)) / 2);
}

/** Skew-symmetric blocks `[blocks, size, size]` of what is above their diagonals, `[blocks, elements]`, row by row. */
export function skew(v: Tensor): Tensor {
  const size = blockSizeOf(v.columns);
  const q = empty(v.device, [v.rows, size, size]);
  v.device.run(shader, "skew", {
    bind: { v, q },
    params: { ...NOTHING, blocks: v.rows, size },
    constants: { WG },
    grid: perElement(q.size),
  });
  return q;
}

/** The gradient of {@link skew}'s vectors, added to `into` where given. */
export function skewGradient(dq: Tensor, into?: Tensor): Tensor {
  const [blocks = 0, size = 0] = dq.shape;
  const v_out = into ?? empty(dq.device, [blocks, skewElements(size)]);
  dq.device.run(shader, "skew_gradient", {
    bind: { q_in: dq, v_out },
    params: { ...NOTHING, blocks, size },
    constants: { WG, ACCUMULATE: into !== undefined },
    grid: perElement(dq.size),
  });
  return v_out;
}

/** Options of {@link blockProduct}. */
export interface BlockProductOptions {
  /** Multiplies with the transposed blocks. */
  readonly transposed?: boolean;
  /** Of the product; 1 unless given. */
  readonly alpha?: number;
  /** What it is added to. */
  readonly into?: Tensor | undefined;
}

/**
 * y[..., k, :] = alpha · x[..., k, :] m[k]: each row is cut into as many vectors as there are blocks, or all are multiplied with the
 * only one. Of x `[blocks, size, size]` it is the product of the blocks.
 * @param m `[blocks, size, size]` or `[1, size, size]` f32
 */
export function blockProduct(
  x: Tensor,
  m: Tensor,
  { transposed = false, alpha = 1, into }: BlockProductOptions = {},
): Tensor {
  const y = into ?? empty(x.device, x.shape);
  const isWide = (m.shape[1] ?? 0) % 4 === 0;
  const [, side = 0] = m.shape;
  const m_wide = isWide && transposed ? swapAxes(m, { rows: side, cols: side }) : m;
  for (const { start, end, ...place } of places(x, m)) {
    const part = (of: Tensor) => linesOf(of, x, m).slice(start, end);
    const { rows, blocks, size } = place;
    if (isWide) {
      x.device.run(shader, "product_wide", {
        bind: { x_wide: part(x), m_wide, y_wide: part(y) },
        params: { ...NOTHING, ...place, alpha },
        constants: { WG, ACCUMULATE: into !== undefined },
        grid: perElement((Math.ceil(rows / 4) * blocks * size) / 4),
      });
      continue;
    }
    x.device.run(shader, "product", {
      bind: { x: part(x), m, y: part(y) },
      params: { ...NOTHING, ...place, alpha },
      constants: { WG, ACCUMULATE: into !== undefined, TRANSPOSED: transposed },
      grid: perElement(rows * blocks * size),
    });
  }
  return y;
}

/** dm[k] = alpha · Σ over rows of x[..., k, :]ᵀ dy[..., k, :], as large as m, added to `into` where given. */
export function blockOuter(x: Tensor, dy: Tensor, m: Tensor, into?: Tensor, alpha = 1): Tensor {
  const m_out = into ?? empty(x.device, m.shape);
  for (const { start, end, ...place } of places(x, m)) {
    const part = (of: Tensor) => linesOf(of, x, m).slice(start, end);
    const isAdded = into !== undefined || start > 0;
    if (place.size % 4 === 0) {
      x.device.run(shader, "outer_wide", {
        bind: { x_wide: part(x), y_wide_in: part(dy), m_wide_out: m_out },
        params: { ...NOTHING, ...place, alpha },
        constants: { WG, ACCUMULATE: isAdded },
        grid: perElement(m.size / 16),
      });
      continue;
    }
    x.device.run(shader, "outer", {
      bind: { x: part(x), y_in: part(dy), m_out },
      params: { ...NOTHING, ...place, alpha },
      constants: { WG, ACCUMULATE: isAdded },
      grid: perElement(m.size),
    });
  }
  return m_out;
}

/** Whether x is blocks itself, whose rows lie in each. */
const isBlocks = (x: Tensor, m: Tensor) => String(x.shape) === String(m.shape);

const linesOf = (of: Tensor, x: Tensor, m: Tensor) =>
  isBlocks(x, m) ? of.reshape([1, of.size]) : of.reshape([x.rows, x.columns]);

/** Parts of x that can be bound, and where rows and blocks lie in them. */
function places(x: Tensor, m: Tensor) {
  const [count = 0, size = 0] = m.shape;
  if (isBlocks(x, m)) {
    const whole = { rows: size, blocks: count, size, row: size, block: size * size, matrix: size * size };
    return [{ start: 0, end: 1, ...whole }];
  }
  const blocks = x.columns / size;
  if (!Number.isInteger(blocks) || (count !== 1 && count !== blocks))
    fail("blockProduct", `x [${x.shape}] does not go with blocks [${m.shape}]`);
  const lines = x.reshape([x.rows, x.columns]);
  // One block for all of several is told by its stride; for a single one there is nothing to share.
  const matrix = count === 1 && blocks > 1 ? 0 : size * size;
  return [...rowWindows(lines)].map(({ start, end }) => {
    return { start, end, rows: end - start, blocks, size, row: x.columns, block: size, matrix };
  });
}

/** (I + q)⁻¹ of each skew-symmetric block. @param q `[blocks, size, size]` */
export function inverseOfShifted(q: Tensor): Tensor {
  const [blocks = 0, size = 0] = q.shape;
  const [m_out, work] = [empty(q.device, q.shape), empty(q.device, q.shape)];
  q.device.run(shader, "inverse", {
    bind: { q_in: q, m_out, work },
    params: { ...NOTHING, blocks, size },
    constants: { WG: q.device.profile.sharesWork && size > 32 ? 64 : 32 },
    grid: foldGrid(blocks),
  });
  return m_out;
}

/**
 * Scales vectors of skew-symmetric blocks down, in place, so that no block's Frobenius norm is above `bound`.
 * @param outcome of an optimiser step: where that was skipped, nothing changes
 */
export function projectBlocks(v: Tensor, bound: number, outcome?: Tensor): void {
  const { device } = v;
  device.run(shader, "project", {
    bind: { v_out: v, outcome: outcome ?? empty(device, [2]) },
    params: { ...NOTHING, blocks: v.rows, size: blockSizeOf(v.columns), bound },
    constants: { WG, GATED: outcome !== undefined },
    grid: [Math.ceil(v.rows / WG)],
  });
}
