import { describe, expect, test } from "vitest";
import { readExamples } from "../../../src/data/rows/examples.ts";
import { JsonRows } from "../../../src/data/rows/json-lines.ts";

function messageOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return (error as Error).message;
  }
  return "no error";
}

const read = (...values: unknown[]) =>
  readExamples(values.map((value) => JSON.stringify(value)).join("\n"), "d.jsonl");

test("parses lines, skips blank ones, accepts a byte-order mark, CRLF and no last newline", () => {
  const examples = readExamples('\uFEFF{"text":"a"}\r\n\r\n   \n{"text":"b\\n🙂"}', "d.jsonl");
  expect(examples).toEqual([{ text: "a" }, { text: "b\n🙂" }]);
});

test("reports every bad line at once, broken JSON and wrong keys together, with file and line", () => {
  const message = messageOf(() => readExamples('{"text":1}\n{bad\n\n{"a":1}\n', "d.jsonl"));
  expect(message).toContain("3 problems");
  expect(message).toMatch(/d\.jsonl:1: "text" is 1, wanted.*\n.*d\.jsonl:2: .+\n.*d\.jsonl:4: has keys "a"/s);
});

test.each(['{"text":\n"a"}\0', '[{"text":"a"}]\0', '{"text":\n"a"}\0{"text":"b"}'])(
  "a control character between rows is no blank: %j",
  (text) => {
    expect(messageOf(() => readExamples(text, "d.json"))).toMatch(/^d\.json/);
  },
);

test("rows of no named file are called so", () => {
  expect(messageOf(() => readExamples('{"text":1}'))).toContain('the rows:1: "text" is 1');
});

test("of a million bad rows the first are named and the others counted", () => {
  const message = messageOf(() => readExamples("{no json\n".repeat(5000), "d.jsonl"));
  expect(message).toContain("d.jsonl:20:");
  expect(message).not.toContain("d.jsonl:21:");
  expect(message).toContain("and 4980 more");
});

