import { describe, expect, test } from "vitest";
import { editJson } from "../../../src/io/json/edit.ts";

const edit = (text: string, changes: Record<string, unknown>) =>
  editJson(text, new Map(Object.entries(changes)));

/** What JSON.parse and JSON.stringify do not give back: as Python's json.dumps(indent=2) writes it. */
const CONFIG = `{
  "architectures": [
    "GemmaModel"
  ],
  "big": 12345678901234567890,
  "eps": 1e-06,
  "final_logit_softcapping": 30.0,
  "limits": [0.0, Infinity, -Infinity, NaN],
  "name": "caf\\u00e9 \\"}, {\\"",
  "nested": {
    "architectures": ["inner"],
    "x": {}
  },
  "zero": -0.0
}
`;

describe("editJson", () => {
  test("without changes nothing changes", () => {
    expect(edit(CONFIG, {})).toBe(CONFIG);
  });

  test("sets a value in its place; everything else stays as it is", () => {
    const wanted = CONFIG.replace('"GemmaModel"', '"Gemma2ForCausalLM"');
    expect(edit(CONFIG, { architectures: ["Gemma2ForCausalLM"] })).toBe(wanted);
    expect(edit(CONFIG, { zero: false })).toBe(CONFIG.replace("-0.0", "false"));
    expect(edit(CONFIG, { limits: null })).toBe(CONFIG.replace("[0.0, Infinity, -Infinity, NaN]", "null"));
  });

  test("a new member comes last, with the object's indentation", () => {
    const wanted = CONFIG.replace(
      '"zero": -0.0',
      '"zero": -0.0,\n  "id2label": {\n    "0": "no",\n    "1": "y\\"es"\n  }',
    );
    expect(edit(CONFIG, { id2label: { 0: "no", 1: 'y"es' } })).toBe(wanted);
  });

  test("removes the first, a middle one, the last, and all", () => {
    const text = '{\n\t"a": 1,\n\t"b": [1.0, {"c": 2}],\n\t"c": 3\n}';
    expect(edit(text, { a: undefined })).toBe('{\n\t"b": [1.0, {"c": 2}],\n\t"c": 3\n}');
    expect(edit(text, { b: undefined })).toBe('{\n\t"a": 1,\n\t"c": 3\n}');
    expect(edit(text, { c: undefined })).toBe('{\n\t"a": 1,\n\t"b": [1.0, {"c": 2}]\n}');
    expect(JSON.parse(edit(text, { a: undefined, b: undefined, c: undefined, d: undefined }))).toEqual({});
    expect(edit(text, { a: undefined, d: true })).toBe(
      '{\n\t"b": [1.0, {"c": 2}],\n\t"c": 3,\n\t"d": true\n}',
    );
  });

  test("objects on one line, of one member, of none", () => {
    expect(edit('{"a":1.0,"b":2}', { b: [1], c: "x" })).toBe('{"a":1.0,"b":[1],"c":"x"}');
    expect(edit('{"a" : "}"}', { a: 2, b: 3 })).toBe('{"a" : 2, "b" : 3}');
    expect(edit("{}\n", { a: 1 })).toBe('{"a": 1}\n');
    expect(edit("\n{ }", { a: 1 })).toBe('\n{ "a": 1}');
    expect(edit('{"a": [[]]}', { b: {} })).toBe('{"a": [[]], "b": {}}');
  });

  test("a key that is escaped, or in the text twice", () => {
    expect(edit('{"\\u0061": 1, "b": 2}', { a: 3 })).toBe('{"\\u0061": 3, "b": 2}');
    expect(edit('{"a": 1, "a": 2}', { a: 3 })).toBe('{"a": 3, "a": 3}');
  });

  test("refuses what is no object", () => {
    expect(() => edit("[1]", { a: 1 })).toThrow("expected an object");
  });

  test("any object edited reads as the object with the change", () => {
    const values = ["1.50", '"a,}\\\\"', "[]", '{"k": [1, {"z": "]"}], "b": 2}', "null", "-1E+3", "true"];
    for (const indent of ["", "\n ", "\r\n\t"]) {
      for (let count = 0; count < 6; count++) {
        const members = Array.from({ length: count }, (_, i) => `${indent}"k${i}":${values[(i * 3) % 7]}`);
        const text = `{${members.join(",")}${indent && "\n"}}`;
        for (let i = 0; i <= count; i++) {
          const changes = { [`k${i}`]: { new: [i] }, k0: undefined };
          const { k0: _, ...rest } = { ...(JSON.parse(text) as Record<string, unknown>), ...changes };
          expect(JSON.parse(edit(text, changes))).toEqual(rest);
        }
      }
    }
  });
});
