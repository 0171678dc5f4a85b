import { type LoadedModel, openTaskModel } from "../../../src/load/model.ts";
import { isLeaf, modules } from "../../../src/nn/module.ts";
import { filesBelow, modelFolders } from "../corpus.ts";
import { idleDevice } from "../idle-device.ts";
import { type JsonTree, textOf, treeOf } from "../json-tree.ts";
import { mutateJson } from "../mutate-json.ts";
import { bytesOf } from "../mutate-text.ts";
import { ensure, folderOf, type Target } from "../target.ts";
import { mutateSafetensors } from "./safetensors.ts";

/** Files of the fixtures that are no part of a model. */
const OTHERS = /^golden|^adapter\//;

let folders: ReadonlyMap<string, Uint8Array>[] | undefined;

function all(): readonly ReadonlyMap<string, Uint8Array>[] {
  folders ??= modelFolders().map(
    (folder) => new Map([...filesBelow(folder)].filter(([name]) => !OTHERS.test(name))),
  );
  return folders;
}

function treeIn(files: ReadonlyMap<string, Uint8Array>, name: string): JsonTree {
  return treeOf(JSON.parse(new TextDecoder().decode(files.get(name))));
}

/** Files that are changed: mostly JSON beside the weights, of which others have a target of their own. */
function isJson(name: string): boolean {
  return name.endsWith(".json");
}

/** A model's folder as a whole, with one of its files broken: what is loaded has its weights, and frees them. */
export const model: Target = {
  make(random) {
    const files = new Map(random.pick(all()));
    const name = random.pick([...files.keys()]);
    const bytes = files.get(name) as Uint8Array;
    if (!isJson(name)) return files.set(name, mutateSafetensors(bytes, random));
    const donor = random.pick(all());
    const donors = donor.has(name) ? [treeIn(donor, name)] : [];
    return files.set(name, bytesOf(textOf(mutateJson(treeIn(files, name), random, donors)), random));
  },
  async read(input) {
    const device = idleDevice();
    let loaded: LoadedModel | undefined;
    try {
      loaded = await openTaskModel(folderOf(input), device);
      const leaves = [...modules(loaded.root)].filter(isLeaf);
      const sizes = leaves.flatMap(({ tensors }) => Object.values(tensors).map(({ size }) => size));
      ensure(sizes.length > 0 && sizes.every((size) => size > 0), () => "it has no weights");
      ensure(device.memory.stats.used > 0, () => "it was not loaded");
    } finally {
      loaded?.release();
    }
    ensure(device.memory.stats.used === 0, () => `${device.memory.stats.used} bytes stay in use`);
  },
};
