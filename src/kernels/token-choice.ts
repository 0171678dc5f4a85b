import shader from "../../shaders/token-choice.wgsl";
import { empty, type Tensor } from "../gpu/tensor.ts";
import { fail } from "../util/fail.ts";
import { foldGrid } from "./grid.ts";
import { reductionSize } from "./launch.ts";

/** How an index of a row is drawn; what each does, `SamplingOptions` say. */
export interface Choice {
  /** 0: the largest. */
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;
  /** In [0, 1): on which part of what may be drawn it falls, the most likely first, and of equals the lowest index. */
  readonly uniform: number;
}

/** Words of a row of choices. */
export const CHOICE_WORDS = 6;
/** Columns from which the sums of the masses could overflow. */
const MOST_COLUMNS = 2 ** 20;

/** The choices of some rows, as {@link choose} takes them: u32 `[rows, 6]`. */
export function packChoices(choices: readonly Choice[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(CHOICE_WORDS * choices.length);
  const floats = new Float32Array(words.buffer);
  for (const [row, choice] of choices.entries()) {
    const at = CHOICE_WORDS * row;
    floats[at] = choice.temperature;
    words[at + 1] = Math.min(choice.topK, MOST_COLUMNS);
    words[at + 2] = choice.topP === 1 ? 0 : fraction(Math.max(choice.topP, 2 ** -32));
    floats[at + 3] = choice.minP;
    floats[at + 4] = choice.repetitionPenalty;
    words[at + 5] = fraction(choice.uniform);
  }
  return words;
}

/** In units of 2⁻³², below 1. */
const fraction = (value: number) => Math.min(Math.floor(value * 2 ** 32), 2 ** 32 - 1);

/** Whether {@link choose} can draw from rows of so many columns. */
export const canChoose = (columns: number) => columns < MOST_COLUMNS;

/**
 * An index of each row, drawn by the softmax of its values, or −1 as `argmax` has it. As the host draws it, but with
 * probabilities in units of 2⁻⁴⁴ of the largest: an index differs where the uniform number falls on the very edge of two.
 * @param x logits `[rows, cols]` f32
 * @param choices what {@link packChoices} made of those of the rows
 * @param seen a bit for each index to which the penalty applies, u32 `[rows, ⌈cols / 32⌉]`; what is chosen is added. Or u32 `[1]`,
 * where no row has a penalty
 * @returns `[rows]` u32, in `into` where it is given
 */
export function choose(x: Tensor, choices: Tensor, seen: Tensor, into?: Tensor): Tensor {
  const { rows, columns: cols, device } = x;
  if (!canChoose(cols)) fail("choose", `${cols} columns, wanted less than ${MOST_COLUMNS}`);
  if (choices.size !== CHOICE_WORDS * rows) fail("choose", `choices are [${choices.shape}] for ${rows} rows`);
  const words = seen.size === 1 ? 0 : seen.columns;
  if (words > 0 && seen.size !== rows * Math.ceil(cols / 32))
    fail("choose", `seen is [${seen.shape}] for [${x.shape}]`);
  const index = into ?? empty(device, [rows], "u32");
  device.run(shader, "choose", {
    bind: { x, index, choices, seen },
    params: { rows, cols, words },
    constants: { WG: reductionSize(device, cols) },
    grid: foldGrid(rows),
  });
  return index;
}
