import { fail } from "../../util/fail.ts";
import { isObject } from "../../util/json.ts";
import { existing, type FileSource, readJson, readText } from "../files/files.ts";

/** A chat template as it is written. */
export interface ChatTemplateSource {
  readonly source: string;
  /** The file, and in a JSON file the field, for messages. */
  readonly place: string;
}

/** The chat templates of a model by name; `default` is that of a model that has one only. */
export type ChatTemplateSources = ReadonlyMap<string, ChatTemplateSource>;

/** The file of a model's chat template. */
export const CHAT_TEMPLATE_FILE = "chat_template.jinja";

/** The folder with those that have another name than `default`. */
export const CHAT_TEMPLATE_FOLDER = "additional_chat_templates";

const CONFIG = "tokenizer_config.json";

/**
 * The chat templates of a folder, which transformers 5.18 reads from `chat_template.jinja` and
 * `additional_chat_templates`, or where there are none from `tokenizer_config.json`.
 * @returns an empty map where the folder has none
 * @throws LoraError where `tokenizer_config.json` has something else than templates there
 */
export async function readChatTemplates(files: FileSource): Promise<ChatTemplateSources> {
  const found = new Map<string, ChatTemplateSource>();
  for (const file of await existing(files, [CHAT_TEMPLATE_FILE, ...(await namedTemplateFiles(files))])) {
    const name =
      file === CHAT_TEMPLATE_FILE ? "default" : file.slice(CHAT_TEMPLATE_FOLDER.length + 1, -".jinja".length);
    found.set(name, { source: await readText(files, file), place: `${files.label}/${file}` });
  }
  if (found.size > 0 || (await files.size(CONFIG)) === undefined) return found;
  return templatesOfConfig(await readJson(files, CONFIG), `${files.label}/${CONFIG}`);
}

/** Paths of the templates with another name than `default`. */
export async function namedTemplateFiles(files: FileSource): Promise<string[]> {
  // A hub or a URL cannot list: these two are the names in use.
  const found = (await files.list?.(CHAT_TEMPLATE_FOLDER)) ?? ["tool_use.jinja", "rag.jinja"];
  return found.filter((name) => name.endsWith(".jinja")).map((name) => `${CHAT_TEMPLATE_FOLDER}/${name}`);
}

/** `chat_template`: a text, a list of `name` and `template`, or an object of templates by name. */
function templatesOfConfig(config: unknown, place: string): ChatTemplateSources {
  const value: unknown = isObject(config) ? (config.chat_template ?? null) : null;
  if (value === null) return new Map();
  const entries = templateEntries(value);
  const isWrong = ([name, source]: readonly [unknown, unknown]) =>
    typeof name !== "string" || typeof source !== "string";
  if (entries === undefined || entries.some(isWrong)) {
    return fail(
      place,
      "chat_template is no template",
      "expected a text, or a list of objects with name and template",
    );
  }
  const sources = entries as readonly (readonly [string, string])[];
  return new Map(sources.map(([name, source]) => [name, { source, place: `${place}, chat_template` }]));
}

function templateEntries(value: unknown): readonly (readonly [unknown, unknown])[] | undefined {
  if (typeof value === "string") return [["default", value]];
  if (isObject(value)) return Object.entries(value);
  if (!Array.isArray(value)) return undefined;
  return value.map((item: unknown) => (isObject(item) ? [item.name, item.template] : [undefined, undefined]));
}

/**
 * The template that a chat is rendered with, chosen as transformers does.
 * @param name the one that is asked for
 * @param hasTools whether there is something to call, for which some models have a template of its own
 * @throws LoraError where there is no such template, or none without a name
 */
export function chooseChatTemplate(
  sources: ChatTemplateSources,
  model: string,
  { name, hasTools = false }: { name?: string | undefined; hasTools?: boolean } = {},
): ChatTemplateSource {
  const names = [...sources.keys()].map((each) => JSON.stringify(each)).join(", ");
  if (name !== undefined) {
    const help = sources.size > 0 ? `its templates are ${names}` : "it has no chat templates";
    return sources.get(name) ?? fail(model, `has no chat template ${JSON.stringify(name)}`, help);
  }
  const chosen = (hasTools ? sources.get("tool_use") : undefined) ?? sources.get("default");
  if (chosen) return chosen;
  if (sources.size > 0) fail(model, "has several chat templates and no default", `name one of ${names}`);
  return fail(
    model,
    "has no chat template",
    "give one: a .jinja file, such as that of the model's chat version",
  );
}
