import { describe, expect, test } from "vitest";
import { leavesFolder, memoryFiles, readJson, readText } from "../../../src/io/files/files.ts";
import { duplicateKeys } from "../../../src/io/json/duplicate-keys.ts";
import { jsonErrorOffset } from "../../../src/io/json/json-error.ts";
import { errorOf, filesOf, utf8 } from "../helpers.ts";

describe("memoryFiles", () => {
  const files = memoryFiles("upload", new Map([["a.txt", utf8("hello")]]));

  test("sizes, reads and lists", async () => {
    expect(await files.size("a.txt")).toBe(5);
    expect(await files.size("b.txt")).toBeUndefined();
    expect(await files.read("a.txt", 1, 3)).toEqual(utf8("el"));
    expect(await files.list!()).toEqual(["a.txt"]);
  });

  test.each([
    [-1, 2],
    [3, 2],
    [0, 6],
    [0.5, 2],
  ])("refuses the range [%s, %s)", async (start, end) => {
    const { message } = await errorOf(() => files.read("a.txt", start, end));
    expect(message).toContain(`upload/a.txt: cannot read bytes [${start}, ${end}) of a file of 5 bytes`);
  });
});

test("readText says which file of which folder is missing or no text", async () => {
  const files = filesOf({ bad: Uint8Array.of(0x61, 0x0a, 0xe9, 0x0a), bom: "\uFEFFa" });
  expect((await errorOf(() => readText(files, "none"))).message).toContain("memory/none: no such file");
  expect((await errorOf(() => readText(files, "bad"))).message).toContain("memory/bad:2: is not UTF-8");
  expect(await readText(files, "bom")).toBe("a");
});

test("readJson gives line and column of the mistake", async () => {
  const files = filesOf({ good: { a: 1 }, bad: '{\n  "a": NaN,\n  "b": Nan\n}', empty: "" });
  expect(await readJson(files, "good")).toEqual({ a: 1 });
  expect((await errorOf(() => readJson(files, "bad"))).message).toMatch(
    /^memory\/bad: invalid JSON.*line 3 column 8/,
  );
  expect((await errorOf(() => readJson(files, "empty"))).message).toContain("line 1 column 1");
});

test("a key that is there twice is refused with its path and place", async () => {
  const files = filesOf({ "config.json": '{\n  "a": {"b": 1,\n    "b": 2},\n  "c": 1, "c": 1\n}' });
  expect((await errorOf(() => readJson(files, "config.json"))).message).toMatch(
    /^memory\/config\.json: 2 problems:\n.*"a\.b" occurs twice, again at line 3 column 5\n.*"c" occurs .* line 4/,
  );
});

test("NaN and the infinities are numbers where Python reads a file, and no JSON where Rust does", async () => {
  const text = '{"a": [NaN, -Infinity, "NaN, \\" Infinity"], "b": {"c": Infinity}}';
  const files = filesOf({ "config.json": text, "tokenizer.json": text });
  expect(await readJson(files, "config.json")).toEqual({
    a: [Number.NaN, -Infinity, 'NaN, " Infinity'],
    b: { c: Infinity },
  });
  expect((await errorOf(() => readJson(files, "tokenizer.json"))).message).toContain(
    "invalid JSON at line 1",
  );
});

test.each([
  ["model.safetensors", false],
  ["sub/model.safetensors", false],
  ["a..b", false],
  ["../x", true],
  ["a/../../x", true],
  ["/etc/passwd", true],
  ["C:\\x", true],
  ["a\\..\\x", true],
  ["a//b", true],
  ["./a", true],
  ["", true],
])("leavesFolder(%j) is %j", (name, expected) => {
  expect(leavesFolder(name)).toBe(expected);
});

test.each([
  ['{"a":1,"b":2}', []],
  ['{"a":1,"a":2}', ["a"]],
  ['{"a":1,"\\u0061":2}', ["a"]],
  ['{"a":{"x":1,"x":2},"b":{"x":1}}', ["a.x"]],
  ['{"a":["x","x",{"y":1,"y":2}]}', ["a.y"]],
  ['{"a\\"":1,"a\\\\":2,"a\\"":3}', ['a"']],
  ['{"":1,"":2}', [""]],
  ['{"a":"{\\"a\\":1,\\"a\\":2}"}', []],
  ['{ "a" : "a" , "b" : "a", "a" : [ ] }', ["a"]],
  ['{"__proto__":1,"__proto__":1}', ["__proto__"]],
  ['{"a\\\\":"\\\\\\"","b":{"c":[{"d":1},{"d":1,"d":2}]}}', ["b.c.d"]],
])("duplicateKeys(%s)", (text, expected) => {
  JSON.parse(text);
  expect([...duplicateKeys(text)].map(({ path }) => path)).toEqual(expected);
});

test.each([
  ["", 0],
  ["  x", 2],
  ['{"a":1,}', 7],
  ["[1,]", 3],
  ["[1 2]", 3],
  ['{"a" 1}', 5],
  ["{1:2}", 1],
  ["[1}", 2],
  ["{}{}", 2],
  ["[1", 2],
  ["[01]", 2],
  ['["\n"]', 1],
  ['["\\x"]', 1],
  ["[tru]", 1],
  ["}", 0],
  ['{"a":{"b":[1,{}]},"c":nul}', 22],
])("jsonErrorOffset(%j) is %i", (text, offset) => {
  expect(() => JSON.parse(text)).toThrow();
  expect(jsonErrorOffset(text)).toBe(offset);
});
