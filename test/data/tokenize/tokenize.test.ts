import { describe, expect, test } from "vitest";
import { loadChats } from "../../../src/data/chat/late-chats.ts";
import { IGNORE_INDEX } from "../../../src/data/sequence.ts";
import { tokenizeExamples } from "../../../src/data/tokenize/tokenize.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { GPT2_CONFIG, GPT2_JSON, LLAMA_CONFIG, LLAMA_JSON } from "../../io/tokenizer/tiny-tokenizer.ts";

await loadChats();

const llama = createTokenizer(LLAMA_JSON, LLAMA_CONFIG);
const gpt2 = createTokenizer(GPT2_JSON, GPT2_CONFIG);
const _ = IGNORE_INDEX;
const plain = (text: string) => llama.encode(text, { addSpecialTokens: false });

describe("labels", () => {
  test("of a text: all but the first token, and EOS", () => {
    const { sequences, report } = tokenizeExamples([{ text: "ab c" }], llama, { maxLength: 64 });
    const ids = [...llama.encode("ab c"), 2];
    expect(sequences).toEqual([{ inputIds: ids, labels: [_, ...ids.slice(1)] }]);
    expect(report).toMatchObject({
      rows: 1,
      tokens: ids.length,
      labelTokens: ids.length - 1,
      longest: ids.length,
    });
  });

  test("of a completion: the prompt is masked, unless told otherwise", () => {
    const example = { prompt: "ab", completion: " c" };
    const ids = [1, ...plain("ab c"), 2];
    const masked = tokenizeExamples([example], llama, { maxLength: 64 }).sequences[0]!;
    const promptLength = 1 + plain("ab").length;
    expect(masked.inputIds).toEqual(ids);
    expect(masked.labels).toEqual(ids.map((id, i) => (i < promptLength ? _ : id)));
    const open = tokenizeExamples([example], llama, { maxLength: 64, maskPrompt: false }).sequences[0]!;
    expect(open.labels).toEqual([_, ...ids.slice(1)]);
  });

  test("EOS comes once, or not at all", () => {
    const example = { prompt: "a", completion: "b</s>" };
    const withEos = tokenizeExamples([example], llama, { maxLength: 64 }).sequences[0]!;
    expect(withEos.inputIds.filter((id) => id === 2)).toHaveLength(1);
    const without = tokenizeExamples([{ text: "ab" }], llama, { maxLength: 64, appendEos: false })
      .sequences[0]!;
    expect(without.inputIds).toEqual(llama.encode("ab"));
    expect(() => tokenizeExamples([{ text: "ab" }], createTokenizer(LLAMA_JSON), { maxLength: 64 })).toThrow(
      /no EOS/,
    );
  });

  test("EOS is learnt where it is the padding token, too", () => {
    const { labels } = tokenizeExamples([{ text: "a" }], gpt2, { maxLength: 8 }).sequences[0]!;
    expect(labels.at(-1)).toBe(0);
  });
});

describe("the seam between prompt and completion", () => {
  const cases = [
    ["ab", "c"], // SentencePiece: no "▁" in the middle of a word
    ["ab ", "ab"], // a merge crosses the seam: "▁" + "ab" is one token
    ["a", "b"], // so does "a" + "b"
    ["a\n", "b"],
    ["a:", " b"],
    ["a", "\n\nb"],
    ["", "b"],
    ["a ", ""],
    ["日", "本🙂"],
  ] as const;
  for (const [name, tokenizer] of [["Llama", llama] as const, ["GPT-2", gpt2] as const]) {
    test.each(cases)(`${name}: %j + %j are tokenised together`, (prompt, completion) => {
      const { sequences, report } = tokenizeExamples([{ prompt, completion }], tokenizer, { maxLength: 64 });
      const { inputIds, labels } = sequences[0]!;
      expect(inputIds).toEqual([...tokenizer.encode(prompt + completion), tokenizer.eosTokenId]);
      const promptIds = tokenizer.encode(prompt);
      const parts = promptIds.findIndex((id, i) => id !== inputIds[i]);
      expect(report.straddling).toBe(parts < 0 ? 0 : 1);
      const first = Math.max(1, parts < 0 ? promptIds.length : parts);
      expect(labels).toEqual(inputIds.map((id, i) => (i < first ? _ : id)));
    });
  }
});

test("a token that goes over the seam is learnt and counted, where there is one", () => {
  const count = (prompt: string, completion: string, maskPrompt = true) =>
    tokenizeExamples([{ prompt, completion }], llama, { maxLength: 64, maskPrompt }).report.straddling;
  expect(count("ab ", "ab")).toBe(1);
  expect(count("ab", " ab")).toBe(0);
  expect(count("ab ", "ab", false)).toBe(0);
});

describe("rows that do not fit", () => {
  const rows = [
    { text: "abcabc" },
    { text: "" },
    { prompt: "abcabcabc", completion: "c" },
    { prompt: "c", completion: "c" },
  ];

  test("are cut by default; a row without labels is left out", () => {
    const { sequences, report } = tokenizeExamples(rows, gpt2, { maxLength: 4 });
    expect(sequences.map(({ inputIds }) => inputIds.length)).toEqual([4, 3]);
    expect(report).toMatchObject({
      rows: 4,
      truncated: 2,
      dropped: 0,
      droppedNoLabels: 1,
      droppedEmpty: 1,
      longest: 11,
      longestIsLeast: false,
    });
    expect(report.tokens).toBe(7);
    expect(report.labelTokens).toBe(3 + 2);
  });

  test("or left out", () => {
    const { sequences, report } = tokenizeExamples(rows, gpt2, { maxLength: 4, truncation: "drop" });
    expect(sequences).toHaveLength(1);
    expect(report).toMatchObject({ truncated: 0, dropped: 2, droppedNoLabels: 0, droppedEmpty: 1 });
  });

  test("it is an error if none is left", () => {
    expect(() => tokenizeExamples(rows.slice(1, 3), gpt2, { maxLength: 4 })).toThrow(/none of the 2 rows/);
    expect(() => tokenizeExamples(rows, gpt2, { maxLength: 1 })).toThrow(/maxLength/);
  });
});

