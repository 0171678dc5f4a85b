import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ChoiceStore, choiceKey } from "../gpu/choices.ts";
import { defaultCacheFolder, makePrivateFolder, writePrivateFile } from "./node-cache/byte-cache.ts";

/** Choices in `choices/<hardware>.json` of the cache folder. One that cannot be read is one that does not exist. */
export function nodeChoices(cache = defaultCacheFolder()): ChoiceStore {
  const folder = join(cache, "choices");
  const path = (hardware: string) => join(folder, `${choiceKey(hardware)}.json`);
  return {
    load: (hardware) => readFile(path(hardware), "utf8").catch(() => undefined),
    async save(hardware, text) {
      await makePrivateFolder(folder);
      await writePrivateFile(path(hardware), text);
    },
  };
}
