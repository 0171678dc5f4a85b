import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { type Lora, lora } from "../../src/adapters/lora/lora.ts";
import { type FileContent, memoryFiles } from "../../src/io/files/files.ts";
import { openCheckpoint } from "../../src/io/formats/checkpoint.ts";
import { readHeader } from "../../src/io/formats/safetensors.ts";
import { type TensorEntry, writeSafetensors } from "../../src/io/formats/safetensors-writer.ts";
import { adapterFiles, LABELS_FILE, loadAdapter } from "../../src/load/adapter.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type HeadChoice, type LoadedModel, openTaskModel } from "../../src/load/model.ts";
import type { Task } from "../../src/models/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { testDevice } from "./device.ts";
import { fixturePath, readJsonFile, readTensors } from "./fixtures.ts";
import { type TaskGolden, taskCase } from "./task-fixtures.ts";

/** Files by name. */
export type Files = ReadonlyMap<string, Uint8Array>;

/** A base model with an adapter. */
export interface MergedCase {
  readonly name: string;
  /** Folder of the inputs, and of the model and the adapter unless told otherwise. */
  readonly fixture: string;
  /** Folder of the adapter; `adapter` in that of the model unless given. */
  readonly adapter?: string;
  /** What is other about the base model's tensors. */
  readonly tensors?: (stored: readonly TensorEntry[]) => readonly TensorEntry[];
  /** A head that the base model lacks; the adapter is then a new one. */
  readonly head?: HeadChoice<Task>;
}

const LABELS = ["no", "yes", 'may"be é'];
const NEW_HEAD = { task: "sequence-classification", labels: LABELS, seed: 3 } as const;

/** Every fixture that has an adapter: one at least for each family and task. */
const FIXTURES = ["families", "tasks"].flatMap((kind) =>
  readdirSync(fixturePath(kind)).map((name) => `${kind}/${name}`),
);

/** Every fixture as it is, and base models as other tools and classes leave them. */
export const MERGED_CASES: readonly MergedCase[] = [
  ...["llama-gqa", "llama-tied", ...FIXTURES].map((fixture) =>
    // The classes in transformers have a pooler, which our models do without.
    /roberta-embedding|\/bert-embedding/.test(fixture)
      ? { name: fixture, fixture, tensors: withPooler("") }
      : { name: fixture, fixture },
  ),
  {
    name: "gpt2-without-prefix",
    fixture: "tasks/gpt2",
    tensors: (all) => all.map(renamer(/^transformer\./, "")),
  },
  {
    name: "opt-without-prefix",
    fixture: "tasks/opt",
    tensors: (all) => all.map(renamer(/^model\.decoder/, "decoder")),
  },
  {
    name: "bert-of-tensorflow",
    fixture: "tasks/bert-sequence",
    tensors: (all) =>
      all
        .map(renamer(/LayerNorm\.weight/, "LayerNorm.gamma"))
        .map(renamer(/LayerNorm\.bias/, "LayerNorm.beta")),
  },
  { name: "llama-without-prefix", fixture: "llama-gqa", tensors: (all) => all.map(renamer(/^model\./, "")) },
  {
    name: "llama-tied-copy",
    fixture: "llama-tied",
    tensors: withCopy("model.embed_tokens.weight", "lm_head.weight"),
  },
  {
    name: "llama-tied-other",
    fixture: "llama-tied",
    tensors: withCopy("model.embed_tokens.weight", "lm_head.weight", (data) => data.toReversed()),
  },
  { name: "llama-tied-head-alone", fixture: "llama-tied", adapter: "methods/lora-head-alone" },
  {
    name: "bert-tied-copy",
    fixture: "tasks/bert-masked",
    tensors: withCopy("bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"),
  },
  { name: "bert-body-of-classifier", fixture: "tasks/bert-sequence", head: { task: "sentence-embedding" } },
  { name: "bert-new-head", fixture: "tasks/bert-masked", tensors: withPooler("bert."), head: NEW_HEAD },
  { name: "bert-new-pooler", fixture: "tasks/bert-masked", head: NEW_HEAD },
  { name: "roberta-new-head", fixture: "tasks/roberta-masked", head: NEW_HEAD },
  { name: "distilbert-new-head", fixture: "tasks/distilbert-masked", head: NEW_HEAD },
  { name: "llama-new-head", fixture: "llama-gqa", head: NEW_HEAD },
  { name: "qwen3-new-head", fixture: "families/qwen3", head: NEW_HEAD },
  { name: "opt-new-head", fixture: "tasks/opt", head: NEW_HEAD },
];

function renamer(from: RegExp, to: string): (tensor: TensorEntry) => TensorEntry {
  return (tensor) => ({ ...tensor, name: tensor.name.replace(from, to) });
}

/** One more tensor, a copy of another in the same format, or one made of its values. */
function withCopy(
  of: string,
  name: string,
  change = (data: Uint16Array | Uint32Array) => data,
): NonNullable<MergedCase["tensors"]> {
  return (all) => {
    const source = all.find((tensor) => tensor.name === of) as TensorEntry;
    const Values = source.dtype === "F32" ? Uint32Array : Uint16Array;
    const data = new Uint8Array(change(new Values(source.data.slice().buffer)).buffer as ArrayBuffer);
    return [...all, { ...source, name, data }];
  };
}

