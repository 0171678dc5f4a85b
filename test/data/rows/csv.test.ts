import { describe, expect, test } from "vitest";
import { csvRecords, csvRows } from "../../../src/data/rows/csv.ts";
import { splitLines } from "../../../src/util/lines.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";

const rows = (text: string, delimiter: "," | "\t" = ",") => [
  ...csvRows(splitLines(text), "d.csv", delimiter),
];
const valuesOf = (text: string, delimiter?: "," | "\t") => rows(text, delimiter).map(({ values }) => values);

// Oracle: Python's csv module (test/fixtures/make_csv.py).
test("cells are those of Python's csv module", () => {
  const golden = readJsonFile<[string, string[][] | null][]>(fixturePath("csv"), "golden.json");
  expect(golden.length).toBeGreaterThan(600);
  for (const [text, expected] of golden) {
    const read = () => [...csvRecords(splitLines(text), "d.csv", () => ",")].map(({ cells }) => cells);
    if (expected === null) expect(read, text).toThrow("a quotation mark that does not end");
    else expect(read(), text).toEqual(expected);
  }
});

describe("line ends", () => {
  const want = [
    { text: "a", label: "pos" },
    { text: "b", label: "neg" },
  ];

  test.each([
    ["\n", "\r\n", "\r\n"],
    ["\r\n", "\n", ""],
    ["\r", "\n", "\r"],
    ["\n", "\r", "\r\n"],
    ["\r\n", "\r\n", ""],
  ])("header %j, row %j, last row %j", (header, row, last) => {
    expect(valuesOf(`\uFEFFtext,label${header}a,pos${row}b,neg${last}`)).toEqual(want);
  });

  test("in quotation marks they are text; blank lines are skipped and counted", () => {
    const found = rows('text,label\n\r\n"a\r\nb\rc",pos\n\n"d\n",neg');
    expect(found).toEqual([
      { line: 3, values: { text: "a\r\nb\rc", label: "pos" } },
      { line: 7, values: { text: "d\n", label: "neg" } },
    ]);
  });
});

describe("columns", () => {
  test("names that objects inherit are names as others", () => {
    const [row] = valuesOf("__proto__,constructor,text\n1,2,3\n") as Record<string, string>[];
    expect(Object.entries(row!)).toEqual([
      ["__proto__", "1"],
      ["constructor", "2"],
      ["text", "3"],
    ]);
    expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
  });

  test("two of one name are refused, two without a name are none", () => {
    expect(() => rows("text,label,text\na,b,c\n")).toThrow(/the column text is there twice/);
    expect(valuesOf("text,label,,\na,b,,\n")).toEqual([{ text: "a", label: "b" }]);
  });

  test("a row of too many or too few cells is named with its line", () => {
    expect(rows('text,label\n"a\nb",x\na\na,b,c\n').map(({ line, values }) => [line, typeof values])).toEqual(
      [
        [2, "object"],
        [4, "string"],
        [5, "string"],
      ],
    );
    expect(valuesOf("text,label\na,b,c\n")[0]).toBe(
      "has 3 cells, the first line names 2: text, label (a cell with a delimiter in it stands in quotation marks)",
    );
  });

  test("a delimiter at the end of every row is none; at the end of some it may be text", () => {
    expect(valuesOf("text,label\na,b,\nc,d,\n")).toEqual([
      { text: "a", label: "b" },
      { text: "c", label: "d" },
    ]);
    expect(valuesOf("label,text\nb,hello\nb,hello,\n")[1]).toMatch(/has 3 cells/);
    expect(valuesOf("label,text\nb,hello,\nb,hello\n")[1]).toMatch(/has 2 cells/);
  });
});

describe("delimiters", () => {
  test("a tab in .tsv and a comma in .csv, whatever else there is", () => {
    expect(valuesOf("text\tlabel\na,b;c\tx\n", "\t")).toEqual([{ text: "a,b;c", label: "x" }]);
    expect(valuesOf("text,la;bel\na;b,x\n")).toEqual([{ text: "a;b", "la;bel": "x" }]);
    expect(valuesOf("text\na;b\n")).toEqual([{ text: "a;b" }]);
  });

  test("another one where the first line has none of those", () => {
    for (const delimiter of [";", "\t", "|"]) {
      expect(valuesOf(`text${delimiter}label\n"a,b"${delimiter}x\n`)).toEqual([{ text: "a,b", label: "x" }]);
    }
    expect(valuesOf("text,label\na,x\n", "\t")).toEqual([{ text: "a", label: "x" }]);
    expect(valuesOf('"text, or more"\na\n')).toEqual([{ "text, or more": "a" }]);
  });

  test("Excel's own line is named", () => {
    expect(() => rows("sep=;\r\ntext;label\r\n")).toThrow(/d\.csv:1: is "sep=;", a hint for Excel/);
  });
});

test("a quotation mark that does not end is named with the line of its row", () => {
  expect(() => rows('text,label\na,b\n"c,d\ne,f\n')).toThrow(
    /d\.csv:3: a cell of this row has a quotation mark/,
  );
});

test("quotation marks within a cell are text", () => {
  expect(valuesOf('text,label\n5" nails,x\n"a ""b""",y\n')).toEqual([
    { text: '5" nails', label: "x" },
    { text: 'a "b"', label: "y" },
  ]);
});
