import { requireAdapterOf } from "../adapters/owners.ts";
import { requireModel } from "../nn/module.ts";
import { checkOptions } from "../util/options.ts";
import { type Platform, SOURCE_RULES } from "./loaders.ts";
import { mergedFiles } from "./merge.ts";
import type { Folders, Savers } from "./savers.ts";

// Apart from what saves adapters: what merges is no part of the core.

/** Makes {@link Savers.saveMerged}. */
export function mergedSaver<F>(
  folders: Folders<F>,
  { resolveFiles }: Pick<Platform, "resolveFiles">,
): Savers<F>["saveMerged"] {
  return async (model, adapter, folder, options = {}) => {
    requireModel("saveMerged", model);
    checkOptions("saveMerged", { folder }, { folder: folders.folder });
    await folders.checkMergedFolder(folder, model.name);
    checkOptions("saveMerged", options, SOURCE_RULES);
    requireAdapterOf("saveMerged", adapter, model.root);
    const isSame = Object.keys(options).length === 0;
    const files = (isSame && model.files) || (await resolveFiles(model.name, options));
    const superseded = await folders.superseded(folder);
    await folders.writer(folder).write(await mergedFiles(model, adapter, files), superseded);
  };
}