test("of a text that is very much longer than is kept the start is read; the report says at least", () => {
  const text = "once upon a time ".repeat(6000);
  const { sequences, report } = tokenizeExamples([{ text }], llama, { maxLength: 12 });
  expect(sequences[0]?.inputIds).toEqual(llama.encode(text.slice(0, 300)).slice(0, 12));
  expect(report).toMatchObject({ truncated: 1, longest: 14, longestIsLeast: true });
  const short = tokenizeExamples([{ text: text.slice(0, 300) }], llama, { maxLength: 12 });
  expect(short.report.longestIsLeast).toBe(false);
  expect(short.report.longest).toBeGreaterThan(13);
});

describe("chats", () => {
  const source =
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{{ '</s>' if m.role == 'assistant' }}{% endfor %}" +
    "{{ 'a:' if add_generation_prompt }}{{ tools[0].a if tools }}";
  const model = { name: "m", chatTemplates: new Map([["default", { source, place: "chat.jinja" }]]) };
  const user = { role: "user", content: "b" };
  const assistant = { role: "assistant", content: "c" };
  const messages = [user, assistant, user, assistant];
  const tokenize = (
    rows: Parameters<typeof tokenizeExamples>[0],
    options: Partial<Parameters<typeof tokenizeExamples>[2]> = {},
    given: Parameters<typeof tokenizeExamples>[3] = model,
  ) => tokenizeExamples(rows, llama, { maxLength: 64, ...options }, given);
  const labelled = ({ labels }: { labels: readonly number[] }) =>
    llama.decode(
      labels.filter((label) => label !== _),
      { skipSpecialTokens: false },
    );

  test("are rendered and tokenised without further special tokens, beside rows of other kinds", () => {
    const { sequences, report } = tokenize([
      { messages },
      { text: "b" },
      { prompt: [user], completion: [assistant] },
    ]);
    expect(sequences[0]?.inputIds).toEqual(plain("u:ba:c</s>u:ba:c</s>"));
    expect(sequences.map(labelled)).toEqual([expect.stringContaining(":ba:c</s>"), "b</s>", "c</s>"]);
    expect(report).toMatchObject({ rows: 3, straddling: 0, openEnds: 0 });
  });

  test("the masks of the options", () => {
    const learnt = (options: Parameters<typeof tokenize>[1]) =>
      tokenize([{ messages }], options).sequences.map(labelled);
    expect(learnt({ assistantOnlyLoss: true })).toEqual(["c</s>c</s>"]);
    expect(learnt({ maskHistory: true })).toEqual(["c</s>"]);
  });

  test("the template is the model's, one of its names, or a given one", () => {
    const chatTemplates = new Map([...model.chatTemplates, ["tool_use", { source: "tools", place: "t" }]]);
    const text = (options: Parameters<typeof tokenize>[1], tools?: { a: string }[]) =>
      llama.decode(
        tokenize([{ messages: [user], ...(tools && { tools }) }], options, { ...model, chatTemplates })
          .sequences[0]!.inputIds,
      );
    expect(text({})).toBe("u:b");
    expect(text({}, [{ a: "x" }])).toBe("tools");
    expect(text({ chatTemplate: "default" }, [{ a: "x" }])).toBe("u:bx");
    expect(text({ chatTemplate: "{{ messages[0].role }}" })).toBe("user");
    expect(() => text({ chatTemplate: "none" })).toThrow('m: has no chat template "none"');
    expect(() => tokenize([{ messages }], {}, {})).toThrow(/^the model: has no chat template/);
  });

  test("what a template refuses is told by the row, all of them", () => {
    const chatTemplate =
      "{{ raise_exception('only ' ~ messages|length ~ ' messages') if messages|length < 4 }}a";
    const rows = [{ messages: [user] }, { messages }, { messages: [user, assistant] }];
    expect(() => tokenize(rows, { chatTemplate })).toThrow(
      /2 problems:\n.*row 1: chatTemplate: refuses these messages: only 1 messages\n[\s\S]*row 3: .*only 2 messages/,
    );
  });

  test("answers of rows that are no chats cannot be learnt", () => {
    expect(() => tokenize([{ messages }, { text: "a" }], { assistantOnlyLoss: true })).toThrow(
      /row 2 has no messages, of which the assistant's could be learnt\n {2}→ leave assistantOnlyLoss/,
    );
  });

  test("without a token that ends an answer, and without answers, they are counted", () => {
    const open = "{% for m in messages %}{{ m.content }}{% endfor %}";
    expect(tokenize([{ messages }], { chatTemplate: open }).report.openEnds).toBe(1);
    const rows = [{ messages }, { messages: [user] }];
    expect(tokenize(rows, { assistantOnlyLoss: true }).report).toMatchObject({
      droppedNoLabels: 1,
      openEnds: 0,
    });
  });

  test("a tokenizer without EOS will do: the template writes what ends a text", () => {
    const { sequences } = tokenizeExamples(
      [{ messages }],
      createTokenizer(LLAMA_JSON),
      { maxLength: 64 },
      model,
    );
    expect(sequences).toHaveLength(1);
  });
});
