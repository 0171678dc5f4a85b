import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { isObject } from "../../../src/util/json.ts";
import { decodedRow, rowOf } from "./rows.ts";

/** Written by test/fixtures/make_tokenizer_goldens.py. */
interface Goldens {
  texts: string[];
  ids: number[][];
  shared: unknown[];
  /** Rows are digests, with spaces between them; "-" where the Rust library gives up. */
  cases: { name: string; json: unknown; rows: string }[];
}

const goldens = JSON.parse(readFileSync("test/fixtures/tokenizer-goldens.json", "utf8")) as Goldens;
const { texts, ids } = goldens;

/** A tokenizer.json with what it shares with others put in its place. */
function whole(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(whole);
  if (!isObject(json)) return json;
  // A vocabulary has "$" among others.
  if (typeof json.$ === "number" && Object.keys(json).length === 1) return goldens.shared[json.$];
  return Object.fromEntries(Object.entries(json).map(([key, value]) => [key, whole(value)]));
}

const digest = (row: unknown) =>
  row === null ? "-" : createHash("sha256").update(JSON.stringify(row)).digest("base64").slice(0, 5);

describe("gives what Rust's tokenizers gives", () => {
  for (const { name, json, rows } of goldens.cases) {
    test(name, () => {
      const tokenizer = createTokenizer(whole(json));
      const expected = rows.split(" ");
      const ours = name.startsWith("decoder ")
        ? ids.map((row) => decodedRow(tokenizer, row))
        : texts.map((_, i) => rowOf(tokenizer, texts, i));
      const inputs: readonly unknown[] = name.startsWith("decoder ") ? ids : texts;
      const different = ours.flatMap((row, i) =>
        digest(row) === expected[i] ? [] : [{ input: inputs[i], ours: row }],
      );
      expect(different).toEqual([]);
      expect(expected).toHaveLength(inputs.length);
    });
  }
});

describe("streams what it decodes as a whole", () => {
  const streamed = ["BPE byte_fallback", "Unigram", "Unigram byte_fallback", "WordPiece"];
  for (const { name, json } of goldens.cases.filter(({ name }) => streamed.includes(name))) {
    test(name, () => {
      const tokenizer = createTokenizer(whole(json));
      for (const text of texts) {
        const tokens = tokenizer.encode(text);
        const stream = tokenizer.decodeStream();
        const pieces = [...tokens.map((id) => stream.push(id)), stream.flush()];
        expect(pieces.join("")).toBe(tokenizer.decode(tokens));
      }
    });
  }
});
