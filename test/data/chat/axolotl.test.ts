import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadChats } from "../../../src/data/chat/late-chats.ts";
import { tokenizeExamples } from "../../../src/data/tokenize/tokenize.ts";
import { openTokenizer } from "../../../src/io/tokenizer/tokenizer-files.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { readJsonFile, sharedPath } from "../../support/fixtures.ts";

await loadChats();

const fixtures = sharedPath("datasets/axolotl_fixtures");
const llama2 = sharedPath("tokenizers/tinyllama_llama2");

/** Llama 2's way to write a chat. */
const SOURCE = `
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {{- bos_token + '[INST] ' }}
        {%- if loop.index0 == 1 and messages[0].role == 'system' %}
            {{- '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' }}
        {%- endif %}
        {{- message.content + ' [/INST]' }}
    {%- elif message.role == 'assistant' %}
        {{- ' ' + message.content + ' ' + eos_token }}
    {%- endif %}
{%- endfor %}`;

interface Tokenized {
  input_ids: number[];
  labels: number[];
  attention_mask: (boolean | number)[];
}

test.skipIf(!fixtures || !llama2)("a chat of axolotl's has its tokens and its labels", async () => {
  const tokenizer = await openTokenizer(folderFiles(llama2 as string), { config: {} });
  if (!tokenizer) throw new Error("no tokenizer");
  const folder = fixtures as string;
  const line = readFileSync(join(folder, "conversation.tokenized_llama2chat.json"), "utf8").split(
    "\n",
  )[0] as string;
  const wanted = JSON.parse(line) as Tokenized;
  // Behind the last answer it begins a turn that nobody takes: one more BOS.
  const length = wanted.attention_mask.filter(Boolean).length - 1;
  expect(wanted.input_ids[length]).toBe(tokenizer.bosTokenId);
  const text = tokenizer.decode(wanted.input_ids);
  const system = /<<SYS>>\n([\s\S]*?)\n<<\/SYS>>/.exec(text)?.[1] as string;
  const [chat] = [
    readJsonFile<{ conversations: { from: string; value: string }[] }>(folder, "conversation.json"),
  ];
  const turns = chat.conversations.map(({ from, value }) => ({
    role: from === "human" ? "user" : "assistant",
    content: value,
  }));

  const source = { source: SOURCE, place: "llama2.jinja" };
  const { sequences } = tokenizeExamples(
    [{ messages: [{ role: "system", content: system }, ...turns] }],
    tokenizer,
    { maxLength: 4096, assistantOnlyLoss: true },
    { name: "llama2", chatTemplates: new Map([["default", source]]) },
  );
  expect(sequences[0]?.inputIds).toEqual(wanted.input_ids.slice(0, length));
  expect(sequences[0]?.labels).toEqual(wanted.labels.slice(0, length));
});
