import { openCheckpoint } from "../io/formats/checkpoint.ts";
import { withoutQuantisation } from "../io/formats/quantised/settings.ts";
import { planModel } from "../models/families.ts";
import { checkOptions } from "../util/options.ts";
import { type Loaders, modelFilesOf, type Platform, SOURCE_RULES } from "./loaders.ts";

/** Makes {@link Loaders.downloadModel}. */
export function modelDownloader(platform: Pick<Platform, "resolveFiles">): Loaders["downloadModel"] {
  return async (reference, options = {}) => {
    checkOptions("downloadModel", options, SOURCE_RULES);
    const files = await modelFilesOf("downloadModel", reference, platform, options);
    const { config, tensors } = await openCheckpoint(files);
    planModel(withoutQuantisation(config), "causal-lm"); // refuses what cannot be loaded
    const listed = (await files.list?.()) ?? [];
    const inGguf = listed.filter((name) => /\.gguf$/i.test(name)); // whose tensors have names of files that it stands for
    for (const name of new Set([...Array.from(tensors.values(), ({ file }) => file), ...inGguf])) {
      const size = await files.size(name);
      if (size) await files.read(name, size - 1, size); // all before the last byte is read, and checked
    }
  };
}