test("a file of another kind is named in one sentence", () => {
  expect(messageOf(() => readExamples("\nno json\n".repeat(5000), "d.txt"))).toMatch(
    /^d\.txt: is no JSON: no line begins with \{, the first is "no json"\n {2}→ .*plain text \.txt/,
  );
  expect(messageOf(() => readExamples("text,label\na,b\n", "d.jsonl"))).toContain(
    "name a table of cells .csv",
  );
});

describe("JSON that is not one object a line", () => {
  const objects = [{ text: "a,]}\\" }, { text: 'b"[{' }, { text: "c", more: [{ a: [1, {}] }] }];
  const texts = ["a,]}\\", 'b"[{', "c"].map((text) => ({ text }));

  test("one list, and objects over several lines, are read", () => {
    const spread = objects.map((object) => JSON.stringify(object, null, 2));
    for (const json of [
      JSON.stringify(objects, null, 2),
      JSON.stringify(objects),
      `\uFEFF\r\n [\r\n${spread.join("\r,\r")}]\n\n`,
      spread.join("\n"),
      spread.join(""),
    ]) {
      expect(readExamples(json, "d.json"), json).toEqual(texts);
    }
  });

  test("it may come in any pieces", () => {
    for (const json of [
      JSON.stringify(objects, null, 1),
      objects.map((o) => JSON.stringify(o, null, 1)).join("\n"),
    ]) {
      for (let size = 1; size < 40; size++) {
        const parser = new JsonRows("d.json");
        const pieces = json.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
        const rows = [...pieces.flatMap((piece) => [...parser.push(piece)]), ...parser.end()];
        expect(
          rows.map(({ values }) => values),
          json,
        ).toEqual(objects);
      }
    }
  });

  test("bad rows are named by the lines on which they begin", () => {
    const message = messageOf(() =>
      readExamples('[\n{"text":"a"},\n\n{"text":\n1},,\n"b",{"text":"c"} {},{bad},\n]', "d.json"),
    );
    expect(message).toContain("6 problems");
    expect(message).toMatch(
      /d\.json:4: "text" is 1.*\n.*d\.json:5: is empty: there is a comma too many\n.*d\.json:6: is a string.*\n.*d\.json:6: .*\n.*d\.json:6: .*\n.*d\.json:7: is empty/,
    );
  });

  test.each([
    ['[{"text":"a"},{"text":"b', /d\.json:1: the JSON list does not end: the file is cut off/],
    ['[{"text":"a"}', /the JSON list does not end/],
    ['[{"text":"a"}]\n[{"text":"b"}]', /d\.json:2: goes on behind the end of its JSON list/],
    ['{\n"text":"a"\n}\n{\n"text":', /d\.json:4: the JSON object does not end/],
    ["[]", /d\.json: has no rows/],
    ["", /d\.json: has no rows/],
    [`[${"[".repeat(1000)}${"]".repeat(1000)}]`, /nested deeper than 500/],
  ])("%s is refused", (json, message) => {
    expect(messageOf(() => readExamples(json, "d.json"))).toMatch(message);
  });
});

test("line ends are \\n, \\r\\n and \\r, mixed, and nothing else; numbers count all of them", () => {
  const text = '{"text":"a\u2028b\u0085"}\r{"text":"c"}\r\n\n{"text":"d"}\n{"text":"e"}';
  expect(readExamples(text, "d.jsonl").map((example) => "text" in example && example.text)).toEqual([
    ...["a\u2028b\u0085", "c", "d", "e"],
  ]);
  expect(messageOf(() => readExamples('{"text":"a"}\r\r\n\n{"text":2}', "d.jsonl"))).toContain("d.jsonl:4:");
});

test("blanks are those of JSON: no others stand beside an object, or on a line of their own", () => {
  expect(readExamples('\t{"text":"a"} \r\n \t\n', "d.jsonl")).toEqual([{ text: "a" }]);
  for (const blank of ["\uFEFF", "\u00a0", "\u2028", "\v"]) {
    expect(messageOf(() => readExamples(`{"text":"a"}\n{"text":"b"}${blank}\n`, "d.jsonl"))).toContain(
      "d.jsonl:2:",
    );
    expect(messageOf(() => readExamples(`{"text":"a"}\n${blank}\n`, "d.jsonl"))).toContain("d.jsonl:2:");
  }
});

test("lines come one by one, too", () => {
  const lines = ['\uFEFF{"text":"a"}\n', "\n", '{"text":"b"}'];
  expect(readExamples(lines, "d.jsonl")).toEqual([{ text: "a" }, { text: "b" }]);
});

test("a key that is there twice, and half of a surrogate pair, are refused", () => {
  expect(messageOf(() => readExamples('{"text":"a","text":"b"}', "d.jsonl"))).toContain(
    'd.jsonl:1: the key "text" is there twice',
  );
  expect(messageOf(() => readExamples('{"text":"a","meta":{"x":1,"\\u0078":2}}', "d.jsonl"))).toContain(
    '"meta.x" is there twice',
  );
  expect(messageOf(() => readExamples('{"text":"a\\ud83d"}', "d.jsonl"))).toContain(
    "half of a surrogate pair",
  );
  expect(readExamples('{"text":"\\ud83d\\ude42"}', "d.jsonl")).toEqual([{ text: "🙂" }]);
});

test("keys that every object has by inheritance are no fields", () => {
  const row = '{"__proto__":{"text":"a"},"constructor":1}';
  expect(messageOf(() => readExamples(row, "d.jsonl"))).toContain('has keys "__proto__", "constructor"');
});

test("reads both kinds, mixed, and ignores other keys", () => {
  expect(read({ text: "a", id: 1 }, { prompt: "p", completion: "" })).toEqual([
    { text: "a" },
    { prompt: "p", completion: "" },
  ]);
});

test("says for every bad row what it has, what is wanted, and the likely typo", () => {
  const bad = [
    { promt: "a", completion: "b" },
    { text: 3 },
    7,
    {},
    { prompt: 5, completion: "b" },
    { text: "ok" },
  ];
  const message = messageOf(() => read(...bad));
  expect(message).toContain("5 problems");
  expect(message).toContain(
    'd.jsonl:1: has keys "promt", "completion", wanted "text", "prompt" and "completion", or "messages" (or ShareGPT\'s "conversations", Alpaca\'s "instruction" and "output", or tokens as "input_ids"); did you mean "prompt" for "promt"?',
  );
  expect(message).toContain('d.jsonl:2: "text" is 3, wanted a string');
  expect(message).toContain("d.jsonl:3: is a number, wanted a JSON object");
  expect(message).toContain("d.jsonl:4: has no keys");
  expect(message).toContain('d.jsonl:5: "prompt" is 5, wanted a string');
  expect(message).not.toContain("d.jsonl:6");
  expect(messageOf(() => read({ text: "a", prompt: "p", completion: "c" }))).toContain("one kind, not both");
  expect(messageOf(() => read())).toContain("has no rows");
});

const user = { role: "user", content: "a" };
const assistant = { role: "assistant", content: "b" };

test("reads chats, whole or as prompt and completion, with what comes with them", () => {
  const tools = [{ type: "function", function: { name: "f" } }];
  expect(
    read(
      { messages: [user, assistant], id: 1, prompt: "of another column" },
      { prompt: [user], completion: [assistant], tools: null },
      {
        messages: [user],
        tools,
        documents: [{ text: "c" }],
        chat_template_kwargs: { enable_thinking: false },
      },
      { messages: [user], tools: JSON.stringify(tools), chat_template_kwargs: "null" },
    ),
  ).toEqual([
    { messages: [user, assistant] },
    { prompt: [user], completion: [assistant] },
    { messages: [user], tools, documents: [{ text: "c" }], chat_template_kwargs: { enable_thinking: false } },
    { messages: [user], tools },
  ]);
});

test.each([
  [{ messages: [] }, '"messages" has no messages'],
  [{ messages: [{ role: "user" }] }, '"messages"[0] (user) has no content'],
  [{ messages: [{ from: "human", value: "a" }] }, "from and value are ShareGPT's names"],
  [
    { messages: [user], text: "a" },
    'has keys "messages", "text", wanted "text", "prompt" and "completion", or "messages" (or ShareGPT\'s "conversations", Alpaca\'s "instruction" and "output", or tokens as "input_ids") (one kind, not both)',
  ],
  [{ message: [user] }, 'did you mean "messages" for "message"?'],
  [{ prompt: [user], completion: "b" }, '"completion" is "b", wanted a list of messages'],
  [{ prompt: "a", completion: [assistant] }, '"prompt" is "a", wanted a list of messages'],
  [{ messages: [user], tools: {} }, '"tools" is {}, wanted a list of objects'],
  [{ messages: [user], tools: "[" }, '"tools" is "[", wanted a list of objects'],
  [{ messages: [user], documents: ["a"] }, '"documents" is ["a"], wanted a list of objects'],
  [{ messages: [user], chat_template_kwargs: 5 }, '"chat_template_kwargs" is 5, wanted an object'],
])("%j is refused", (row, message) => {
  expect(messageOf(() => read(row))).toContain(message);
});
