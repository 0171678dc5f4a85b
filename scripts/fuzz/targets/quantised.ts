import { readdirSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../../src/io/formats/checkpoint.ts";
import { readQuantised } from "../../../src/io/formats/quantised/read-quantised.ts";
import { parseHeader } from "../../../src/io/formats/safetensors.ts";
import { type TensorEntry, writeSafetensors } from "../../../src/io/formats/safetensors-writer.ts";
import { partSizes } from "../../../src/kernels/weight.ts";
import type { Random } from "../../../src/util/random.ts";
import { bytesAt, FIXTURES, treeAt } from "../corpus.ts";
import { type JsonTree, textOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf, mutateBytes } from "../mutate-text.ts";
import { ensure, folderOf, type InputFiles, type Target } from "../target.ts";

const FOLDER = join(FIXTURES, "quantised");
const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";

/** Types whose numbers take as many bytes: one in place of another leaves the file whole. */
const ALIKE: readonly (readonly TensorEntry["dtype"][])[] = [
  ["U8", "I8", "F8_E4M3", "F8_E5M2", "BOOL"],
  ["F16", "BF16", "I16", "U16"],
  ["F32", "I32", "U32"],
  ["I64", "F64", "U64"],
];

interface Checkpoint {
  readonly config: JsonTree;
  readonly tensors: readonly TensorEntry[];
}

const known = new Map<string, Checkpoint>();

function checkpointOf(name: string): Checkpoint {
  const found = known.get(name);
  if (found) return found;
  const bytes = bytesAt(join(FOLDER, name, WEIGHTS));
  const { tensors } = parseHeader(bytes, bytes.length, name);
  const entries = [...tensors.values()].map(({ begin, end, ...tensor }) => {
    return { ...tensor, data: bytes.slice(begin, end) };
  });
  const read = { config: treeAt(join(FOLDER, name, CONFIG)), tensors: entries };
  known.set(name, read);
  return read;
}

function mutateTensor(tensor: TensorEntry, random: Random): TensorEntry[] {
  const { name, dtype, shape, data } = tensor;
  switch (random.integer(5)) {
    case 0:
      return [];
    case 1:
      return [{ ...tensor, dtype: random.pick(ALIKE.find((types) => types.includes(dtype)) ?? [dtype]) }];
    case 2:
      return [{ ...tensor, shape: random.shuffle([...shape, ...random.pick([[], [1]])]) }];
    case 3: {
      // Other numbers of rows, of columns, none at all.
      const size = data.length / shape.reduce((count, size) => count * size, 1);
      const other = shape.map((size) => random.pick([size, size, size + 1, size / 2, 2 * size, 0, 1]) | 0);
      return [
        {
          name,
          dtype,
          shape: other,
          data: new Uint8Array(other.reduce((count, size) => count * size, size)),
        },
      ];
    }
    default:
      return [{ ...tensor, data: resized(mutateBytes(data, random), data.length) }];
  }
}

function resized(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(bytes.subarray(0, length));
  return result;
}

/** Checkpoints of quantised weights: what is accepted gives all bytes of every part of every matrix, or refuses its content. */
export const quantised: Target = {
  make(random): InputFiles {
    const names = readdirSync(FOLDER).filter((name) => name !== "adapter" && name !== "golden.json");
    const { config, tensors } = checkpointOf(random.pick(names.sort()));
    const chosen = new Set(Array.from({ length: random.integer(4) }, () => random.integer(tensors.length)));
    const broken = tensors.flatMap((tensor, i) => (chosen.has(i) ? mutateTensor(tensor, random) : [tensor]));
    const tree = random.integer(3) === 0 ? mutateJson(config, random, [config]) : config;
    return new Map([
      [CONFIG, bytesOf(textOf(tree), random)],
      [WEIGHTS, writeSafetensors(broken, { format: "pt" })],
    ]);
  },
  async read(input) {
    const { tensors } = await readQuantised(await openCheckpoint(folderOf(input)));
    for (const { name, shape, packed } of tensors.values()) {
      if (!packed) continue;
      const [rows = 0, columns = 0] = shape;
      const { format, block, scales: scaleFormat, zeros: zeroFormat } = packed.decoding;
      const want = partSizes(rows * columns, { format, block, scaleFormat, zeroFormat });
      const got = await packed.read(0, rows);
      for (const part of ["words", "scales", "zeros"] as const) {
        const [length, wanted] = [got[part]?.length ?? 0, want[part]];
        ensure(length === wanted, () => `${name} has ${length} words of ${part}, not ${wanted}`);
      }
    }
  },
};
