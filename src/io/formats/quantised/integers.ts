import { decodingOf } from "../../../kernels/formats.ts";
import type { PackedMatrix } from "../packed.ts";
import { made, type Part, packedOf } from "./parts.ts";
import type { Scales } from "./scale-grid.ts";

/** Whole numbers in 4 or 8 bits. */
export interface Integers {
  readonly bits: 4 | 8;
  readonly columns: number;
  /** Codes: in 4 bits 0 … 15, the first in the low half of a byte; in 8 bits −128 … 127. */
  readonly words: Part;
  readonly scales: Scales;
  /** Of each cell of the scales' grid, the code that stands for 0; unless given, 8 of 4 bits and 0 of 8. */
  readonly zeros?: (() => Promise<ArrayLike<number>>) | undefined;
}

/** value = (code − zero) · scale. */
export function packedIntegers({ bits, columns, words, scales, zeros }: Integers): PackedMatrix {
  const { block, format } = scales;
  const type = `int${bits}` as const;
  if (!zeros)
    return packedOf(type, decodingOf(type, { block, scales: format }), columns, {
      words,
      scales: scales.part,
    });
  if (bits === 4) {
    const points = made(async () => spread(scales, await zeros()));
    const decoding = decodingOf(type, { block, scales: format, zeros: "points" });
    return packedOf(type, decoding, columns, { words, scales: scales.part, zeros: points });
  }
  const offsets = async () => {
    const [factors, points] = await Promise.all([scales.values(), zeros()]);
    return factors.map((factor, run) => -factor * (points[scales.cellOf(run)] as number));
  };
  const decoding = decodingOf(type, { block, scales: "f32", zeros: "offsets" });
  return packedOf(type, decoding, columns, { words, scales: made(scales.values), zeros: made(offsets) });
}

/** A number for each run, of those for each cell. */
function spread({ runs, cellOf }: Scales, cells: ArrayLike<number>): Uint8Array {
  const values = new Uint8Array(runs);
  for (let run = 0; run < runs; run++) values[run] = cells[cellOf(run)] as number;
  return values;
}

/** Codes of 8 bits without a sign, 0 … 255, as they are with one: 128 less. */
export function signed(codes: Uint8Array): Uint8Array {
  return codes.map((code) => code ^ 0x80);
}
