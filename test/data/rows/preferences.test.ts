import { describe, expect, test } from "vitest";
import {
  preferenceReader,
  readPreference,
  readPreferences,
  unpaired,
} from "../../../src/data/rows/preferences.ts";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const turn = (from: string, value: string) => ({ from, value });
const tools = [{ type: "function", function: { name: "f" } }];

describe("pairs are read", () => {
  const cases: [what: string, row: object, read: object][] = [
    [
      "TRL's",
      { prompt: "a", chosen: "b", rejected: "c", score: 3 },
      { prompt: "a", chosen: "b", rejected: "c" },
    ],
    [
      "TRL's, of chats, with tools as JSON",
      {
        prompt: [user("a")],
        chosen: [assistant("b")],
        rejected: [assistant("c")],
        tools: JSON.stringify(tools),
      },
      { prompt: [user("a")], chosen: [assistant("b")], rejected: [assistant("c")], tools },
    ],
    [
      "without a prompt",
      { chosen: "Q: x A: yes", rejected: "Q: x A: no" },
      { prompt: "Q: x A:", chosen: " yes", rejected: " no" },
    ],
    [
      "that begin otherwise",
      { chosen: "yes", rejected: "no" },
      { prompt: "", chosen: "yes", rejected: "no" },
    ],
    [
      "whose first characters share a half",
      { chosen: "🙂", rejected: "🙃" },
      { prompt: "", chosen: "🙂", rejected: "🙃" },
    ],
    [
      "chats without a prompt, whatever the order of keys",
      { chosen: [user("a"), assistant("b")], rejected: [{ content: "a", role: "user" }, assistant("c")] },
      { prompt: [user("a")], chosen: [assistant("b")], rejected: [assistant("c")] },
    ],
    [
      "UltraFeedback's, whose prompt stands in the chats, too",
      { prompt: "a", chosen: [user("a"), assistant("b")], rejected: [user("a"), assistant("c")] },
      { prompt: [user("a")], chosen: [assistant("b")], rejected: [assistant("c")] },
    ],
    [
      "a text and answers that are messages",
      { prompt: "a", chosen: [assistant("b")], rejected: assistant("c") },
      { prompt: [user("a")], chosen: [assistant("b")], rejected: [assistant("c")] },
    ],
    [
      "LLaMA-Factory's",
      {
        conversations: [turn("system", "s"), turn("human", "a")],
        chosen: turn("gpt", "b"),
        rejected: turn("gpt", "c"),
      },
      {
        prompt: [{ role: "system", content: "s" }, user("a")],
        chosen: [assistant("b")],
        rejected: [assistant("c")],
      },
    ],
    [
      "a chat that texts go on",
      { messages: [user("a")], chosen: "b", rejected: "c" },
      { prompt: [user("a")], chosen: [assistant("b")], rejected: [assistant("c")] },
    ],
    [
      "Alpaca's with a system text",
      { instruction: "a", input: "i", system: "s", chosen: "b", rejected: "c" },
      {
        prompt: [{ role: "system", content: "s" }, user("a\ni")],
        chosen: [assistant("b")],
        rejected: [assistant("c")],
      },
    ],
  ];
  test.each(cases)("%s", (_, row, read) => {
    expect(readPreference(row as never)).toEqual(read);
  });

  test("Alpaca's, behind its prompt", () => {
    expect(readPreference({ instruction: "Add.", input: "", chosen: "3", rejected: "4" })).toEqual({
      prompt: expect.stringMatching(/### Instruction:\nAdd\.\n\n### Response:\n$/),
      chosen: "3",
      rejected: "4",
    });
  });
});

describe("answers that were judged are read", () => {
  const cases: [what: string, row: object, read: object][] = [
    ["TRL's", { prompt: "a", completion: "b", label: true }, { prompt: "a", completion: "b", label: true }],
    [
      "of cells",
      { prompt: "a", completion: "b", label: "False" },
      { prompt: "a", completion: "b", label: false },
    ],
    ["of numbers", { prompt: "a", completion: "b", label: 1 }, { prompt: "a", completion: "b", label: true }],
    [
      "chats",
      { prompt: [user("a")], completion: [assistant("b")], label: false },
      { prompt: [user("a")], completion: [assistant("b")], label: false },
    ],
    [
      "LLaMA-Factory's, by their last message",
      { conversations: [turn("human", "a"), turn("gpt", "b")], label: true },
      { prompt: [user("a")], completion: [assistant("b")], label: true },
    ],
    [
      "whole chats",
      { messages: [user("a"), assistant("b")], label: true },
      { prompt: [user("a")], completion: [assistant("b")], label: true },
    ],
  ];
  test.each(cases)("%s", (_, row, read) => {
    expect(readPreference(row as never)).toEqual(read);
  });
});

test.each([
  [{ prompt: "a", chosen: "b" }, 'has no "rejected", but "prompt", "chosen"'],
  [{ prompt: "a", chosen: 3, rejected: "b" }, '"chosen" is 3, wanted a text or a list of messages'],
  [{ prompt: 3, chosen: "a", rejected: "b" }, '"prompt" is 3, wanted a string'],
  [
    { prompt: "a", chosen: "b", rejected: [assistant("c")] },
    '"chosen" is a text, and "rejected" a list of messages',
  ],
  [{ prompt: [], chosen: "b", rejected: "c" }, '"prompt" has no messages'],
  [{ chosen: [user("a")], rejected: [user("b")] }, "begin with different messages"],
  [{ chosen: "", rejected: "b" }, "an answer that is empty"],
  [{ prompt: "a", chosen: "\ud83d", rejected: "b" }, "half of a surrogate pair"],
  [{ prompt: [user("a")], chosen: [{ content: "b" }], rejected: "c" }, '"chosen"[0]'],
  [
    { conversations: [turn("human", "a")], chosen: turn("bird", "b"), rejected: turn("gpt", "c") },
    'is from "bird"',
  ],
  [{ prompt: "a", completion: "b", label: "good" }, '"label" is "good", wanted true or false'],
  [{ prompt: "a", completion: "b", label: null }, '"label" is null, wanted true or false'],
  [{ messages: [user("a")], label: true }, "does not end with an answer of the assistant"],
  [{ label: true, text: "a" }, 'has "label", "text", wanted "prompt", "chosen" and "rejected"'],
  [{ text: "a" }, 'has "text", wanted'],
])("%j is refused", (row, problem) => {
  expect(readPreference(row as never)).toContain(problem);
});

test("a text of JSON is read, and every bad row told", () => {
  const pair = { prompt: "a", chosen: "b", rejected: "c" };
  expect(readPreferences(JSON.stringify([pair]))).toEqual([pair]);
  expect(() => readPreferences(`${JSON.stringify(pair)}\n{"prompt": 1, "chosen": "a"}`, "p.jsonl")).toThrow(
    /p\.jsonl:2: "prompt" is 1/,
  );
});

test("the kinds of a file's rows are told", () => {
  const reader = preferenceReader();
  const pair = { prompt: "a", chosen: "b", rejected: "c" };
  for (const row of [pair, pair, { prompt: "a", completion: "b", label: true }, { text: "a" }])
    reader.read(row);
  expect(reader.notes?.()).toEqual(["  rows of paired preferences: 2, unpaired preferences: 1"]);
});

test("a pair is two judged answers", () => {
  const pair = { prompt: [user("a")], chosen: [assistant("b")], rejected: [assistant("c")], tools };
  expect(unpaired(pair)).toEqual([
    { prompt: pair.prompt, completion: pair.chosen, label: true, tools },
    { prompt: pair.prompt, completion: pair.rejected, label: false, tools },
  ]);
});
