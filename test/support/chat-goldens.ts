import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Message } from "../../src/data/chat/messages.ts";
import { type RenderedChat, type RenderOptions, renderChat } from "../../src/data/chat/render.ts";
import { readTemplate } from "../../src/io/jinja/template.ts";
import { LoraError } from "../../src/util/fail.ts";
import type { JsonObject } from "../../src/util/json.ts";
import { fixturePath, readJsonFile } from "./fixtures.ts";

interface ChatGoldens {
  made: { now: string };
  special: Readonly<Record<string, string>>;
  conversations: Readonly<Record<string, readonly Message[]>>;
  settings: Readonly<Record<string, { settings: JsonObject; cases: readonly string[] }>>;
  /** By template and setting, an entry for each case; `template` is the digest of the template itself. */
  goldens: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** What transformers makes of many conversations; see make_chat_templates.py. */
export const CHAT_GOLDENS = readJsonFile<ChatGoldens>(fixturePath("."), "chat-templates.json");

const NOW = new Date(CHAT_GOLDENS.made.now);

/** As the maker shortens a text. */
export const digest = (text: string) => createHash("sha256").update(text).digest("base64").slice(0, 6);

/** The templates of a folder with their digests, by name. */
export function templatesOf(folder: string): Map<string, string> {
  const names = readdirSync(folder).filter((name) => name.endsWith(".jinja"));
  return new Map(names.map((name) => [name, readFileSync(join(folder, name), "utf8")]));
}

/** The entry that each case has by this library, and what went into it. */
export function renderCases(
  source: string,
  setting: string,
): { case: string; entry: string; made: unknown }[] {
  const { settings, cases } = CHAT_GOLDENS.settings[setting] ?? { settings: {}, cases: [] };
  const template = readTemplate(source, "template");
  const chat = { name: "template", source, template, specialTokens: CHAT_GOLDENS.special };
  return cases.map((name) => {
    const messages = CHAT_GOLDENS.conversations[name] ?? [];
    try {
      const rendered = renderChat(messages, chat, { ...optionsOf(settings), now: NOW });
      return { case: name, entry: entryOf(rendered), made: rendered };
    } catch (error) {
      if (!(error instanceof LoraError)) throw error;
      const refused = /refuses these messages: ([\s\S]*)\n {2}→ /.exec(error.message)?.[1];
      return { case: name, entry: refused?.includes(" ") ? `!${digest(refused)}` : "!", made: error.message };
    }
  });
}

function optionsOf({
  add_generation_prompt,
  continue_final_message,
  tools,
  documents,
  ...variables
}: JsonObject) {
  return {
    addGenerationPrompt: add_generation_prompt === true,
    continueFinalMessage: continue_final_message === true,
    tools: (tools as RenderOptions["tools"]) ?? null,
    documents: (documents as RenderOptions["documents"]) ?? null,
    variables,
  };
}

function entryOf({ text, generated }: RenderedChat): string {
  if (generated.length === 0) return digest(text);
  // Python counts code points.
  const at = (index: number) => [...text.slice(0, index)].length;
  return `${digest(text)}+${digest(JSON.stringify(generated.map(([from, to]) => [at(from), at(to)])))}`;
}
