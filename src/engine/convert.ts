// An adapter of the engine in the formats of other programs.
import { blobFiles, type FileContent, readObject } from "../io/files/files.ts";
import { withoutQuantisation } from "../io/formats/quantised/settings.ts";
import { adapterFiles } from "../load/adapter.ts";
import { convertAdapter as convertFiles } from "../load/convert/convert-adapter.ts";
import { MODELFILE, modelfile } from "../load/ollama.ts";
import { fail } from "../util/fail.ts";
import { pickOptions, type Rules, words } from "../util/options.ts";
import { asBlobs } from "./as-blobs.ts";
import type { Handles } from "./handles.ts";
import type { EngineConvertOptions } from "./protocol.ts";

const MODELFILE_RULES: Rules<Pick<EngineConvertOptions, "ollamaFrom">> = { ollamaFrom: words("ollama_from") };
/** What the adapter is called as GGUF. */
const GGUF_FILE = "adapter.gguf";

/** Writes an adapter as `convertAdapter` does, with its base's own configuration. */
export async function convertAdapter(
  handles: Handles,
  id: number,
  options: EngineConvertOptions,
): Promise<Map<string, FileContent>> {
  const { live, model: base } = handles.adapter(id);
  const model = handles.model({ model: base });
  const { ollamaFrom: from } = pickOptions(options, MODELFILE_RULES);
  const { ollamaFrom: _, ...rest } = options;
  if (from !== undefined && options.to !== "gguf")
    fail("convertAdapter", `ollamaFrom means nothing for ${options.to}`, "leave it out, or ask for gguf");
  const peft = blobFiles(live.name, asBlobs(await adapterFiles(live)));
  const { files } = await convertFiles(peft, {
    ...rest,
    ...(options.to === "gguf" && { fileName: GGUF_FILE }),
    async baseConfig() {
      const { files } = model;
      if (!files) return fail("convertAdapter", `nobody knows the files of ${model.name} any more`);
      return withoutQuantisation(await readObject(files, "config.json"));
    },
  });
  if (from !== undefined) files.set(MODELFILE, modelfile(model, { from, adapter: `./${GGUF_FILE}` }));
  return files;
}
