import type { TaskText } from "../data/inspect/item-look.ts";
import { type FileSource, readObject, readOptionalObject, requireFiles } from "../io/files/files.ts";
import { readSentenceModules } from "../io/formats/sentence-modules.ts";
import { type ChatTemplateSources, readChatTemplates } from "../io/tokenizer/chat-templates.ts";
import type { Tokenizer } from "../io/tokenizer/tokenizer.ts";
import { openTokenizer } from "../io/tokenizer/tokenizer-files.ts";
import { planModel } from "../models/families.ts";
import type { Task } from "../models/model.ts";
import { type HeadChoice, type Model, withLabels } from "./model.ts";

/** What makes tokens of rows for a language model. */
export interface ModelText extends Pick<Model, "name" | "tokenizer" | "chatTemplates"> {
  readonly tokenizer: Tokenizer | undefined;
  readonly chatTemplates: ChatTemplateSources;
  readonly config: Pick<Model["config"], "vocabSize" | "maxPositions">;
}

/**
 * Reads what stands beside the weights of a model of any task on texts, as {@link openTaskModel} does, but needs neither them nor a
 * device.
 * @throws LoraError of kind `unsupported` for a model that is not implemented
 */
export async function openTaskText(files: FileSource, { task, labels }: HeadChoice<Task>): Promise<TaskText> {
  requireFiles("openTaskText", files);
  const config = await readObject(files, "config.json");
  const generationConfig = (await readOptionalObject(files, "generation_config.json")) ?? {};
  const own = planModel(withLabels(config, labels), task).ownConfig as ModelText["config"] & {
    readonly hiddenSize: number;
    readonly labels?: readonly string[];
  };
  const modules =
    task === "sentence-embedding" ? await readSentenceModules(files, own.hiddenSize) : undefined;
  const maxPositions = Math.min(own.maxPositions, modules?.maxTokens ?? own.maxPositions);
  return {
    name: files.label,
    tokenizer: await openTokenizer(files, { config, generationConfig }),
    config: { vocabSize: own.vocabSize, maxPositions },
    ...(task?.endsWith("classification") && own.labels && { classes: own.labels }),
  };
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
