import { type FileSource, readObject, readOptionalObject, requireFiles } from "../io/files/files.ts";
import { type ChatTemplateSources, readChatTemplates } from "../io/tokenizer/chat-templates.ts";
import type { Tokenizer } from "../io/tokenizer/tokenizer.ts";
import { openTokenizer } from "../io/tokenizer/tokenizer-files.ts";
import { planModel } from "../models/families.ts";
import type { Model } from "./model.ts";

/** What makes tokens of rows for a language model. */
export interface ModelText extends Pick<Model, "name" | "tokenizer" | "chatTemplates"> {
  readonly tokenizer: Tokenizer | undefined;
  readonly chatTemplates: ChatTemplateSources;
  readonly config: Pick<Model["config"], "vocabSize" | "maxPositions">;
}

/**
 * Reads what stands beside the weights of a language model, as {@link openModel} does, but needs neither them nor a device.
 * @throws LoraError of kind `unsupported` for a model that is not implemented
 */
export async function openModelText(files: FileSource): Promise<ModelText> {
  requireFiles("openModelText", files);
  const config = await readObject(files, "config.json");
  const generationConfig = (await readOptionalObject(files, "generation_config.json")) ?? {};
  const { vocabSize, maxPositions } = planModel(config, "causal-lm").ownConfig as ModelText["config"];
  return {
    name: files.label,
    tokenizer: await openTokenizer(files, { config, generationConfig }),
    chatTemplates: await readChatTemplates(files),
    config: { vocabSize, maxPositions },
  };
}
