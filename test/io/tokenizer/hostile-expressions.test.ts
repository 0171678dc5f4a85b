import { describe, expect, test } from "vitest";
import { readOniguruma } from "../../../src/io/tokenizer/pipeline/oniguruma.ts";
import { oniguruma } from "../../../src/io/tokenizer/pipeline/pattern.ts";
import { isLinear } from "../../../src/util/regexp/linear.ts";

/** Of the models that people use. */
const PUBLISHED: Record<string, string> = {
  "GPT-2": "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "Llama 3":
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  cl100k:
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++|\\p{N}{1,3}+| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*+|\\s++$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
  o200k:
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  DeepSeek:
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  Kimi: "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+(?i:'s|'t)?|\\p{N}{1,3}|\\s+",
  BLOOM: " ?[^(\\s|[.,!?…。，、।۔،])]+",
};

const RUNS = ["a", "A", " ", "\n", " \n", "1", "!", "漢", "aB", "é\u0301"];

describe("published expressions", () => {
  test.each(Object.entries(PUBLISHED))("%s runs at the speed of JavaScript's engine", (_, source) => {
    expect(isLinear(readOniguruma(source))).toBe(true);
  });

  test.each(Object.entries(PUBLISHED))("%s is through a long run of anything soon", (_, source) => {
    const find = oniguruma(source, "pre_tokenizer");
    for (const run of RUNS) {
      const text = `${run.repeat(100_000 / run.length)}x`;
      expect(find(text).at(-1)?.[1]).toBe(text.length);
    }
  });
});

describe("expressions that hold other engines for hours", () => {
  const HOSTILE = [
    "([a-z_.0-9]+)+!",
    "(a+)+$",
    "(\\s+)+!",
    "(a|a)*b",
    "(a|aa)+$",
    "\\s+$",
    "a*a*a*a*b",
    "(?=(a+)+b)a",
  ];

  test.each(HOSTILE)("%s goes through 100 000 characters", (source) => {
    const find = oniguruma(source, "pre_tokenizer");
    for (const run of ["a", " "]) {
      expect(find(`${run.repeat(100_000)}.`)).toEqual([]);
    }
  });

  test.each([
    ["groups", "(".repeat(5000), "more than 100 groups in each other"],
    ["classes", "[".repeat(5000), "more than 100 groups in each other"],
    ["characters", "a".repeat(50_000), "more than 10000 characters"],
    ["repetitions", "((a{1000}){1000}){1000}", "more than 50000 parts"],
  ])("one of too many %s is refused", (_, source, reason) => {
    expect(() => oniguruma(source, "pre_tokenizer")).toThrow(reason);
  });
});
