import { join } from "node:path";
import {
  DTYPE_BYTES,
  readHeader,
  type SafetensorsDtype,
  type SafetensorsHeader,
  type TensorInfo,
} from "../../../src/io/formats/safetensors.ts";
import { type TensorEntry, writeSafetensors } from "../../../src/io/formats/safetensors-writer.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import type { Random } from "../../../src/util/random.ts";
import { bytesAt, FIXTURES } from "../corpus.ts";
import { type JsonTree, textOf, treeOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf, mutateBytes } from "../mutate-text.ts";
import { ensure, folderOf, type InputFiles, type Target } from "../target.ts";

const DTYPES = Object.keys(DTYPE_BYTES) as SafetensorsDtype[];
const NAMES = ["w", "a.b", "model.layers.0.mlp.weight", "", "0", "é", "__proto__", "toString", "\u{1f600}"];
const LENGTH_BYTES = 8;
const NAME = "model.safetensors";

let written: readonly Uint8Array[] | undefined;

/** Files that Python wrote: an adapter, and one of every type and of names that are easy to get wrong. */
function pythons(): readonly Uint8Array[] {
  const names = ["adapter", "dtypes"];
  written ??= names.map((name) => bytesAt(join(FIXTURES, "safetensors", `${name}.safetensors`)));
  return written;
}

/** A small valid file: up to four tensors, of which some are scalars and some are empty; now and then a longer one. */
export function validFile(random: Random): Uint8Array {
  if (random.integer(16) === 0) return random.pick(pythons());
  const names = random.shuffle([...NAMES]).slice(0, random.integer(5));
  const tensors = names.map((name): TensorEntry => {
    const dtype = random.pick(DTYPES);
    const shape = Array.from({ length: random.integer(4) }, () => random.integer(4));
    const count = shape.reduce((product, size) => product * size, 1);
    const data = Uint8Array.from({ length: count * DTYPE_BYTES[dtype] }, () => random.integer(256));
    return { name, dtype, shape, data };
  });
  return writeSafetensors(
    tensors,
    random.pick<Record<string, string> | undefined>([
      undefined,
      {},
      { format: "pt" },
      { format: "pt", "": "é" },
    ]),
  );
}

/** A file in parts: the header's JSON and the data. */
interface Parts {
  readonly header: JsonTree;
  readonly data: Uint8Array;
}

function partsOf(file: Uint8Array): Parts {
  const length = Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const end = LENGTH_BYTES + length;
  return {
    header: treeOf(JSON.parse(new TextDecoder().decode(file.subarray(LENGTH_BYTES, end)))),
    data: file.subarray(end),
  };
}

/** A file with changes in its header, its data or its length field. */
export function mutateSafetensors(file: Uint8Array, random: Random, donor = validFile(random)): Uint8Array {
  if (random.integer(10) === 0) return mutateBytes(file, random);
  const { header, data } = partsOf(file);
  const changed = random.integer(8) === 0 ? header : mutateJson(header, random, [partsOf(donor).header]);
  const blanks = random.pick(["", "", " ", "   ", "\n", "\t ", "\0"]);
  const text = bytesOf(
    random.integer(16) === 0 ? blanks + textOf(changed) : textOf(changed) + blanks,
    random,
  );
  const rest = random.pick([data, data, data, data, data.subarray(1), concatBytes([data, Uint8Array.of(0)])]);
  return concatBytes([lengthField(text.length, random), text, rest]);
}

function lengthField(length: number, random: Random): Uint8Array {
  const wrong = [length + 1, length - 1, 0, 2 ** 32 + length, 100_000_001].map((value) =>
    BigInt(Math.max(0, value)),
  );
  const value =
    random.integer(12) === 0 ? random.pick([...wrong, 2n ** 64n - 1n, 2n ** 63n]) : BigInt(length);
  const field = new Uint8Array(LENGTH_BYTES);
  new DataView(field.buffer).setBigUint64(0, value, true);
  return field;
}

/** Weights: what is accepted tiles the file, and comes back equal when it is written again. */
export const safetensors: Target = {
  make: (random) => new Map([[NAME, mutateSafetensors(validFile(random), random)]]),
  async read(input) {
    const header = await readHeader(folderOf(input), NAME);
    const file = input.get(NAME) as Uint8Array;
    checkLayout(header, file.length);
    const entries = entriesOf(header, file);
    const written = writeSafetensors(entries, header.metadata);
    const again = await readHeader(folderOf(new Map([[NAME, written]])), NAME);
    const digest = (list: readonly TensorEntry[]) => list.map(contentOf).sort().join("\n");
    ensure(digest(entries) === digest(entriesOf(again, written)), () => "written again it reads otherwise");
    ensure(
      contentOf(header.metadata) === contentOf(again.metadata),
      () => "its metadata read otherwise when written",
    );
  },
};

/** The tensors cover the data in order, each as long as its shape and type say. */
export function checkLayout({ tensors, dataStart }: SafetensorsHeader, size: number): void {
  let covered = dataStart;
  for (const { name, dtype, shape, begin, end } of [...tensors.values()].sort(inOrder)) {
    ensure(begin === covered, () => `${name} begins at ${begin}, and ${covered} bytes are covered before it`);
    const bytes = shape.reduce((product, size) => product * BigInt(size), BigInt(DTYPE_BYTES[dtype]));
    ensure(
      BigInt(end - begin) === bytes,
      () => `${name} has ${end - begin} bytes, and its shape says ${bytes}`,
    );
    ensure(name.isWellFormed(), () => `${JSON.stringify(name)} is no Unicode text`);
    covered = end;
  }
  ensure(covered === size, () => `${size - covered} bytes are no tensor's`);
}

function inOrder(a: TensorInfo, b: TensorInfo): number {
  return a.begin - b.begin || a.end - b.end;
}

function entriesOf({ tensors }: SafetensorsHeader, file: Uint8Array): TensorEntry[] {
  return [...tensors.values()].map((info) => ({ ...info, data: file.subarray(info.begin, info.end) }));
}

function contentOf(value: object): string {
  const { begin: _, end: __, ...rest } = value as Partial<TensorInfo>;
  return JSON.stringify(rest, (_, inner) => (inner instanceof Uint8Array ? Array.from(inner) : inner));
}

/** The one file of an input. */
export function fileOf(input: InputFiles): Uint8Array {
  return input.get(NAME) as Uint8Array;
}