function withPooler(body: string): NonNullable<MergedCase["tensors"]> {
  return (all) => {
    const [size = 0] = all.find(({ name }) => name === `${body}embeddings.LayerNorm.bias`)?.shape ?? [];
    const pooler = (name: string, shape: readonly number[]): TensorEntry => {
      const values = new Float32Array(shape.reduce((a, b) => a * b, 1)).map((_, i) => Math.sin(i));
      return {
        name: `${body}pooler.dense.${name}`,
        dtype: "F32",
        shape,
        data: new Uint8Array(values.buffer),
      };
    };
    return [...all, pooler("weight", [size, size]), pooler("bias", [size])];
  };
}

/** The files of a case's base model. */
export async function baseFiles({ fixture, tensors }: MergedCase): Promise<Files> {
  const folder = fixturePath(fixture);
  const names = readdirSync(folder).filter((name) =>
    /^(?:(?:generation_)?config\.json$|model[.-])/.test(name),
  );
  const files = new Map<string, Uint8Array>(
    names.map((name) => [name, new Uint8Array(readFileSync(`${folder}/${name}`))]),
  );
  if (!tensors) return files;
  const checkpoint = await openCheckpoint(folderFiles(folder));
  const stored = [...checkpoint.tensors.values()].map(async (tensor) => ({
    ...tensor,
    data: await checkpoint.read(tensor),
  }));
  const weights = writeSafetensors(tensors(await Promise.all(stored)), { format: "pt" });
  const others = [...files].filter(([name]) => !name.startsWith("model"));
  return new Map([...others, ["model.safetensors", weights]]);
}

/** What the package writes for a case. */
export interface Written {
  readonly task: Task;
  /** The adapter, loaded and saved again, or a new one. */
  readonly adapter: Files;
  readonly merged: Files;
  /** What the model with the adapter computes of the fixture's inputs. */
  readonly logits: Float32Array;
}

/** Puts a case's adapter on its base model, and writes both as the command line would. */
export async function writeCase({ fixture, head, adapter: own }: MergedCase, base: Files): Promise<Written> {
  const source = memoryFiles(fixture, base);
  const model: LoadedModel = await openTaskModel(source, await testDevice(), head);
  const loaded = head
    ? newAdapter(model)
    : await loadAdapter(model, folderFiles(fixturePath(own ?? `${fixture}/adapter`)));
  const files = await adapterFiles(loaded);
  files.delete(LABELS_FILE); // PEFT reads none
  const adapter = await wholeFiles(files);
  const merged = await wholeFiles(await mergedFiles(model, loaded, source));
  const logits = await logitsOf(model, fixture);
  model.release();
  return { task: model.task, adapter, merged, logits };
}

/** What the package's own model computes of the fixture's inputs from a folder of these files. */
export async function mergedLogits({ merged }: Written, { fixture }: MergedCase): Promise<Float32Array> {
  const model: LoadedModel = await openTaskModel(memoryFiles("merged", merged), await testDevice());
  const logits = await logitsOf(model, fixture);
  model.release();
  return logits;
}

/** What a model computes of the inputs of a fixture. */
export async function logitsOf(model: LoadedModel, fixture: string): Promise<Float32Array> {
  const golden = readJsonFile<TaskGolden>(fixturePath(fixture), "golden.json");
  const tensors = await readTensors(fixturePath(fixture), "golden.safetensors");
  return taskCase(model, golden, tensors).logits();
}

/** An adapter that changes something: a new one's B is zero. */
function newAdapter(model: LoadedModel): Adapter<Lora> {
  const adapter = attach(model, lora({ r: 2, alpha: 4, targetModules: model.defaultTargets }), { seed: 5 });
  for (const { tensors } of adapter.sites) {
    const { lora_B: B } = tensors;
    B?.write(new Float32Array(B.size).map((_, i) => 0.3 * Math.sin(i)));
  }
  return adapter;
}

/** Reads what was to be written. */
export async function wholeFiles(files: ReadonlyMap<string, FileContent>): Promise<Files> {
  const entries = [...files].map(async ([name, content]) => [name, await wholeOf(content)] as const);
  return new Map(await Promise.all(entries));
}

async function wholeOf(content: FileContent): Promise<Uint8Array> {
  if (typeof content === "string") return new TextEncoder().encode(content);
  if (content instanceof Uint8Array) return content;
  const chunks: Uint8Array[] = [];
  for await (const chunk of content) chunks.push(chunk);
  return new Uint8Array(Buffer.concat(chunks));
}

/**
 * A hash of all that does not depend on the device: the adapter's files, and of the merged model's the texts and the
 * weight files' headers. Merged values differ in the last bit from device to device.
 */
export async function digestOf({ adapter, merged }: Pick<Written, "adapter" | "merged">): Promise<string> {
  const hash = createHash("sha256");
  for (const [kind, files] of Object.entries({ adapter, merged })) {
    for (const name of [...files.keys()].sort()) {
      const bytes = files.get(name) as Uint8Array;
      const isWeights = kind === "merged" && name.endsWith(".safetensors");
      const end = isWeights ? await headerEnd(files, name) : bytes.length;
      hash.update(`${kind}/${name}\n${end}\n`).update(bytes.subarray(0, end));
    }
  }
  return hash.digest("hex");
}

async function headerEnd(files: Files, name: string): Promise<number> {
  const { tensors } = await readHeader(memoryFiles("merged", files), name);
  return Math.min(...[...tensors.values()].map(({ begin }) => begin));
}
