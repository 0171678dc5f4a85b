import type { Device } from "../gpu/device.ts";
import { empty, type Tensor } from "../gpu/tensor.ts";
import type { Specialization, WgslModule } from "../gpu/wgsl.ts";
import { fail } from "../util/fail.ts";
import { fill } from "./elementwise.ts";
import { runElements } from "./launch.ts";

/** Elements that share their rates: each parameter begins at a multiple of so many. */
export const RATE_BLOCK = 64;

/** What every optimiser updates and reads. */
export interface UpdateTensors {
  /** Flat, f32. */
  parameters: Tensor;
  /** As large: of the summed loss. */
  gradients: Tensor;
  /** `[2]` from {@link judgeStep}: the gradients are multiplied by its factor, and 0 skips the update. */
  outcome: Tensor;
  /** `[blocks, 2]`: what the learning rate and the weight decay of 64 elements each are multiplied by. */
  rates: Tensor;
  /** Which of these blocks is that of the first element; 0 unless given. */
  firstBlock?: number;
}

/** Rates of so many elements that are all alike. */
export function equalRates(device: Device, elements: number): Tensor {
  return fill(empty(device, [Math.ceil(elements / RATE_BLOCK), 2]), 1);
}

/** Runs an optimiser's kernel over all elements. */
export function runUpdate(
  shader: WgslModule,
  { parameters, gradients, outcome, rates, firstBlock = 0 }: UpdateTensors,
  state: Readonly<Record<string, Tensor>>,
  params: Readonly<Record<string, number>>,
  constants: Specialization = {},
): void {
  const { device, size } = parameters;
  for (const tensor of [gradients, ...Object.values(state)]) {
    if (tensor.size !== size) fail(shader.name, `${size} parameters, but a tensor of ${tensor.size}`);
  }
  checkRates(shader.name, rates, firstBlock * RATE_BLOCK + size);
  runElements(device, shader, "forward", {
    bind: { p: parameters, gradient: gradients, ...state },
    whole: { outcome, rates },
    changing: true, // the rate, and corrections
    params: ({ count, width }, start) => ({
      ...{ count, first_block: firstBlock + start / RATE_BLOCK, block_shift: Math.log2(RATE_BLOCK / width) },
      ...params,
    }),
    constants,
  });
}

/** @throws LoraError where an element has no rates */
export function checkRates(where: string, rates: Tensor, elements: number): void {
  const wanted = 2 * Math.ceil(elements / RATE_BLOCK);
  if (rates.size < wanted) fail(where, `rates of ${rates.size} numbers, wanted ${wanted}`);
}
