import { join } from "node:path";
import { type LoadedModel, openTaskModel } from "../../../src/load/model.ts";
import { TASKS } from "../../../src/models/model.ts";
import { isLeaf, modules } from "../../../src/nn/module.ts";
import { FIXTURES, filesBelow, jsonAt, modelFolders } from "../corpus.ts";
import { idleDevice } from "../idle-device.ts";
import { type JsonTree, textOf, treeOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf } from "../mutate-text.ts";
import { ensure, folderOf, type Target } from "../target.ts";
import { mutateSafetensors } from "./safetensors.ts";

/** Files of the fixtures that are no part of a model. */
const OTHERS = /^golden|^adapter\//;

const device = idleDevice();
let folders: ReadonlyMap<string, Uint8Array>[] | undefined;

function all(): readonly ReadonlyMap<string, Uint8Array>[] {
  folders ??= modelFolders().map((folder) => {
    const files = [...filesBelow(folder)].filter(([name]) => !OTHERS.test(name));
    return new Map([...files, ...besideWeights(folder)]);
  });
  return folders;
}

/** What the fixtures lack of a folder: how images are prepared, and how a sentence encoder was saved. */
function besideWeights(folder: string): readonly (readonly [string, Uint8Array])[] {
  const json = (name: string, value: unknown) =>
    [name, new TextEncoder().encode(JSON.stringify(value))] as const;
  if (folder.endsWith("vit")) {
    const { bilinear } = jsonAt(join(FIXTURES, "images", "configs.json")) as { bilinear: object };
    const crop = { do_center_crop: true, crop_size: { height: 4, width: 4 } };
    return [json("preprocessor_config.json", { ...bilinear, size: { height: 4, width: 4 }, ...crop })];
  }
  if (!folder.endsWith("embedding")) return [];
  const modules = ["Transformer", "Pooling", "Normalize"].map((name, idx) => ({
    ...{ idx, name: String(idx), path: idx === 0 ? "" : `${idx}_${name}` },
    type: `sentence_transformers.models.${name}`,
  }));
  return [
    json("modules.json", modules),
    json("1_Pooling/config.json", { pooling_mode_cls_token: false, pooling_mode_mean_tokens: true }),
    json("sentence_bert_config.json", { max_seq_length: 8, do_lower_case: false }),
    json("config_sentence_transformers.json", { prompts: { query: "q: " }, similarity_fn_name: "dot" }),
  ];
}

function treeIn(files: ReadonlyMap<string, Uint8Array>, name: string): JsonTree {
  return treeOf(JSON.parse(new TextDecoder().decode(files.get(name))));
}

/** Holds the task that is asked for: a head that the weights lack is made then. */
const TASK = "task";

/** Files that are changed: mostly JSON beside the weights, of which others have a target of their own. */
function isJson(name: string): boolean {
  return name.endsWith(".json");
}

/** A model's folder as a whole, with one of its files broken: what is loaded has its weights, and frees them. */
export const model: Target = {
  make(random) {
    const files = new Map(random.pick(all()));
    const name = random.pick([...files.keys()]);
    const task = random.integer(4) === 0 ? random.pick(TASKS) : undefined;
    if (task !== undefined) files.set(TASK, new TextEncoder().encode(task));
    const bytes = files.get(name) as Uint8Array;
    if (!isJson(name)) return files.set(name, mutateSafetensors(bytes, random));
    const donor = random.pick(all());
    const donors = donor.has(name) ? [treeIn(donor, name)] : [];
    return files.set(name, bytesOf(textOf(mutateJson(treeIn(files, name), random, donors)), random));
  },
  async read(input) {
    let loaded: LoadedModel | undefined;
    try {
      const task = TASKS.find((name) => name === new TextDecoder().decode(input.get(TASK)));
      loaded = await openTaskModel(folderOf(input), device, { ...(task && { task }) });
      const leaves = [...modules(loaded.root)].filter(isLeaf);
      const sizes = leaves.flatMap(({ tensors }) =>
        Object.values(tensors).map(({ words: { size } }) => size),
      );
      ensure(sizes.length > 0 && sizes.every((size) => size > 0), () => "it has no weights");
      ensure(device.memory.stats.used > 0, () => "it was not loaded");
    } finally {
      loaded?.release();
    }
    ensure(device.memory.stats.used === 0, () => `${device.memory.stats.used} bytes stay in use`);
  },
};
