import { expect, test } from "vitest";
import { readExamples } from "../../src/data/jsonl.ts";

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
  expect(message).toMatch(/d\.jsonl:1: "text" is a number.*\n.*d\.jsonl:2: .+\n.*d\.jsonl:4: has keys "a"/s);
});

test("a huge file of another kind gives a message one can read", () => {
  const message = messageOf(() => readExamples("no json\n".repeat(5000), "d.txt"));
  expect(message).toContain("d.txt:100:");
  expect(message).not.toContain("d.txt:101:");
  expect(message).toContain("and 4900 more lines");
});

test("a JSON array is recognised", () => {
  const array = JSON.stringify([{ text: "a" }, { text: "b" }], null, 2);
  expect(messageOf(() => readExamples(array, "d.json"))).toContain("is one JSON array");
  expect(messageOf(() => readExamples('[{"text":"a"}]', "d.json"))).toContain("is one JSON array");
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
    { prompt: ["a"], completion: "b" },
    { text: "ok" },
  ];
  const message = messageOf(() => read(...bad));
  expect(message).toContain("5 problems");
  expect(message).toContain(
    'd.jsonl:1: has keys "promt", "completion", wanted "text", or "prompt" and "completion"; did you mean "prompt" for "promt"?',
  );
  expect(message).toContain('d.jsonl:2: "text" is a number, wanted a string');
  expect(message).toContain("d.jsonl:3: is a number, wanted an object");
  expect(message).toContain("d.jsonl:4: has no keys");
  expect(message).toContain('d.jsonl:5: "prompt" is a list, wanted a string');
  expect(message).not.toContain("d.jsonl:6");
  expect(messageOf(() => read({ text: "a", prompt: "p", completion: "c" }))).toContain("one kind, not both");
  expect(messageOf(() => read())).toContain("has no rows");
});
