// What a product is expected to take on a card, by which kernel and into how many slices its sums are cut.
import type { Problem } from "./matmul-problem.ts";

/** The part of C that a workgroup of 256 invocations computes. */
export interface Block {
  readonly rows: number;
  readonly cols: number;
  /** Of the card's peak that its kernel reaches where it has enough workgroups. */
  readonly share: number;
}

/** How a product is computed: by which blocks, and in how many parts of the sum, which are added up in a second pass. */
export interface Cut {
  readonly slices: number;
  /** Expected, in microseconds. */
  readonly time: number;
}

/**
 * A card of the middle. WebGPU tells no number of cores; where a card has more of them, more slices would pay, and where it has
 * fewer, fewer would. None of it was measured on a card.
 */
const CARD = {
  /** Cores with 128 lanes (a WGP of AMD, an SM of NVIDIA): RX 7900 XTX 48, RTX 4070 46, H200 132; integrated ones 4 to 16. */
  cores: 64,
  /** Multiply-adds of a core in a microsecond: 128 lanes at 1.8 GHz, of which a third of the time is lost waiting. */
  multiplyAdds: 154_000,
  /** Workgroups that a core needs at a time to be as fast: fewer wait for memory, and it goes on at half the speed for one. */
  resident: 2,
  /** Microseconds of a dispatch that waits for another: 5 of the device's, and about 5 of the host's to record it. */
  dispatch: 10,
  /** Bytes in a microsecond. */
  bandwidth: 500_000,
};

/** Microseconds that a dispatch costs by itself. */
export const DISPATCH_TIME = CARD.dispatch;

/** What a cut must come to in place of fewer slices: the model is a rough one, and each dispatch is the host's, too. */
const MARGIN = 0.8;
/** A slice is at least this long: shorter ones take less time than adding them up. */
const SHORTEST = 128;
/** What the kernels read at a time divides this. */
const STAGE = 32;

type Sizes = Pick<Problem, "m" | "n" | "k">;

/**
 * Microseconds that a product is expected to take:
 * max(resident, blocks · slices / cores) · rows · cols · k / slices / (share · multiplyAdds), and with slices a second pass of
 * dispatch + 4 (slices + 1) m n / bandwidth.
 *
 * The second pass can't be had without a dispatch of its own: memory that a workgroup writes is seen by others of the same
 * dispatch through atomics alone (WGSL's memory model knows no fence between workgroups), there are none of floats, and the
 * sum's order would not be the same each time.
 */
export function expectedTime({ m, n, k }: Sizes, { rows, cols, share }: Block, slices: number): number {
  const blocks = Math.ceil(m / rows) * Math.ceil(n / cols) * slices;
  const each = (rows * cols * k) / slices / (share * CARD.multiplyAdds);
  const again = slices > 1 ? CARD.dispatch + (4 * (slices + 1) * m * n) / CARD.bandwidth : 0;
  return Math.max(CARD.resident, blocks / CARD.cores) * each + again;
}

/**
 * The number of slices that is expected to take least time: one, or several where C has so few blocks that most of a card
 * would idle over long sums. The gradients of LoRA's matrices, `[r, in]` and `[out, r]`, are such sums, over all tokens.
 * @param bindingLimit bytes that the sums of all slices, f32 `[slices, m, n]`, may take
 */
export function bestCut(sizes: Sizes, block: Block, bindingLimit = Number.POSITIVE_INFINITY): Cut {
  const { m, n, k } = sizes;
  const blocks = Math.ceil(m / block.rows) * Math.ceil(n / block.cols);
  // More workgroups than that find no core that waits.
  const filled = Math.ceil((2 * CARD.resident * CARD.cores) / blocks);
  const most = Math.floor(Math.min(filled, k / SHORTEST, bindingLimit / (4 * m * n)));
  const whole: Cut = { slices: 1, time: expectedTime(sizes, block, 1) };
  let best = whole;
  for (let slices = 2; slices <= most; slices++) {
    const time = expectedTime(sizes, block, slices);
    if (time < best.time) best = { slices, time };
  }
  return best.time < MARGIN * whole.time ? best : whole;
}

/** Steps of the sum in each of so many slices. */
export function sliceLength({ k }: Pick<Problem, "k">, slices: number): number {
  return Math.ceil(k / slices / STAGE) * STAGE;
}
