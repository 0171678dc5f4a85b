import { uint32View } from "../../../util/bytes.ts";
import { shown } from "../../../util/shown.ts";
import { packedIntegers } from "./integers.ts";
import type { QuantisationMethod, StoredMatrix } from "./method.ts";
import { made } from "./parts.ts";
import { turnedScales } from "./scale-grid.ts";
import type { StoredLayer } from "./stored-layer.ts";

/** Which of a word's eight codes, from the low bits on, each of eight neighbours is (`AWQ_REVERSE_ORDER` of AutoAWQ). */
const PLACES = [0, 4, 1, 5, 2, 6, 3, 7];

/**
 * AWQ in the order of its `gemm` kernel (`awq/utils/packing_utils.py` of AutoAWQ): codes `[in, out / 8]`, eight neighbours of
 * a row in an I32; zero points `[groups, out / 8]` likewise.
 */
export const awq: QuantisationMethod = {
  names: ["awq"],
  parts: ["qweight", "qzeros", "scales"],
  open({ bits, w_bit = bits, version = "gemm", format = version }, refuse) {
    if (w_bit !== 4) refuse(`bits is ${shown(w_bit)}; read are 4`);
    if (String(format).toLowerCase() !== "gemm") refuse(`version is ${shown(format)}; read is "gemm"`);
    return readLayer;
  },
};

function readLayer(layer: StoredLayer): StoredMatrix | undefined {
  const codes = layer.need("qweight", { dtypes: ["I32"], shape: [0, 0] });
  if (!codes) return undefined;
  const [columns = 0, words = 0] = codes.shape;
  const rows = 8 * words;
  const scales = turnedScales(layer, "scales", [rows, columns]);
  if (!scales) return undefined;
  const groups = columns / scales.block;
  const zeros = layer.need("qzeros", { dtypes: ["I32"], shape: [groups, words] });
  if (!zeros) return undefined;
  const points = async () => pointsOf(uint32View(await layer.read(zeros)), groups, rows);
  const packed = packedIntegers({
    ...{ bits: 4, columns, scales, zeros: points },
    words: made(async () => turnedCodes(uint32View(await layer.read(codes)), columns, rows)),
  });
  return { codes, shape: [rows, columns], packed };
}

/** The code of a row out of the word that holds it and its seven neighbours. */
const codeOf = (word: number, row: number) => (word >>> (4 * (PLACES[row % 8] as number))) & 15;

/** Codes `[columns, rows / 8]` as `[rows, columns]`, two in a byte, the first in the low half. */
function turnedCodes(words: Uint32Array, columns: number, rows: number): Uint8Array {
  const bytes = new Uint8Array((rows * columns) / 2);
  const across = rows / 8;
  // Word by word, so that what is written lies one after another.
  for (let first = 0; first < rows; first += 8)
    for (let column = 0; column < columns; column += 2) {
      const at = column * across + first / 8;
      const [one, next] = [words[at] as number, words[at + across] as number];
      for (let row = first; row < first + 8; row++)
        bytes[(row * columns + column) / 2] = codeOf(one, row) | (codeOf(next, row) << 4);
    }
  return bytes;
}

/** The zero point of each group of each row. */
function pointsOf(words: Uint32Array, groups: number, rows: number): Uint8Array {
  return Uint8Array.from({ length: rows * groups }, (_, cell) => {
    const [row, group] = [Math.floor(cell / groups), cell % groups];
    return codeOf(words[group * (rows / 8) + Math.floor(row / 8)] as number, row);
  });
}
