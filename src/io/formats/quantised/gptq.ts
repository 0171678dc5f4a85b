import { uint32View } from "../../../util/bytes.ts";
import { fail } from "../../../util/fail.ts";
import { shown } from "../../../util/shown.ts";
import type { CheckpointTensor } from "../checkpoint.ts";
import { packedIntegers } from "./integers.ts";
import type { QuantisationMethod, StoredMatrix } from "./method.ts";
import { made, type Part } from "./parts.ts";
import { readTurned, type Size, turnedScales } from "./scale-grid.ts";
import type { StoredLayer } from "./stored-layer.ts";
import { isSorted, readGroups, unpacked } from "./unordered.ts";

/** What GPTQ's settings say of all layers. */
interface GptqSettings {
  /** Columns may be in groups by what activations they got: `desc_act`. */
  readonly isOrdered: boolean;
  /** Every zero point is the middle of the codes: `sym`. */
  readonly isSymmetric: boolean;
  /** Zero points are stored less 1, as all did before the format `gptq_v2` (`convert_gptq_v1_to_v2_format` of GPTQModel). */
  readonly isLess: boolean;
}

/**
 * GPTQ as AutoGPTQ and GPTQModel save it (`nn_modules/qlinear` of GPTQModel): codes `[in · bits / 32, out]`, eight or four
 * neighbours of a column in an I32, the first in the low bits; zero points `[groups, out · bits / 32]`.
 */
export const gptq: QuantisationMethod = {
  names: ["gptq"],
  parts: ["qweight", "qzeros", "scales", "g_idx"],
  open(settings, refuse) {
    const { bits, sym, desc_act, checkpoint_format, is_marlin_format } = settings;
    const format = settings.format ?? checkpoint_format ?? "gptq";
    if (bits !== 4 && bits !== 8) refuse(`bits is ${shown(bits)}; read are 4 and 8`);
    if (is_marlin_format || (format !== "gptq" && format !== "gptq_v2"))
      refuse(`format is ${shown(is_marlin_format ? "marlin" : format)}; read are "gptq" and "gptq_v2"`);
    const own = { isOrdered: desc_act === true, isSymmetric: sym === true, isLess: format !== "gptq_v2" };
    return (layer) => readLayer(layer, own);
  },
};

async function readLayer(
  layer: StoredLayer,
  { isOrdered, isSymmetric, isLess }: GptqSettings,
): Promise<StoredMatrix | undefined> {
  const codes = layer.need("qweight", { dtypes: ["I32"], shape: [0, 0] });
  const zeros = layer.need("qzeros", { dtypes: ["I32"], shape: [0, 0] });
  if (!codes || !zeros) return undefined;
  const [height = 0, rows = 0] = codes.shape;
  const bits = ([4, 8] as const).find((bits) => zeros.shape[1] === (rows * bits) / 32);
  if (bits === undefined)
    return layer.refuse(
      `${zeros.name} is [${zeros.shape.join(", ")}], which is no zero points in 4 or 8 bits for ${rows} rows`,
    );
  const size = [rows, (height * 32) / bits] as const;
  const scales = turnedScales(layer, "scales", size);
  const groups = layer.part("g_idx");
  if (groups && !layer.need("g_idx", { dtypes: ["I32", "I64"], shape: [size[1]] })) return undefined;
  if (!scales || !layer.need("qzeros", { dtypes: ["I32"], shape: [size[1] / scales.block, 0] }))
    return undefined;
  const { block } = scales;
  const readOrder = () => groups && readGroups(layer, groups, size[1] / block);
  const order = isOrdered ? await readOrder() : undefined;
  const points = async () => zeroPoints(await layer.read(zeros), { size, bits, block, isLess });
  const words = codesOf(layer, codes, bits);
  if (order && !isSorted(order, block))
    return {
      ...{ codes, shape: size },
      packed: unpacked({ bits, size, words, scales, zeros: points, groups: order }),
    };
  const packed = packedIntegers({
    ...{ bits, columns: size[1], scales },
    zeros: isSymmetric ? undefined : points,
    words: checked(words, async () => {
      const order = await readOrder();
      if (order && !isSorted(order, block)) fail(`${layer.path}.g_idx`, UNTOLD, TELL);
      if (isSymmetric) checkMiddle(zeros.name, await points(), bits);
    }),
  });
  return { codes, shape: size, packed };
}

const UNTOLD = 'has groups of columns that lie apart, and the settings say "desc_act": false';
const TELL = 'write "desc_act": true into quantization_config';

/** A part that is looked at before its first bytes are. */
function checked(part: Part, check: () => Promise<void>): Part {
  return async (start, end) => {
    if (start === 0) await check();
    return part(start, end);
  };
}

/** Eight or four neighbours of a row in each word: the same words as in the file, row after row. */
function codesOf(layer: StoredLayer, codes: CheckpointTensor, bits: 4 | 8): Part {
  return made(async () => {
    const words = await readTurned(layer, codes);
    return bits === 4 ? words : words.map((word) => word ^ 0x80808080); // 128 less: codes with a sign
  });
}

/** The codes that stand for 0, of each group of each row. */
function zeroPoints(
  bytes: Uint8Array,
  { size: [rows, columns], bits, block, isLess }: { size: Size; bits: 4 | 8; block: number; isLess: boolean },
): Int16Array {
  const words = uint32View(bytes);
  const one = isLess ? (bits === 4 ? 0x11111111 : 0x01010101) : 0; // word by word, as it was taken off
  const [perWord, groups] = [32 / bits, columns / block];
  const half = bits === 4 ? 0 : 128;
  return Int16Array.from({ length: rows * groups }, (_, cell) => {
    const [row, group] = [Math.floor(cell / groups), cell % groups];
    const word = ((words[(group * rows + row - (row % perWord)) / perWord] as number) + one) >>> 0;
    return ((word >>> (bits * (row % perWord))) & (2 ** bits - 1)) - half;
  });
}

function checkMiddle(name: string, points: Int16Array, bits: 4 | 8): void {
  const middle = bits === 4 ? 8 : 0;
  if (points.every((point) => point === middle)) return;
  fail(name, "has zero points beside the middle of the codes", 'write "sym": false into quantization_config');
}
