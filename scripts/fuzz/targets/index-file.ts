import { readJson } from "../../../src/io/files/files.ts";
import { openCheckpoint } from "../../../src/io/formats/checkpoint.ts";
import { writeSafetensors } from "../../../src/io/formats/safetensors-writer.ts";
import type { Random } from "../../../src/util/random.ts";
import { textOf, treeOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf } from "../mutate-text.ts";
import { ensure, folderOf, type Target } from "../target.ts";
import { mutateSafetensors } from "./safetensors.ts";

const INDEX = "model.safetensors.index.json";
const shardName = (i: number) => `model-0000${i}-of-00003.safetensors`;

/** Three shards of two tensors, and an index of them. */
function validFolder(random: Random): { index: object; shards: Map<string, Uint8Array> } {
  const weightMap: Record<string, string> = {};
  const shards = new Map<string, Uint8Array>();
  for (const shard of [1, 2, 3].map(shardName)) {
    const names = [`layers.${shards.size}.weight`, `layers.${shards.size}.bias`];
    for (const name of names) weightMap[name] = shard;
    const tensor = (name: string) => ({ name, dtype: "F32" as const, shape: [1], data: new Uint8Array(4) });
    shards.set(shard, writeSafetensors(names.map(tensor)));
  }
  const total = random.pick<object>([{ total_size: 24 }, { total_size: 24, total_parameters: 6 }, {}]);
  return { index: { metadata: total, weight_map: weightMap }, shards };
}

const text = new TextEncoder();

/** The index of a sharded checkpoint: each tensor that is found is in a file of the folder, and is read from there. */
export const indexFile: Target = {
  make(random) {
    const { index, shards } = validFolder(random);
    const files = new Map<string, Uint8Array>(shards);
    files.set("config.json", text.encode('{"model_type":"llama"}'));
    const broken = random.integer(8) === 0 ? random.pick([...shards.keys()]) : undefined;
    if (broken) files.set(broken, mutateSafetensors(shards.get(broken) as Uint8Array, random));
    if (random.integer(8) === 0) files.delete(random.pick([...shards.keys()]));
    return files.set(INDEX, bytesOf(textOf(mutateJson(treeOf(index), random)), random));
  },
  async read(input) {
    const { tensors, absent, read } = await openCheckpoint(folderOf(input));
    const index = (await readJson(folderOf(input), INDEX)) as { weight_map: object };
    const named = Object.entries(index.weight_map);
    for (const [name, file] of named) {
      const found = tensors.get(name);
      const missing = absent.get(name);
      ensure((found === undefined) !== (missing === undefined), () => `${name} is neither found nor absent`);
      if (missing) ensure(missing.file === file, () => `${name} is absent from ${missing.file}, not ${file}`);
    }
    for (const tensor of tensors.values()) {
      const { file, begin, end } = tensor;
      ensure(input.has(file), () => `${file} is no file of the folder`);
      ensure(
        named.some(([, listed]) => listed === file),
        () => `${file} is not in the index`,
      );
      const bytes = await read(tensor);
      ensure(
        String(bytes) === String(input.get(file)?.subarray(begin, end)),
        () => `${tensor.name} is read elsewhere`,
      );
    }
  },
};
