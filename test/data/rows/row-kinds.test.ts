import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { type ReadSettings, readTable } from "../../../src/cli/data-files.ts";
import { checkExamples, type Example, exampleReader, readExamples } from "../../../src/data/rows/examples.ts";
import { labelledTextReader } from "../../../src/data/rows/labelled.ts";
import { preferenceReader } from "../../../src/data/rows/preferences.ts";
import type { RowReader } from "../../../src/data/rows/rows.ts";
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

/** How a published file is read: how many rows of which kind; or why it is refused. */
interface Published {
  readonly reader?: () => RowReader<object>;
  readonly settings?: Partial<ReadSettings>;
  readonly rows?: number;
  readonly kind?: string;
  readonly refused?: RegExp;
  /** A small one of the same form, which is read where the published one is not there. */
  readonly like: string | Uint8Array;
}

const spread = (value: unknown) => JSON.stringify(value, null, 2);
const ALPACA_ROW = { instruction: "Add.", input: "1 2", output: "3" };
const CHAT_ROW = { conversations: [turn("human", "a"), turn("gpt", "b")] };
const TOKENS_ROW = { input_ids: [1, 2, 3], attention_mask: [1, 1, 1], labels: [-100, 2, 3] };
const SST2: Published = {
  reader: labelledTextReader,
  settings: { header: false, columns: { text: "0", label: "1" } },
  like: "good fun\t1\nno fun\t0\n",
};
const WIKISQL = { kind: "text", like: '{"text": "table: a\\nQ: b\\nA: SELECT c"}\n' };
const idx = (...bytes: number[]) => gzipSync(new Uint8Array([0, 0, 8, ...bytes]));
const IDX = /is an array in IDX, as MNIST comes in\n.*folder for each class/;

const PUBLISHED: Readonly<Record<string, Published>> = {
  "axolotl_fixtures/alpaca.json": {
    rows: 2,
    kind: "Alpaca",
    like: spread([ALPACA_ROW, ALPACA_ROW]),
  },
  "axolotl_fixtures/conversation.json": { kind: "ShareGPT", like: spread(CHAT_ROW) },
  "axolotl_fixtures/conversation.missingturns.json": { kind: "ShareGPT", like: spread(CHAT_ROW) },
  "axolotl_fixtures/conversation.tokenized.json": {
    kind: "tokens",
    like: JSON.stringify(TOKENS_ROW),
  },
  "axolotl_fixtures/conversation.tokenized_llama2chat.json": {
    kind: "tokens",
    like: JSON.stringify(TOKENS_ROW),
  },
  "llamafactory/alpaca_en_demo.json": { rows: 999, kind: "Alpaca", like: spread([ALPACA_ROW]) },
  "llamafactory/dpo_en_demo.json": {
    reader: preferenceReader,
    rows: 300,
    kind: "paired preferences",
    like: spread([
      { conversations: [turn("human", "a")], chosen: turn("gpt", "b"), rejected: turn("gpt", "c") },
    ]),
  },
  "llamafactory/identity.json": { rows: 91, kind: "Alpaca", like: spread([ALPACA_ROW]) },
  "mnist/t10k-images-idx3-ubyte.gz": { refused: IDX, like: idx(3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7) },
  "mnist/t10k-labels-idx1-ubyte.gz": { refused: IDX, like: idx(1, 0, 0, 0, 2, 7, 2) },
  "sst2/dev.tsv": { ...SST2, rows: 872 },
  "sst2/test.tsv": { ...SST2, rows: 1821 },
  "sst2/train.tsv": { ...SST2, rows: 6920 },
  "tinyshakespeare/input.txt": { rows: 17, kind: "text", like: "First Citizen:\nSpeak.\n" },
  "wikisql_mlx/test.jsonl": { ...WIKISQL, rows: 100 },
  "wikisql_mlx/train.jsonl": { ...WIKISQL, rows: 1000 },
  "wikisql_mlx/valid.jsonl": { ...WIKISQL, rows: 100 },
};

const AS_IT_IS: ReadSettings = { columns: {}, on_bad_row: "error", header: true };
async function load(path: string, { reader = exampleReader, settings }: Published) {
  return readTable(path, reader(), { ...AS_IT_IS, ...settings });
}

const published = sharedPath("datasets");
test.runIf(published !== undefined)("all published data sets are read as they are", async () => {
  const there = readdirSync(published as string, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== "LICENSE")
    .map(({ parentPath, name }) => relative(published as string, join(parentPath, name)));
  expect(there.sort()).toEqual(Object.keys(PUBLISHED).sort());
  for (const [name, wanted] of Object.entries(PUBLISHED)) {
    const loading = load(join(published as string, name), wanted);
    if (wanted.refused) await expect(loading, name).rejects.toThrow(wanted.refused);
    else {
      const { rows, notes } = await loading;
      const { kind, rows: length = 1 } = wanted;
      expect([name, rows.length, notes]).toEqual([
        name,
        length,
        kind ? [`  rows of ${kind}: ${length}`] : [],
      ]);
    }
  }
});

test.each(Object.entries(PUBLISHED))("a file like %s is read as it is", async (name, wanted) => {
  const folder = mkdtempSync(join(tmpdir(), "published-"));
  const path = join(folder, basename(name));
  writeFileSync(path, wanted.like);
  try {
    if (wanted.refused) await expect(load(path, wanted)).rejects.toThrow(wanted.refused);
    else expect((await load(path, wanted)).rows).not.toEqual([]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a file of preferences is refused row by row by what learns from one answer", async () => {
  const dpo = sharedPath("datasets/llamafactory/dpo_en_demo.json");
  if (dpo === undefined) return;
  await expect(readTable(dpo, exampleReader())).rejects.toThrow(
    /300 problems:\n.*dpo_en_demo\.json:2: is a preference row/,
  );
});
