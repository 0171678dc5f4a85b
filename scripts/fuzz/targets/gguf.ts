import { join } from "node:path";
import { BLOCK_FORMATS, type BlockType, tensorBytes } from "../../../src/io/formats/gguf/block-formats.ts";
import { type GgufHeader, readGgufHeader } from "../../../src/io/formats/gguf/header.ts";
import { readGgufTensor } from "../../../src/io/formats/gguf/tensors.ts";
import { type GgufValue, gguf as value } from "../../../src/io/formats/gguf/values.ts";
import { type GgufTensorSpec, ggufBytes } from "../../../src/io/formats/gguf/writer.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import type { Random } from "../../../src/util/random.ts";
import { bytesAt, FIXTURES } from "../corpus.ts";
import { mutateBytes } from "../mutate-text.ts";
import { ensure, folderOf, type Target } from "../target.ts";

const NAME = "adapter.gguf";
const TYPES = Object.keys(BLOCK_FORMATS) as BlockType[];
const NAMES = ["blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b", "w", "", "é", "__proto__"];

let written: Uint8Array | undefined;

/** A small valid file, or the one that llama.cpp's own package wrote. */
function validFile(random: Random): Uint8Array {
  written ??= bytesAt(join(FIXTURES, "gguf", "values.gguf"));
  if (random.integer(4) === 0) return written;
  const names = random.shuffle([...NAMES]).slice(0, random.integer(4));
  const tensors = names.map((name) => {
    const type = random.pick(TYPES);
    const shape = [
      ...Array.from({ length: random.integer(3) }, () => random.integer(4)),
      BLOCK_FORMATS[type].elements,
    ];
    const data = Uint8Array.from({ length: tensorBytes(type, shape) ?? 0 }, () => random.integer(256));
    return { name, type, shape, data };
  });
  const entries: [string, GgufValue][] = [
    ["general.architecture", value.string(random.pick(["llama", "phi3", "\u{1f600}"]))],
    ["general.type", value.string("adapter")],
    ["adapter.lora.alpha", value.f32(random.integer(9) - 1)],
    ["tokenizer.ggml.tokens", value.strings(NAMES)],
    ["tokenizer.ggml.scores", value.f32s([0, -1])],
  ];
  return ggufBytes(new Map(random.shuffle(entries).slice(0, random.integer(6))), tensors);
}

/** A file with some of its numbers, which count what follows, replaced by ones that are easy to get wrong. */
function mutate(file: Uint8Array, random: Random): Uint8Array {
  if (random.integer(4) === 0) return file;
  if (random.integer(3) === 0) return mutateBytes(file, random);
  const changed = file.slice();
  const view = new DataView(changed.buffer);
  const numbers = [
    0n,
    1n,
    2n,
    5n,
    8n,
    9n,
    13n,
    31n,
    33n,
    255n,
    2n ** 31n,
    2n ** 32n,
    2n ** 53n,
    2n ** 63n,
    2n ** 64n - 1n,
  ];
  for (let left = 1 + random.integer(3); left > 0; left--) {
    const at = random.integer(Math.max(1, Math.min(changed.length - 8, 600)));
    const number = random.pick(numbers);
    if (random.integer(2) === 0) view.setBigUint64(at, number, true);
    else view.setUint32(at, Number(number & 0xffffffffn), true);
  }
  return random.integer(8) === 0 ? concatBytes([changed, new Uint8Array(random.integer(70))]) : changed;
}

/** GGUF files: what is accepted lies in order within the file, and comes back equal when it is written again. */
export const gguf: Target = {
  make: (random) => new Map([[NAME, mutate(validFile(random), random)]]),
  async read(input) {
    const files = folderOf(input);
    const header = await readGgufHeader(files, NAME);
    const file = input.get(NAME) as Uint8Array;
    let before = 0;
    for (const { name, begin, end } of header.tensors.values()) {
      ensure(
        begin >= before && end <= file.length,
        () => `${name} lies at [${begin}, ${end}), beyond ${before}`,
      );
      before = end;
    }
    if (header.metadata.has("general.alignment")) return; // ours is always the same
    const again = await readGgufHeader(folderOf(new Map([[NAME, rewritten(header, file)]])), NAME);
    const digest = ({ metadata, tensors }: GgufHeader) => [...metadata, ...[...tensors.values()].map(specOf)];
    ensure(shown(digest(header)) === shown(digest(again)), () => "written again it reads otherwise");
    for (const tensor of header.tensors.values()) await readGgufTensor(files, NAME, tensor);
  },
};

function rewritten({ metadata, tensors }: GgufHeader, file: Uint8Array): Uint8Array {
  return ggufBytes(
    metadata,
    [...tensors.values()].map((tensor) => ({
      ...specOf(tensor),
      data: file.subarray(tensor.begin, tensor.end),
    })),
  );
}

function specOf({ name, type, shape }: GgufTensorSpec): GgufTensorSpec {
  return { name, type, shape };
}

function shown(content: unknown): string {
  return JSON.stringify(content, (_, item) => {
    if (typeof item === "bigint") return `${item}n`;
    return typeof item === "number" && !Number.isFinite(item) ? String(item) : item;
  });
}
