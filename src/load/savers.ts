import type { Adapter } from "../adapters/adapter.ts";
import type { FileContent, FolderWriter, Superseded } from "../io/files/files.ts";
import { checkOptions, type Rule } from "../util/options.ts";
import { adapterFiles, isSupersededByAdapter, type SaveAdapterOptions } from "./adapter.ts";
import type { SourceOptions } from "./loaders.ts";
import type { LoadedModel } from "./model.ts";

/** What a platform's folders are; `F` is how programs name one. */
export interface Folders<F> {
  /** What that has to be. */
  readonly folder: Rule;
  /** @throws LoraError where a folder is the model's own, which is kept; `model` is where that came from */
  checkIsNotModel(folder: F, model: string): void | Promise<void>;
  /** @throws LoraError where no merged model of `model` can lie in a folder: it is its own, or holds an adapter */
  checkMergedFolder(folder: F, model: string): Promise<void>;
  /** An adapter's files but for those that somebody wrote himself into the folder. */
  ownFiles?(folder: F, files: ReadonlyMap<string, FileContent>): Promise<ReadonlyMap<string, FileContent>>;
  /** Which files of a folder go where a merged model comes. */
  superseded(folder: F): Superseded | Promise<Superseded>;
  writer(folder: F): FolderWriter;
}

/** What saves, on a platform whose folders are named by `F`. */
export interface Savers<F> {
  /**
   * Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT 0.21 does, and the names of a classifier's classes: all or
   * none. Where the device was lost while training, it writes what `adapterFiles` has of it, which also serves a download. In Node a
   * `README.md` that was written by somebody else stays.
   * @param folder in Node a path; in a page a folder that the user chose, or a path in the storage of the site
   * @throws LoraError where the folder is the model's own or cannot be written to, another process writes into it, or the disk or the
   * storage is full; what was there is then as before
   */
  saveAdapter(adapter: Adapter, folder: F, options?: SaveAdapterOptions): Promise<void>;
  /**
   * Merges an adapter into the weights of its model and writes the whole model: `config.json`, weights, tokenizer. Such files of a
   * model that was in the folder before go; other files stay. The adapter stays on the model in memory, which is as before.
   * @param options where the model's files are found, as in `loadModel`; without any they are read where they were
   * @throws LoraError where the files are not there any more, or the folder is the model's own, holds an adapter, cannot be written to
   * or is written to by another process, or the disk or the storage is full
   */
  saveMerged(model: LoadedModel, adapter: Adapter, folder: F, options?: SourceOptions): Promise<void>;
}

/** Makes {@link Savers.saveAdapter}. */
export function adapterSaver<F>(folders: Folders<F>): Savers<F>["saveAdapter"] {
  return async (adapter, folder, options = {}) => {
    checkOptions("saveAdapter", { folder }, { folder: folders.folder });
    const files = await adapterFiles(adapter, options);
    const { name } = adapter.base;
    if (name !== undefined) await folders.checkIsNotModel(folder, name);
    const own = (await folders.ownFiles?.(folder, files)) ?? files;
    await folders.writer(folder).write(own, isSupersededByAdapter);
  };
}
