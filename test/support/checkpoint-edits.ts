import { readFileSync } from "node:fs";
import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { openCheckpoint } from "../../src/io/formats/checkpoint.ts";
import { type TensorEntry, writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { decodeBf16, encodeBf16 } from "../../src/util/half.ts";
import { fixturePath, readJsonFile } from "./fixtures.ts";

/** A checkpoint in memory. */
export interface MadeCheckpoint {
  tensors: TensorEntry[];
  config: Record<string, unknown>;
}

export type Edit = (checkpoint: MadeCheckpoint) => MadeCheckpoint;

/** A fixture's weights and config, changed. */
export async function edited(fixture: string, edit: Edit): Promise<FileSource> {
  const folder = fixturePath(fixture);
  const { tensors, read } = await openCheckpoint(folderFiles(folder));
  const entries = [...tensors.values()].map(async ({ name, dtype, shape, ...rest }) => ({
    ...{ name, dtype, shape },
    data: (await read({ name, dtype, shape, ...rest })).slice(),
  }));
  const config = readJsonFile<Record<string, unknown>>(folder, "config.json");
  return filesOf(edit({ tensors: await Promise.all(entries), config }));
}

export function filesOf({ tensors, config }: MadeCheckpoint, label = "edited"): FileSource {
  const weights = writeSafetensors(tensors, { format: "pt" });
  const text = new TextEncoder().encode(JSON.stringify(config));
  return memoryFiles(
    label,
    new Map([
      ["config.json", text],
      ["model.safetensors", weights],
    ]),
  );
}

/** The same with the tokenizer of another folder, its tokenizer.json changed. */
export function withTokenizer(
  files: FileSource,
  folder: string,
  change: (json: Record<string, unknown>) => unknown,
): FileSource {
  const json = JSON.parse(readFileSync(`${folder}/tokenizer.json`, "utf8")) as Record<string, unknown>;
  return withFiles(files, {
    "tokenizer.json": JSON.stringify(change(json)),
    "tokenizer_config.json": readFileSync(`${folder}/tokenizer_config.json`, "utf8"),
  });
}

/** The same with some files more, or others in their place. */
export function withFiles(files: FileSource, contents: Readonly<Record<string, string>>): FileSource {
  const encoder = new TextEncoder();
  const texts = new Map(Object.entries(contents).map(([name, text]) => [name, encoder.encode(text)]));
  return {
    label: files.label,
    size: async (name) => texts.get(name)?.length ?? files.size(name),
    read: async (name, start, end) => texts.get(name)?.slice(start, end) ?? files.read(name, start, end),
  };
}

export const renamed =
  (change: (name: string) => string): Edit =>
  ({ tensors, config }) => ({ tensors: tensors.map((t) => ({ ...t, name: change(t.name) })), config });

export const prefixed = (prefix: string): Edit => renamed((name) => prefix + name);

export const stripped = (prefix: string): Edit =>
  renamed((name) => (name.startsWith(prefix) ? name.slice(prefix.length) : name));

/** A second tensor whose rows are those of the first times one factor or the other. */
export const copied =
  (source: string, copy: string, { factors = [1, 1], drop = false } = {}): Edit =>
  ({ tensors, config }) => {
    const table = tensors.find(({ name }) => name === source) as TensorEntry;
    const [rows = 1] = table.shape;
    const values = valuesOf(table);
    const width = values.length / rows;
    const made = values.map((x, i) => x * Math.fround(factors[Math.floor(i / width) % 2] ?? 1));
    const codes = table.dtype === "BF16" ? encodeBf16(made) : made;
    const rest = tensors.filter(({ name }) => !(drop && name === source));
    return { tensors: [...rest, { ...table, name: copy, data: new Uint8Array(codes.buffer) }], config };
  };

function valuesOf({ dtype, data }: TensorEntry): Float32Array {
  const { buffer } = data.slice();
  return dtype === "BF16" ? decodeBf16(new Uint16Array(buffer)) : new Float32Array(buffer);
}
