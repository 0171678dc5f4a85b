import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ChoiceStore, choiceKey } from "../gpu/choices.ts";
import { defaultCacheFolder, makePrivateFolder, writePrivateFile } from "./node-cache/byte-cache.ts";

/** Choices in `choices/<device>.json` of the cache folder. One that cannot be read is one that does not exist. */
export function nodeChoices(cache = defaultCacheFolder()): ChoiceStore {
  const folder = join(cache, "choices");
  const path = (device: string) => join(folder, `${choiceKey(device)}.json`);
  return {
    load: (device) => readFile(path(device), "utf8").catch(() => undefined),
    async save(device, text) {
      await makePrivateFolder(folder);
      await writePrivateFile(path(device), text);
    },
  };
}
