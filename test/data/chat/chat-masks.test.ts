import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { encodeChat } from "../../../src/data/chat/encode-chat.ts";
import { answerSpans, answersOf, renderWhole } from "../../../src/data/chat/turns.ts";
import { existing, readJson } from "../../../src/io/files/files.ts";
import { readTemplate } from "../../../src/io/jinja/template.ts";
import type { Tokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { openTokenizer } from "../../../src/io/tokenizer/tokenizer-files.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { LoraError } from "../../../src/util/fail.ts";
import type { JsonObject } from "../../../src/util/json.ts";
import { CHAT_GOLDENS, templatesOf } from "../../support/chat-goldens.ts";
import { fixturePath, readJsonFile, sharedPath } from "../../support/fixtures.ts";

interface MaskGoldens {
  /** By template and tokenizer, a digest of ids and mask for each case of the settings "plain" and "tools". */
  goldens: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

const { goldens } = readJsonFile<MaskGoldens>(fixturePath("."), "chat-masks.json");
const shared = sharedPath("tokenizers");
const published = shared === undefined ? "" : join(shared, "chat_templates_trl");

const digest = (value: unknown) =>
  createHash("sha256").update(JSON.stringify(value)).digest("base64").slice(0, 6);

const chatTemplate = (source: string, specialTokens = CHAT_GOLDENS.special) => ({
  name: "template",
  source,
  template: readTemplate(source, "template"),
  specialTokens,
});

async function openShared(folder: string): Promise<Tokenizer> {
  const files = folderFiles(join(shared as string, folder));
  const [name] = await existing(files, ["config.json"]);
  const config = name === undefined ? {} : ((await readJson(files, name)) as JsonObject);
  return (await openTokenizer(files, { config })) as Tokenizer;
}

const ASSISTANT = { completionOnlyLoss: true, assistantOnlyLoss: true, maskHistory: false };

/** Chats with a message that the template leaves out, which transformers does without a word, are refused here. */
const LEFT_OUT = "left out";

/** The digests of a template's chats. */
function entries(source: string, tokenizer: Tokenizer): string[] {
  const template = chatTemplate(source, tokenizer.specialTokens);
  return ["plain", "tools"].flatMap((setting) => {
    const { settings, cases } = CHAT_GOLDENS.settings[setting] as {
      settings: JsonObject;
      cases: readonly string[];
    };
    const chats = cases
      .map((name) => CHAT_GOLDENS.conversations[name] ?? [])
      .filter(({ length }) => length > 0);
    return chats.map((chat) => {
      const messages = chat.map(({ train: _, ...message }) => message); // transformers knows no such field
      try {
        const { ids, trained } = encodeChat({ messages, ...settings }, template, tokenizer, ASSISTANT);
        return digest([ids, trained.map(Number)]);
      } catch (error) {
        if (!(error instanceof LoraError)) throw error;
        return error.message.includes("leaves out message") ? LEFT_OUT : "!";
      }
    });
  });
}

describe.skipIf(shared === undefined)("tokens and masks with real tokenizers are transformers'", () => {
  test.each(Object.keys(Object.values(goldens)[0] ?? {}))("%s", async (folder) => {
    const tokenizer = await openShared(folder);
    for (const [name, byTokenizer] of Object.entries(goldens)) {
      const path = name.startsWith("chat/") ? fixturePath(name) : join(published, name);
      const dated = readFileSync(path, "utf8").replaceAll("strftime_now('%d %b %Y')", "'04 Jul 2024'");
      const source = dated.replaceAll('strftime_now("%Y-%m-%d")', "'2024-07-04'");
      const wanted = byTokenizer[folder]?.split(" ") ?? [];
      const got = entries(source, tokenizer).map((entry, i) => (entry === LEFT_OUT ? wanted[i] : entry));
      expect(got, name).toEqual(wanted);
    }
  });
});

/** Templates whose version for training differs from them in nothing but the marks. */
const SAME = [
  ...["cohere", "cohere2", "deepseekv3", "gemma", "gemma3", "idefics3", "lfm2", "llama3", "llava_next"],
  ...["qwen2_5_vl", "qwen3", "qwen3_instruct_2507", "qwen3_vl"],
];

describe.skipIf(shared === undefined)("without marks, answers are found where TRL's marks are", () => {
  test.each(SAME)("%s", (name) => {
    const templates = templatesOf(published);
    const [plain, marked] = ["", "_training"].map((end) =>
      chatTemplate(templates.get(`${name}${end}.jinja`) as string),
    );
    let compared = 0;
    for (const [key, messages] of Object.entries(CHAT_GOLDENS.conversations)) {
      try {
        const one = renderWhole(messages, plain as typeof marked & object, {});
        const other = renderWhole(messages, marked as typeof marked & object, {});
        if (one.rendered.text !== other.rendered.text) continue; // some keep what was thought for training
        expect(answerSpans(one, answersOf(messages)), key).toEqual(other.rendered.generated);
        compared++;
      } catch (error) {
        if (!(error instanceof LoraError)) throw error; // one of the two refuses the chat
      }
    }
    expect(compared).toBeGreaterThan(1);
  });
});
