import { loadChats } from "../data/chat/late-chats.ts";
import type { TaskText } from "../data/inspect/item-look.ts";
import { type FileSource, readObject, readOptionalObject, requireFiles } from "../io/files/files.ts";
import { withoutQuantisation } from "../io/formats/quantised/settings.ts";
import { type ChatTemplateSources, readChatTemplates } from "../io/tokenizer/chat-templates.ts";
import type { Tokenizer } from "../io/tokenizer/tokenizer.ts";
import type { openTokenizer } from "../io/tokenizer/tokenizer-files.ts";
import type { Task } from "../models/model.ts";
import { openPlan } from "../models/open-plan.ts";
import { type HeadChoice, type Model, sentenceModules, withLabels } from "./model.ts";

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
  const config = withoutQuantisation(await readObject(files, "config.json"));
  const generationConfig = (await readOptionalObject(files, "generation_config.json")) ?? {};
  const own = (await openPlan(withLabels(config, labels), task)).ownConfig as ModelText["config"] & {
    readonly hiddenSize: number;
    readonly labels?: readonly string[];
  };
  const modules = task === "sentence-embedding" ? await sentenceModules(files, own.hiddenSize) : undefined;
  const maxPositions = Math.min(own.maxPositions, modules?.maxTokens ?? own.maxPositions);
  return {
    name: files.label,
    tokenizer: await tokenizerOf(files, { config, generationConfig }),
    config: { vocabSize: own.vocabSize, maxPositions },
    ...(task?.endsWith("classification") && own.labels && { classes: own.labels }),
  };
}

/** What reads tokenizers is loaded with the first of them. */
async function tokenizerOf(...given: Parameters<typeof openTokenizer>): Promise<Tokenizer | undefined> {
  const { openTokenizer: open } = await import("../io/tokenizer/tokenizer-files.ts");
  return open(...given);
}

/**
 * Reads what stands beside the weights of a language model, as {@link openModel} does, but needs neither them nor a device.
 * @throws LoraError of kind `unsupported` for a model that is not implemented
 */
export async function openModelText(files: FileSource): Promise<ModelText> {
  requireFiles("openModelText", files);
  const config = withoutQuantisation(await readObject(files, "config.json"));
  const generationConfig = (await readOptionalObject(files, "generation_config.json")) ?? {};
  const { vocabSize, maxPositions } = (await openPlan(config, "causal-lm")).ownConfig as ModelText["config"];
  const chatTemplates = await readChatTemplates(files);
  if (chatTemplates.size > 0) await loadChats();
  return {
    name: files.label,
    tokenizer: await tokenizerOf(files, { config, generationConfig }),
    chatTemplates,
    config: { vocabSize, maxPositions },
  };
}
