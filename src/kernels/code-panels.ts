import type { Texels } from "../gpu/texels.ts";
import type { Specialization } from "../gpu/wgsl.ts";
import { RASTERISER_SHADERS } from "./late-shaders.ts";
import { firstValue, QuantisedWeight, scaleBindings, type Weight } from "./weight.ts";

/** Panels that lie side by side, texel by texel. */
export const GROUP = 8;

/** How weights of few bits lie in a texture: the constants that shaders/code-panels.wgsl and shaders/matvec-codes.wgsl share. */
export interface CodeLayout {
  /** A small number, another for each. */
  readonly id: number;
  /** 16: bf16, which has all values of fp8. 8 and 4: whole numbers. 6: small floats. 5: four bits that a table has values of. */
  readonly CODES: 16 | 8 | 6 | 5 | 4;
  /** Runs have offsets beside their scales. */
  readonly OFFSETS: boolean;
  /** What is taken from whole numbers that have no offsets. */
  readonly CENTER: number;
  /** Values that share a scale, of a block as much as divides a row. */
  readonly unit: number;
  /** Texels of codes of such a run. */
  readonly run: number;
  /** Texels of a row. */
  readonly length: number;
}

/** Codes of a texel. */
const STEPS = { 16: 8, 8: 16, 6: 16, 5: 32, 4: 32 } as const;

/** By format, unit and columns. */
const LAYOUTS = new Map<number, CodeLayout | undefined>();

/**
 * The same object for the same layout: such weights can lie in one texture.
 * @returns undefined for weights of 16 bits or more, and where rows are no whole texels
 */
export function codeLayout(weight: Weight): CodeLayout | undefined {
  if (!(weight instanceof QuantisedWeight)) return undefined;
  const { columns, block, decoding } = weight;
  const unit = divisor(divisor(block, columns), weight.first);
  const key = decoding.id + 4096 * (unit + 2 ** 20 * columns);
  if (!LAYOUTS.has(key)) LAYOUTS.set(key, newLayout(weight, unit));
  return LAYOUTS.get(key);
}

function newLayout(weight: QuantisedWeight, unit: number): CodeLayout | undefined {
  const { format, columns, zeroFormat } = weight;
  const OFFSETS = zeroFormat !== "none";
  const bits = bitsOf(format, unit);
  const step = STEPS[bits];
  if (unit % step !== 0) return undefined;
  const length = columns / step + Math.ceil(columns / unit / (OFFSETS ? 2 : 4));
  const CENTER = centerOf(format, OFFSETS);
  return { id: LAYOUTS.size, CODES: bits, OFFSETS, CENTER, unit, run: unit / step, length };
}

/** Those of shaders/matvec-codes.wgsl. */
export function codeConstants({ CODES, OFFSETS, CENTER, run }: CodeLayout): Specialization {
  return { CODES, OFFSETS, CENTER, RUN: run };
}

/** Whole numbers, even of eight bits, and small floats are faster than bf16, and bf16 than a table, whatever the texels that are read. */
function bitsOf(format: QuantisedWeight["format"], unit: number): CodeLayout["CODES"] {
  if (format === "fp8_e4m3" || format === "fp8_e5m2") return 16;
  if (format === "fp4" || format === "mxfp4") return 6;
  if (format === "nf4") return 5;
  return format === "int4" && unit % 32 === 0 ? 4 : 8;
}

function centerOf(format: QuantisedWeight["format"], hasOffsets: boolean): number {
  if (format === "int8") return 128;
  return format === "int4" && !hasOffsets ? 8 : 0;
}

/** The greatest common one. */
const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));

/** Where the panels of a weight go. */
export interface Place {
  readonly first: number;
  readonly step: number;
  /** Texels before the table. */
  readonly table: number;
}

/** Writes the panels of a weight, and the table. */
export function fillCodes(weight: Weight, layout: CodeLayout, panels: Texels, place: Place): void {
  const { device, words, rows, columns } = weight;
  const { CODES, OFFSETS, CENTER, unit, length } = layout;
  const { workgroupSize: WG, workgroups } = device.profile;
  const SG = device.info.subgroupSize;
  const texels = Math.ceil(rows / SG) * SG * length;
  const { constants } = (weight as QuantisedWeight).decoding;
  device.run(RASTERISER_SHADERS.loaded().codePanels, "fill", {
    bind: { w: words, ...scaleBindings(weight) },
    textures: { panels },
    params: { rows, k: columns, texels, b_first: firstValue(weight), ...place },
    constants: { ...constants, WG, SG, GROUP, CODES, UNIT: unit, OFFSETS, CENTER },
    grid: [Math.min(workgroups, Math.ceil(texels / WG))],
  });
}
