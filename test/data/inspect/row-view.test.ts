import { expect, test } from "vitest";
import { loadChats } from "../../../src/data/chat/late-chats.ts";
import { rowKey } from "../../../src/data/inspect/row-key.ts";
import { rowViewer } from "../../../src/data/inspect/row-view.ts";
import type { Example } from "../../../src/data/rows/examples.ts";
import { encodeRows } from "../../../src/data/tokenize/encode-rows.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { createRandom } from "../../../src/util/random.ts";
import { GPT2_CONFIG, GPT2_JSON, LLAMA_CONFIG, LLAMA_JSON } from "../../io/tokenizer/tiny-tokenizer.ts";

await loadChats();

const llama = createTokenizer(LLAMA_JSON, LLAMA_CONFIG);
const gpt2 = createTokenizer(GPT2_JSON, GPT2_CONFIG);

function view(example: Example, tokenizer = llama, maxLength = 64) {
  const [row] = encodeRows("test", [example], tokenizer, { maxLength });
  return rowViewer(tokenizer)(row!, "d:1", []);
}

const texts = (shown: ReturnType<typeof view>) => shown.tokens.map(({ text }) => text);

test("tokens are masked, trained or cut", () => {
  const shown = view({ prompt: "c", completion: "d e" }, llama, 5);
  expect(shown.tokens.map(({ text, role }) => `${role} ${text}`)).toEqual([
    "masked <s>",
    "masked ·",
    "masked c",
    "trained d",
    "trained ·",
    "cut e",
    "cut </s>",
  ]);
  expect(shown).toMatchObject({ trained: 2, fate: "kept", end: { text: "d", endsTurn: false } });
});

test("what is shown as trained is what is trained", () => {
  const examples: Example[] = [
    { text: "ab c" },
    { prompt: "ab", completion: " c\n" },
    { prompt: "a ", completion: "b" },
  ];
  for (const row of encodeRows("test", examples, llama, { maxLength: 64 })) {
    const { tokens } = rowViewer(llama)(row, "", []);
    expect(tokens.map(({ id, role }) => (role === "trained" ? id : -100))).toEqual(row.labels);
    expect(tokens.map(({ id }) => id)).toEqual(row.inputIds);
  }
});

test("a first space is there, though a decoder strips it", () => {
  expect(texts(view({ text: "ab c" }))).toEqual(["<s>", "·ab", "·", "c", "</s>"]);
});

test("what cannot be seen is shown by signs, parts of a character as bytes", () => {
  expect(texts(view({ text: "a\n\t\u001b" }))).toEqual(["<s>", "·a", "↵", "⇥", "\\u001b", "</s>"]);
  expect(texts(view({ text: "é" }))).toEqual(["<s>", "·", "\\xC3", "\\xA9", "</s>"]);
  expect(texts(view({ text: "é b" }, gpt2))).toEqual(["\\xC3", "\\xA9", "·b", "<|endoftext|>"]);
});

test("the end is the last token that can be seen, and a token over the seam is named", () => {
  expect(view({ prompt: "c ", completion: "ab" })).toMatchObject({
    straddler: "·ab",
    end: { text: "</s>", endsTurn: true },
  });
});

test("rows that are left out say why", () => {
  expect(view({ text: "" })).toMatchObject({ fate: "empty", tokens: [], trained: 0 });
  const chat = { messages: [{ role: "user", content: "b" }] };
  const [row] = encodeRows("test", [chat], llama, {
    maxLength: 8,
    chatTemplate: "{{ raise_exception('no') }}",
  });
  expect(rowViewer(llama)(row!, "d:1", ["refused"])).toMatchObject({
    fate: "refused",
    problem: expect.stringContaining("refuses these messages: no"),
  });
});

test("keys of rows differ where a token or its mask does", () => {
  const random = createRandom(1);
  const rows = Array.from({ length: 20_000 }, (_, i) => {
    const inputIds = Array.from({ length: 1 + (i % 7) }, () => random.integer(50));
    return { inputIds, labels: inputIds.map((id) => (random.integer(2) === 0 ? id : -100)) };
  });
  const different = new Set(rows.map((row) => JSON.stringify(row)));
  expect(new Set(rows.map(rowKey)).size).toBe(different.size);
  for (const key of rows.map(rowKey)) expect(Number.isSafeInteger(key)).toBe(true);
});
