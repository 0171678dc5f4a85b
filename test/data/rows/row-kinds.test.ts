import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readTable } from "../../../src/cli/data-files.ts";
import { checkExamples, type Example, exampleReader, readExamples } from "../../../src/data/rows/examples.ts";
import { sharedPath } from "../../support/fixtures.ts";

const read = (...rows: object[]) => readExamples(JSON.stringify(rows), "d.json");
const turn = (from: string, value: unknown) => ({ from, value });

describe("ShareGPT", () => {
  test("becomes messages, with its roles, system text, tools and calls", () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    const call = { name: "f", arguments: { a: 1 } };
    expect(
      read({
        conversations: [
          turn("human", "a"),
          turn("function_call", JSON.stringify(call)),
          turn("observation", "1"),
          turn("gpt", "b"),
        ],
        system: "s",
        tools: JSON.stringify(tools),
        id: 7,
      }),
    ).toEqual([
      {
        messages: [
          { role: "system", content: "s" },
          { role: "user", content: "a" },
          { role: "assistant", content: "", tool_calls: [{ type: "function", function: call }] },
          { role: "tool", content: "1" },
          { role: "assistant", content: "b" },
        ],
        tools,
      },
    ]);
  });

  test("may have messages of OpenAI's form, weights, and columns without a value", () => {
    const messages = [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
    ];
    const weighted = [turn("system", "s"), turn("user", "a"), { ...turn("assistant", "b"), weight: 0 }];
    expect(
      read({ conversations: messages, system: "", tools: "" }, { conversations: weighted, system: null }),
    ).toEqual([
      { messages },
      { messages: [{ role: "system", content: "s" }, messages[0], { ...messages[1], train: false }] },
    ]);
  });

  test.each([
    [{ conversations: "a" }, '"conversations" is "a", wanted a list'],
    [{ conversations: [] }, '"messages" has no messages'],
    [
      { conversations: [turn("narrator", "a")] },
      '"conversations"[0] is from "narrator", wanted one of human',
    ],
    [
      { conversations: [turn("human", "a"), turn("gpt", 3)] },
      '"conversations"[1] has value 3, wanted a text',
    ],
    [{ conversations: [turn("function_call", "f()")] }, '(function_call) is "f()", wanted JSON'],
    [{ conversations: [turn("function_call", "[]")] }, '(function_call) is "[]", wanted {"name"'],
    [{ conversations: [turn("constructor", "a")] }, 'is from "constructor"'],
  ])("%j is refused", (row, message) => {
    expect(() => read(row)).toThrow(message);
  });
});

describe("Alpaca", () => {
  test("becomes its own prompt, with an input and without", () => {
    expect(
      read(
        { instruction: "Add.", input: "1 2", output: "3" },
        { instruction: "Sing.", input: "", output: "La" },
      ),
    ).toEqual([
      {
        prompt:
          "Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n",
        completion: "3",
      },
      {
        prompt:
          "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\nSing.\n\n### Response:\n",
        completion: "La",
      },
    ]);
  });

  test("with a system text or a history is a chat", () => {
    const row = { instruction: "c", input: "d", output: "e", system: "s", history: [["a", "b"]] };
    expect(read(row)).toEqual([
      {
        messages: [
          { role: "system", content: "s" },
          { role: "user", content: "a" },
          { role: "assistant", content: "b" },
          { role: "user", content: "c\nd" },
          { role: "assistant", content: "e" },
        ],
      },
    ]);
  });

  test.each([
    [{ instruction: 1, output: "a" }, '"instruction" is 1, wanted a string'],
    [{ instruction: "a", output: null }, '"output" is null, wanted a string'],
    [{ instruction: "a", input: 5, output: "b" }, '"input" is 5, wanted a string'],
    [{ instruction: "a", output: "b", history: [["a"]] }, '"history" is [["a"]], wanted a list of pairs'],
  ])("%j is refused", (row, message) => {
    expect(() => read(row)).toThrow(message);
  });
});

test("preference rows are known for what they are, and refused", () => {
  const preferred = { prompt: "a", chosen: "b", rejected: "c" };
  expect(() => read(preferred)).toThrow("is a preference row (chosen, rejected), by which causal-lm cannot");
  expect(() => read({ prompt: "a", completion: "b", label: false })).toThrow(
    "is a preference row (an answer with a label",
  );
  expect(() => read({ conversations: [turn("human", "a"), turn("gpt", "b")], label: true })).toThrow(
    "an answer with",
  );
  expect(() => read({ messages: [{ role: "user", content: "a" }], chosen: "b", rejected: "c" })).toThrow(
    "(chosen,",
  );
  expect(read({ prompt: "a", completion: "b", label: 3 })).toEqual([{ prompt: "a", completion: "b" }]);
});

test("the library takes such rows, too", () => {
  const rows = [{ conversations: [turn("human", "a"), turn("gpt", "b")] }] as unknown as Example[];
  expect(checkExamples("here", rows)[0]).toHaveProperty("messages");
});

test("the kinds of a file's rows are told", () => {
  const reader = exampleReader();
  for (const row of [{ text: "a" }, { text: "b" }, { instruction: "a", output: "b" }, { text: 1 }])
    reader.read(row);
  expect(reader.notes?.()).toEqual(["  rows of text: 2, Alpaca: 1"]);
});

const DATASETS: [file: string, rows: number, notes: string][] = [
  ["axolotl_fixtures/alpaca.json", 2, "  rows of Alpaca: 2"],
  ["axolotl_fixtures/conversation.json", 1, "  rows of ShareGPT: 1"],
  ["axolotl_fixtures/conversation.missingturns.json", 1, "  rows of ShareGPT: 1"],
  ["llamafactory/alpaca_en_demo.json", 999, "  rows of Alpaca: 999"],
  ["llamafactory/identity.json", 91, "  rows of Alpaca: 91"],
  ["wikisql_mlx/train.jsonl", 1000, "  rows of text: 1000"],
];
test.runIf(existsSync(sharedPath("datasets") ?? ""))("published data sets are read as they are", async () => {
  for (const [file, rows, notes] of DATASETS) {
    const read = await readTable(sharedPath(`datasets/${file}`) as string, exampleReader());
    expect([file, read.rows.length, read.notes]).toEqual([file, rows, [notes]]);
  }
  await expect(
    readTable(sharedPath("datasets/llamafactory/dpo_en_demo.json") as string, exampleReader()),
  ).rejects.toThrow(/300 problems:\n.*dpo_en_demo\.json:2: is a preference row/);
});
