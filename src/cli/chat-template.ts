import { stat } from "node:fs/promises";
import type { ChatTemplates } from "../data/chat/chat-template.ts";
import { readTextFile } from "../platform/node-text.ts";
import { fail } from "../util/fail.ts";

/** A template is some kilobytes long. */
const MOST_BYTES = 2 ** 20;

/**
 * The chat templates of a model, and with them that of a file where the choice is the path of one.
 * @throws LoraError where it is neither that nor a name
 */
export async function withTemplateFile(
  { name, chatTemplates }: ChatTemplates,
  choice: string | undefined,
): Promise<ChatTemplates> {
  if (choice === undefined || chatTemplates.has(choice)) return { name, chatTemplates };
  const found = await stat(choice).catch(() => undefined);
  if (!found?.isFile()) {
    const names = [...chatTemplates.keys()].map((each) => JSON.stringify(each)).join(", ");
    const help = names === "" ? `${name} has no chat templates` : `the templates of ${name} are ${names}`;
    return fail("chat_template", `${choice} is neither a file nor the name of a template`, help);
  }
  const source = await readTextFile(choice, MOST_BYTES);
  return { name, chatTemplates: new Map([...chatTemplates, [choice, { source, place: choice }]]) };
}
