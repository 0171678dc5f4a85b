import shader from "../../shaders/quantise.wgsl";
import { empty, fromArray, type Tensor } from "../gpu/tensor.ts";
import { leastCommonMultiple } from "../util/divisors.ts";
import { fail } from "../util/fail.ts";
import { FORMATS, isWeightFormat } from "./formats.ts";
import { foldGrid } from "./grid.ts";
import { nestScales } from "./nested-scales.ts";
import type { QuantisedWeight } from "./weight.ts";
import { elementWindows } from "./windows.ts";

const WG = 64;

/** Values of all runs but the last, when a weight is quantised, are a multiple of this. */
export function quantisingUnit({ format, block }: QuantisedWeight): number {
  return leastCommonMultiple(4 * block, 2048 / FORMATS[format].bits);
}

/**
 * Fills a quantised weight from its values, a run of them at a time. int8 and fp8 scale a block's largest magnitude to
 * the largest code; int4 to 7.5, or the block's range to the codes 0 … 15 with a zero point; nf4 and fp4 as bitsandbytes
 * does, bit for bit; mxfp4 as OCP Microscaling Formats 1.0 says in 6.3.
 */
export class Quantiser {
  /** See {@link quantisingUnit}. */
  readonly unit: number;
  readonly #weight: QuantisedWeight;
  /** Scales as f32, which are quantised themselves in the end. */
  #largest: Tensor | undefined;

  /** @param weight its parts are overwritten; of f32 scales or, for mxfp4, E8M0, or nested ones */
  constructor(weight: QuantisedWeight) {
    const { format, block, device, scaleFormat, zeroFormat } = weight;
    const scaled = format === "mxfp4" ? "e8m0" : "f32";
    const isPointed = zeroFormat === "points" && format === "int4";
    if ((scaleFormat !== scaled && scaleFormat !== "nested") || (zeroFormat !== "none" && !isPointed))
      fail("quantise", `no ${format} is made with scales in ${scaleFormat} and zeros as ${zeroFormat}`);
    this.#weight = weight;
    this.unit = quantisingUnit(weight);
    const isNested = scaleFormat === "nested";
    const blocks = Math.ceil((weight.rows * weight.columns) / block);
    this.#largest = isNested ? device.memory.persistent(() => empty(device, [blocks], "u32")) : undefined;
  }

  /**
   * @param values f32, bf16 or f16
   * @param first number of the first of them in the weight, a multiple of {@link unit}
   */
  add(values: Tensor, first: number): void {
    const { words, scales, zeros, decoding, format, block, device } = this.#weight;
    if (first % this.unit !== 0)
      fail("quantise", `values begin at ${first}, which ${this.unit} does not divide`);
    if (!isWeightFormat(values.format) || FORMATS[values.format].bits < 16)
      fail("quantise", `values are ${values.format}`);
    const { bits } = FORMATS[format];
    const own = words.slice((first * bits) / 32, Math.ceil(((first + values.size) * bits) / 32));
    const into = this.#largest ?? scales;
    const { FORMAT, ZEROS = 0, BLOCK = block } = decoding.constants;
    device.run(shader, "forward", {
      bind: { x: values, words: own, scales: into, zeros: zeros ?? this.#spare(into) },
      params: { count: values.size, first_block: first / block },
      constants: { FORMAT: FORMAT as number, ZEROS, BLOCK, SOURCE: FORMATS[values.format].code, WG },
      grid: foldGrid(Math.ceil(values.size / (4 * block * WG))),
    });
  }

  /** All values of the weight at once, in windows where they are more than a binding may have. */
  addAll(values: Tensor): void {
    const { size, device } = values;
    const flat = values.reshape([size]);
    const whole = Math.ceil(size / this.unit) * this.unit;
    for (const { start, end } of elementWindows(device, whole, this.unit))
      this.add(flat.slice(start, Math.min(end, size)), start);
  }

  /** Waits, where scales are quantised themselves. The weight is complete then. */
  async finish(): Promise<void> {
    const { scales, zeros } = this.#weight;
    if (!this.#largest || !zeros) return;
    try {
      const { buffer } = await this.#largest.readBytes();
      const { codes, head } = nestScales(new Float32Array(buffer));
      scales.write(codes);
      zeros.write(head);
    } finally {
      this.release();
    }
  }

  /** Frees what it needs until it is finished. */
  release(): void {
    if (this.#largest) this.#weight.device.memory.release(this.#largest.storage);
    this.#largest = undefined;
  }

  /** Something to bind where there are no zero points: a binding that is written must be a buffer of its own. */
  #spare({ device }: Tensor): Tensor {
    return fromArray(device, Uint32Array.of(0), [1]);
  }
}
