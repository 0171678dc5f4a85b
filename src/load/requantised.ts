import { readAndRelease } from "../gpu/tensor.ts";
import { fourBitWriter } from "../io/formats/quantised/bitsandbytes-writer.ts";
import { compressedTensorsWriter } from "../io/formats/quantised/compressed-tensors-writer.ts";
import type { MatrixParts, WrittenMatrix } from "../io/formats/quantised/matrix-writer.ts";
import type { TensorSpec } from "../io/formats/safetensors-writer.ts";
import { type Decoding, decodingOf } from "../kernels/formats.ts";
import { requantised } from "../kernels/requantise.ts";
import { partsOf, QuantisedWeight } from "../kernels/weight.ts";
import { isLinear } from "../nn/linear.ts";
import { isLeaf, type Module, modules } from "../nn/module.ts";
import { fail, failAll } from "../util/fail.ts";
import { groupLines } from "../util/group-lines.ts";
import type { Change } from "./merge-changes.ts";
import { checkRange } from "./merged-values.ts";

/** A tensor of the result, computed when its turn comes. */
export interface MadeTensor {
  readonly spec: TensorSpec;
  bytes(): Promise<Uint8Array>;
}

/** How a merged model's quantised matrices are written. */
export interface Requantisation {
  /** `quantization_config` of config.json. */
  config(dtype: string, fileName: (own: string) => string): Record<string, unknown>;
  /** The tensors of a matrix by its own name; undefined for what is not quantised. */
  tensorsOf(own: string, spec: TensorSpec, change: Change | undefined): MadeTensor[] | undefined;
}

/**
 * Writes the matrices of a quantised model in its own format again: those that an adapter changes are quantised anew, the
 * others stay as they are. PEFT's `Linear4bit.merge` (bnb.py) does the same.
 * @throws LoraError where nothing is quantised, or not as one of the libraries whose files are written stores it
 */
export function requantisation(root: Module): Requantisation {
  const matrices = new Map<string, QuantisedWeight>();
  const misplaced: string[] = [];
  const leaves = [...modules(root)].filter(isLeaf).filter((leaf) => !(isLinear(leaf) && leaf.tiedTo));
  for (const leaf of leaves) {
    for (const [name, weight] of Object.entries(leaf.tensors)) {
      if (!(weight instanceof QuantisedWeight)) continue;
      const own = `${leaf.path}.${name}`;
      matrices.set(own, weight);
      if (!isLinear(leaf)) misplaced.push(`${own} is no linear layer's`);
      else if (leaf.fanInFanOut) misplaced.push(`${own} lies the other way round in the file (Conv1D)`);
    }
  }
  const [first] = matrices.values();
  if (!first) return fail("merge", "requantize is given, and the base is not quantised", "leave it out");
  const { format } = first;
  const writer = format === "nf4" || format === "fp4" ? fourBitWriter : compressedTensorsWriter;
  const unwritable = [...matrices].flatMap(([own, weight]) => {
    const problem = writer.problem(weight);
    return problem === undefined ? [] : [`${own} ${problem}`];
  });
  if (writer === fourBitWriter && new Set([...matrices.values()].map(({ decoding }) => decoding)).size > 1)
    unwritable.push("its matrices are quantised in several ways");
  failAll("merge", groupLines([...misplaced, ...unwritable]), OTHERWISE);
  const layers = [...modules(root)].filter(isLinear).map(({ path }) => path);
  const skipped = layers.filter((path) => !matrices.has(`${path}.weight`));
  const last: { own?: string; parts?: Promise<MatrixParts> } = {};
  return {
    config(dtype, fileName) {
      const moduleOf = (own: string) => fileName(own).replace(/\.weight$/, "");
      const named = new Map([...matrices].map(([own, weight]) => [moduleOf(own), weight]));
      return writer.config(
        named,
        dtype,
        skipped.map((path) => moduleOf(`${path}.weight`)),
      );
    },
    tensorsOf(own, spec, change) {
      const weight = matrices.get(own);
      if (!weight) return undefined;
      const { shape } = weight;
      const decoding = change ? quantisable(weight.decoding) : weight.decoding;
      // A file has its f32 tensors first: a matrix is made for these, and again for its codes, instead of kept.
      const parts = () => {
        if (last.own !== own) Object.assign(last, { own, parts: partsAfter(weight, decoding, spec, change) });
        return last.parts as Promise<MatrixParts>;
      };
      const matrix: WrittenMatrix = { decoding, shape };
      return writer.tensors(spec.name, matrix, spec.dtype).map(({ spec, bytesOf }) => ({
        spec,
        bytes: async () => bytesOf(await parts()),
      }));
    },
  };
}

const OTHERWISE = [
  "what is written again is nf4 and fp4, as bitsandbytes has them, and int8, int4, fp8_e4m3 and mxfp4 in linear layers, as compressed-tensors has them",
  "give dequantize (--dequantize) to write 16 bits instead",
];

/** The format with scales in f32, as they are when values are quantised here; those of other kinds stay. */
function quantisable(decoding: Decoding): Decoding {
  const { format, block, scales, zeros } = decoding;
  return scales === "bf16" || scales === "f16" ? decodingOf(format, { block, zeros }) : decoding;
}

/** A matrix's parts, with an adapter's change where there is one. */
async function partsAfter(
  weight: QuantisedWeight,
  decoding: Decoding,
  spec: TensorSpec,
  change: Change | undefined,
): Promise<MatrixParts> {
  if (!change) return readParts(weight);
  const values = await change.values();
  checkRange(values, { ...spec, dtype: "F32" });
  const changed = await requantised(weight, values, decoding);
  try {
    return await readParts(changed);
  } finally {
    for (const { storage } of partsOf(changed)) weight.device.memory.release(storage);
  }
}

async function readParts(weight: QuantisedWeight): Promise<MatrixParts> {
  const [words, scales, zeros] = await readAndRelease(weight.device, () => partsOf(weight));
  const bytes = (buffer: ArrayBuffer | undefined) => new Uint8Array(buffer ?? []);
  return { words: bytes(words), scales: bytes(scales), zeros: zeros && bytes(zeros) };
}
