import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadChats } from "../../../src/data/chat/late-chats.ts";
import type { Example } from "../../../src/data/rows/examples.ts";
import { rowEncoder } from "../../../src/data/tokenize/encode-rows.ts";
import type { TokenizeOptions } from "../../../src/data/tokenize/tokenize-options.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { BUNDLED_MODEL } from "../../support/fixtures.ts";

await loadChats();

const json = (name: string) => JSON.parse(readFileSync(join(BUNDLED_MODEL, name), "utf8")) as unknown;
const tokenizer = createTokenizer(json("tokenizer.json"), json("tokenizer_config.json"));
/** Characters that were tokenised. */
let read = 0;
const counting = {
  ...tokenizer,
  encode: (text: string, options?: Parameters<typeof tokenizer.encode>[1]) => {
    read += text.length;
    return tokenizer.encode(text, options);
  },
};

const TEMPLATE =
  "{% for m in messages %}[{{ m.role }}]{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|endoftext|>" +
  "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}";
const LONG = "the cat ran over the table with some more pink candles. ".repeat(1500); // 84 000 characters
const options = (more: Partial<TokenizeOptions> = {}) => ({
  ...{ maxLength: 24, assistantOnlyLoss: true, chatTemplate: TEMPLATE },
  ...more,
});
const row = (example: Example, more?: Partial<TokenizeOptions>) => {
  const { inputIds, labels, fate, isCutBefore, isLonger } = rowEncoder(counting, options(more), {}).encode(
    example,
    0,
  );
  return { inputIds, labels, fate, isCutBefore, isLonger };
};
const chat = (question: string, answer: string) => ({
  messages: [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ],
});

test.each<[string, Example]>([
  ["a long question", chat(LONG, "Yes.")],
  ["a long answer", chat("Who?", LONG)],
  ["a long prompt", { prompt: LONG, completion: "Yes." }],
  ["a long completion", { prompt: "Who? ", completion: LONG }],
])("%s is not tokenised to its end, and gives the row that it gives whole", (_, example) => {
  read = 0;
  const { isLonger, ...start } = row(example);
  expect(isLonger).toBe(true);
  expect(read).toBeLessThan(100); // of special tokens and the like
  // Where the end is kept all of it is read; the beginning is then cut by hand.
  const whole = rowEncoder(
    tokenizer,
    options({ truncation: "keep_completion", maxLength: 60_000 }),
    {},
  ).encode(example, 0);
  const labels = whole.labels.slice(0, 24);
  expect(start).toEqual({
    inputIds: whole.inputIds.slice(0, 24),
    labels,
    fate: labels.some((label) => label >= 0) ? "kept" : "no labels",
    isCutBefore: labels.every((label) => label < 0),
  });
});

test("where the end or the completion is kept, all of it is read", () => {
  const end = row(chat("Who?", LONG), { truncation: "keep_end" });
  expect([end.isLonger, end.inputIds.at(-1)]).toEqual([false, tokenizer.eosTokenId]);
  const kept = row(chat(LONG, "Yes."), { truncation: "keep_completion" });
  expect(kept).toMatchObject({ isLonger: false, fate: "kept" });
  expect(row(chat(LONG, "Yes."), { truncation: "drop" })).toMatchObject({ isLonger: true, fate: "too long" });
});
