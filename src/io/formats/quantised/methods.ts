import { append } from "../../../util/arrays.ts";
import { failAll, type Problem } from "../../../util/fail.ts";
import { groupLines } from "../../../util/group-lines.ts";
import type { Checkpoint, CheckpointTensor } from "../checkpoint.ts";
import { byteLength } from "../safetensors.ts";
import { awq } from "./awq.ts";
import { bitsandbytes } from "./bitsandbytes.ts";
import { compressedTensors } from "./compressed-tensors.ts";
import { fp8 } from "./fp8.ts";
import { gptq } from "./gptq.ts";
import type { QuantisationMethod, ReadLayer } from "./method.ts";
import { mlx } from "./mlx.ts";
import { mxfp4 } from "./mxfp4.ts";
import { type QuantisationSettings, withoutQuantisation } from "./settings.ts";
import { StoredLayer } from "./stored-layer.ts";
import { unreadMethod } from "./unread.ts";

/** Every way of holding quantised weights that is read. */
const METHODS: readonly QuantisationMethod[] = [awq, bitsandbytes, compressedTensors, fp8, gptq, mlx, mxfp4];

/** Layers that are read at a time: each asks for a few short ranges of a file that may be far away. */
const AT_A_TIME = 16;

/**
 * What `readQuantised` gives of a checkpoint that is quantised as `found` says.
 * @throws LoraError listing everything that is wrong, or of kind `unsupported` where the method is not read
 */
export async function readByMethod(checkpoint: Checkpoint, found: QuantisationSettings): Promise<Checkpoint> {
  const { label, config } = checkpoint;
  const method = METHODS.find(({ names }) => names.includes(found.method));
  if (!method)
    throw unreadMethod(
      checkpoint,
      found,
      METHODS.flatMap(({ names }) => names),
    );
  const problems: Problem[] = [];
  const read = method.open(found.settings, (problem) => problems.push(`${found.field}: ${problem}`));
  failAll(`${label}/config.json`, problems, RETAKE);
  const { layers, others } = layersOf(checkpoint, method, problems);
  const matrices: CheckpointTensor[] = [];
  for (let first = 0; first < layers.length; first += AT_A_TIME)
    append(matrices, await readLayers(layers.slice(first, first + AT_A_TIME), read, method));
  failAll(label, grouped(problems), RETAKE);
  const tensors = new Map([...others, ...matrices].map((tensor) => [tensor.name, tensor]));
  const result = { ...checkpoint, config: withoutQuantisation(config), tensors };
  const unpacked = matrices.filter(({ made }) => made);
  if (unpacked.length === 0) return result;
  return {
    ...result,
    warnings: [...checkpoint.warnings, unpackedWarning(label, unpacked, matrices.length)],
    read: (tensor, start = 0, end = tensor.end - tensor.begin) =>
      tensor.made ? tensor.made(start, end) : checkpoint.read(tensor, start, end),
  };
}

function unpackedWarning(label: string, unpacked: readonly CheckpointTensor[], of: number): string {
  const dtypes = [...new Set(unpacked.map(({ dtype }) => dtype))].join(", ");
  const remedy = unpacked.length === of ? "; --quantization quantises them again, with a loss" : "";
  return `${label}: ${unpacked.length} of ${of} quantised matrices have groups of columns that lie apart (desc_act, actorder): they are held unpacked, in the number format of their scales (${dtypes}), for scales are of neighbouring columns here${remedy}`;
}

const RETAKE = "take a checkpoint as its library saves it, or the unquantised one with --quantization";

async function readLayers(
  layers: readonly StoredLayer[],
  read: ReadLayer,
  { ofTensors }: QuantisationMethod,
): Promise<CheckpointTensor[]> {
  const matrices = await Promise.all(layers.map(async (layer) => ({ layer, matrix: await read(layer) })));
  return matrices.flatMap(({ layer, matrix }): CheckpointTensor[] => {
    if (!matrix) return [];
    const { codes, shape, packed } = matrix;
    if (shape.includes(0)) layer.refuse(`${codes.name} holds no values: [${shape.join(", ")}]`);
    const own = { ...codes, name: ofTensors ? layer.path : `${layer.path}.weight`, shape };
    if (!("bytes" in packed)) return [{ ...own, packed }];
    const { dtype, bytes: made } = packed;
    return [{ ...own, dtype, made, end: codes.begin + byteLength(dtype, shape) }];
  });
}

/** The quantised layers, and the tensors that are none of theirs. */
function layersOf(
  { tensors, read }: Checkpoint,
  { parts, ofTensors: separator = "." }: QuantisationMethod,
  problems: Problem[],
): { layers: StoredLayer[]; others: CheckpointTensor[] } {
  const byPath = new Map<string, Map<string, CheckpointTensor>>();
  const others: CheckpointTensor[] = [];
  for (const tensor of tensors.values()) {
    const part = parts.find((end) => tensor.name.endsWith(separator + end));
    if (part === undefined) {
      others.push(tensor);
      continue;
    }
    const path = tensor.name.slice(0, -part.length - 1);
    const own = byPath.get(path) ?? new Map<string, CheckpointTensor>();
    byPath.set(path, own.set(part, tensor));
  }
  const layers: StoredLayer[] = [];
  for (const [path, own] of byPath) {
    if (isQuantised(own)) layers.push(new StoredLayer(path, own, { read, problems, separator }));
    else append(others, [...own.values()]);
  }
  return { layers, others };
}

/** Types of numbers that are no weights themselves. */
const CODES = new Set(["U8", "I8", "I32", "U32", "F8_E4M3", "F8_E5M2"]);

function isQuantised(parts: ReadonlyMap<string, CheckpointTensor>): boolean {
  const weight = parts.get("weight");
  return !weight || parts.size > 1 || CODES.has(weight.dtype);
}

function grouped(problems: readonly Problem[]): Problem[] {
  const lines = problems.filter((problem) => typeof problem === "string");
  return [...groupLines(lines), ...problems.filter((problem) => typeof problem !== "string")];
}
