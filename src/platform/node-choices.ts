import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ChoiceStore, choiceKey } from "../gpu/choices.ts";
import { defaultCacheFolder } from "./node-byte-cache.ts";
import { makeFolder } from "./node-make-folder.ts";

/** Choices in `choices/<device>.json` of the cache folder. One that cannot be read is one that does not exist. */
export function nodeChoices(cache = defaultCacheFolder()): ChoiceStore {
  const folder = join(cache, "choices");
  const path = (device: string) => join(folder, `${choiceKey(device)}.json`);
  return {
    load: (device) => readFile(path(device), "utf8").catch(() => undefined),
    async save(device, text) {
      makeFolder(folder);
      const partial = `${path(device)}.${process.pid}`;
      await writeFile(partial, text);
      await rename(partial, path(device)); // another process reads the old file or the new one
    },
  };
}
