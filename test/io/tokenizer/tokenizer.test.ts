import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createTokenizer, type Tokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { LoraError } from "../../../src/util/fail.ts";
import { GPT2_CONFIG, GPT2_JSON, LLAMA_CONFIG, LLAMA_JSON } from "./tiny-tokenizer.ts";

const SHARED = "../shared/data";
const readJson = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"));
const load = (folder: string) => createTokenizer(readJson(`${SHARED}/${folder}/tokenizer.json`));

function stream(tokenizer: Tokenizer, ids: readonly number[], after: number[] = []): string[] {
  const decoding = tokenizer.decodeStream({ after });
  return [...ids.map((id) => decoding.push(id)), decoding.flush()];
}

const TEXTS = [
  "Hello world",
  "  two  spaces ",
  "a\n\n\nb",
  "don't stop",
  "1234 ½",
  "🙂 日本語",
  "x\u0085y\ufeffz",
  "a<|endoftext|>b</s> c",
  '{"who":"Mara"}',
  "",
];

// tokenizers 0.23.2 (Python): Tokenizer.from_file(...), no_padding(), no_truncation(), encode(text).ids
const GOLDEN: Record<string, number[][]> = {
  smollm_135m: [
    [19556, 905],
    [216, 827, 216, 5600, 216],
    [81, 1116, 198, 82],
    [12420, 982, 2853],
    [33, 34, 35, 36, 216, 16738],
    [10813, 38887, 17097, 241, 115, 40993, 179, 120, 248],
    [104, 141, 223, 105, 186, 136, 140, 106],
    [81, 0, 82, 9617, 99, 46, 265],
    [39428, 11634, 25535, 61, 4075, 23597],
    [],
  ],
  gpt2_hf: [
    [15496, 995],
    [220, 734, 220, 9029, 220],
    [64, 628, 198, 65],
    [9099, 470, 2245],
    [1065, 2682, 25208],
    [8582, 25081, 10545, 245, 98, 17312, 105, 45739, 252],
    [87, 126, 227, 88, 171, 119, 123, 89],
    [64, 50256, 65, 3556, 82, 29, 269],
    [4895, 8727, 2404, 44, 3301, 20662],
    [],
  ],
  tinyllama_llama2: [
    [1, 15043, 3186],
    [1, 259, 1023, 29871, 8162, 29871],
    [1, 263, 13, 13, 13, 29890],
    [1, 1016, 29915, 29873, 5040],
    [1, 29871, 29896, 29906, 29941, 29946, 29871, 30226],
    [1, 29871, 243, 162, 156, 133, 29871, 30325, 30346, 30968],
    [1, 921, 197, 136, 29891, 30143, 29920],
    [1, 263, 29966, 29989, 355, 974, 726, 29989, 29958, 29890, 2, 29871, 274],
    [1, 8853, 15970, 4710, 29924, 2518, 9092],
    [1],
  ],
  bert_base_uncased: [
    [101, 7592, 2088, 102],
    [101, 2048, 7258, 102],
    [101, 1037, 1038, 102],
    [101, 2123, 1005, 1056, 2644, 102],
    [101, 13138, 2549, 1092, 102],
    [101, 100, 1864, 1876, 1950, 102],
    [101, 1060, 2100, 2480, 102],
    [101, 1037, 1026, 1064, 2203, 15794, 10288, 2102, 1064, 1028, 1038, 1026, 1013, 1055, 1028, 1039, 102],
    [101, 1063, 1000, 2040, 1000, 1024, 1000, 13955, 1000, 1065, 102],
    [101, 102],
  ],
};

describe("real tokenizers", () => {
  for (const [name, golden] of Object.entries(GOLDEN)) {
    test(`${name} gives the ids of the Python library`, (context) => {
      const folder = `tokenizers/${name}`;
      if (!existsSync(`${SHARED}/${folder}`)) context.skip(`${SHARED}/${folder} is not there`);
      const tokenizer = load(folder);
      expect(TEXTS.map((text) => tokenizer.encode(text))).toEqual(golden);
    });
  }

  for (const name of ["smollm_135m", "gpt2_hf", "tinyllama_llama2"]) {
    test(`${name} brings every text back, whole and streamed`, (context) => {
      const folder = `tokenizers/${name}`;
      if (!existsSync(`${SHARED}/${folder}`)) context.skip(`${SHARED}/${folder} is not there`);
      const tokenizer = load(folder);
      for (const text of TEXTS.filter((item) => !item.includes("<"))) {
        const ids = tokenizer.encode(text);
        expect(tokenizer.decode(ids)).toBe(text);
        expect(stream(tokenizer, ids).join("")).toBe(text);
      }
    });
  }

  test("stories260K gives its golden ids", (context) => {
    const folder = `${SHARED}/models/stories260K`;
    if (!existsSync(folder)) context.skip(`${folder} is not there`);
    const golden = readJson(`${folder}/golden.json`) as { encode_cases: { text: string; ids: number[] }[] };
    const tokenizer = createTokenizer(
      readJson(`${folder}/tokenizer.json`),
      readJson(`${folder}/tokenizer_config.json`),
      readJson(`${folder}/generation_config.json`),
    );
    expect(golden.encode_cases.length).toBeGreaterThan(3);
    for (const { text, ids } of golden.encode_cases) {
      expect(tokenizer.encode(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(text);
    }
    expect(tokenizer).toMatchObject({ bosTokenId: 1, eosTokenId: 2, stopTokenIds: [2], vocabSize: 512 });
  });
});

describe("a Llama-2 style tokenizer", () => {
  const tokenizer = createTokenizer(LLAMA_JSON, LLAMA_CONFIG, { eos_token_id: [2, 0], pad_token_id: 0 });
  const byte = (value: number) => 3 + value;

  test("encodes with and without special tokens", () => {
    expect(tokenizer.encode("ab")).toEqual([1, ...tokenizer.encode("ab", { addSpecialTokens: false })]);
    expect(tokenizer.decode(tokenizer.encode("ab b é"))).toBe("ab b é");
    expect(tokenizer.decode([1, 260], { skipSpecialTokens: false })).toBe("<s>a");
  });

  test("finds the special ids by name, by number and as a list", () => {
    expect(tokenizer).toMatchObject({ bosTokenId: 1, eosTokenId: 2, padTokenId: 0, stopTokenIds: [2, 0] });
    expect(createTokenizer(LLAMA_JSON).eosTokenId).toBeUndefined();
  });

  test("decodes nothing and unknown ids to nothing", () => {
    expect(tokenizer.decode([])).toBe("");
    expect(tokenizer.decode([9999, 1])).toBe("");
  });

  test("keeps the space before a word in the middle of a stream", () => {
    const ids = tokenizer.encode("a b  ab", { addSpecialTokens: false });
    expect(stream(tokenizer, ids).join("")).toBe("a b  ab");
    const next = tokenizer.encode("b", { addSpecialTokens: false });
    expect(stream(tokenizer, next).join("")).toBe("b");
    expect(stream(tokenizer, next, tokenizer.encode("a")).join("")).toBe(" b");
    // A special token in between must not make the next word the first one.
    expect(stream(tokenizer, [...next, 2, 1, ...next]).join("")).toBe("b b");
  });

  test("holds bytes back until they are a character", () => {
    const smile = [0xf0, 0x9f, 0x99, 0x82].map(byte);
    expect(stream(tokenizer, smile)).toEqual(["", "", "", "🙂", ""]);
    expect(stream(tokenizer, [...smile, ...smile]).join("")).toBe("🙂🙂");
    expect(stream(tokenizer, smile.slice(0, 2))).toEqual(["", "", "\uFFFD\uFFFD"]);
    const a = 260;
    expect(stream(tokenizer, [a, byte(0xff), a]).join("")).toBe("a\uFFFDa");
    expect(stream(tokenizer, new Array(200).fill(byte(0xff))).join("").length).toBe(200);
  });

  test("keeps a byte-order mark and marks each broken byte, as the Rust library does", () => {
    expect(tokenizer.decode([0xef, 0xbb, 0xbf].map(byte))).toBe("\ufeff");
    expect(tokenizer.decode([0xf0, 0x9f].map(byte))).toBe("\uFFFD\uFFFD");
  });
});

describe("a GPT-2 style tokenizer", () => {
  const tokenizer = createTokenizer(GPT2_JSON, GPT2_CONFIG);

  test("round trips any text and streams it in whole characters", () => {
    for (const text of ["a b  c\n", "日本 🙂\u0085\ufeff", " leading", "\u0000\u007f"]) {
      const ids = tokenizer.encode(text);
      expect(tokenizer.decode(ids)).toBe(text);
      const pieces = stream(tokenizer, ids);
      expect(pieces.join("")).toBe(text);
      expect(pieces.join("|")).not.toContain("\uFFFD");
    }
  });

  test("counts the vocabulary", () => expect(tokenizer.vocabSize).toBe(259));

  test("counts the ids of special tokens around a text, too, which need not be in the vocabulary", () => {
    const frame = (cls: number, sep: number) => ({
      type: "BertProcessing",
      cls: ["a", cls],
      sep: ["b", sep],
    });
    const framed = (cls: number, sep: number) =>
      createTokenizer({ ...GPT2_JSON, post_processor: frame(cls, sep) });
    expect([framed(0, 1), framed(300, 1), framed(0, 400)].map(({ vocabSize }) => vocabSize)).toEqual([
      ...[259, 301, 401],
    ]);
  });
});

describe("a tokenizer.json that cannot be used", () => {
  const message = (json: unknown): string => {
    try {
      createTokenizer(json);
    } catch (error) {
      expect(error).toBeInstanceOf(LoraError);
      return (error as LoraError).message;
    }
    return "no error";
  };

  test("says so", () => {
    expect(message("text")).toContain('is "text", expected an object');
    expect(message({ bos_token: "<s>" })).toMatch(/bos_token is not a field[\s\S]*model is missing/);
    expect(message({ ...GPT2_JSON, decoder: { type: "Morse" } })).toContain(
      'decoder.type is "Morse", expected one of BPEDecoder, ByteLevel,',
    );
    const scripts = { type: "Sequence", pretokenizers: [{ type: "UnicodeScripts" }] };
    expect(message({ ...GPT2_JSON, pre_tokenizer: scripts })).toContain("UnicodeScripts");
    expect(message({ ...GPT2_JSON, model: { ...GPT2_JSON.model, dropout: 0.1 } })).toContain("dropout");
  });

  test("names what is good for Rust but isn't exact here", () => {
    const split = (pattern: string) => ({
      ...GPT2_JSON,
      pre_tokenizer: { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
    });
    for (const pattern of ["(a)\\1", "(?i)ss", "(?i:ü)", "\\X", "(?~a)", "a{2}?", "\\p{InGreek}"]) {
      expect(message(split(pattern))).toContain("pre_tokenizer: the expression");
    }
    const added = ["Foo", "foo"].map((content, i) => ({
      ...{ id: 259 + i, content, single_word: false, lstrip: false, rstrip: false, special: false },
      normalized: true,
    }));
    const lower = { ...GPT2_JSON, normalizer: { type: "Lowercase" } };
    expect(message({ ...lower, added_tokens: [...GPT2_JSON.added_tokens, ...added] })).toContain(
      'added_tokens[2]: "foo", which normalizes to the same as "Foo", is not supported',
    );
  });
});

test("half of a surrogate pair is refused, as Python refuses it", () => {
  const tokenizer = createTokenizer(GPT2_JSON);
  expect(() => tokenizer.encode("ab\ud83d c")).toThrow("half of a surrogate pair (U+D83D) at position 2");
  expect(tokenizer.encode("ab\ud83d\ude00 c")).toHaveLength(8);
});

test("a long row is encoded, whatever it repeats", () => {
  const tokenizers = [createTokenizer(GPT2_JSON), createTokenizer(LLAMA_JSON)];
  for (const unit of ["a", " ", "\n", "ab ", "\u0301", "東", "🙂"]) {
    const text = unit.repeat(100_000 / unit.length);
    for (const tokenizer of tokenizers) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  }
});

// Oracle: Rust's tokenizers, which takes all three.
test("a character map in base64 may lack pads", () => {
  const trie = Buffer.alloc(4 * 257);
  trie.writeUInt32LE(1024);
  const map = Buffer.concat([trie, Buffer.from("a\0")])
    .toString("base64")
    .replace(/=+$/, "");
  const normalizer = (pads: string) => ({ type: "Precompiled", precompiled_charsmap: map + pads });
  const ids = (pads: string) => createTokenizer({ ...GPT2_JSON, normalizer: normalizer(pads) }).encode("a b");
  expect(map.length % 4).toBe(2); // two pads are due
  for (const pads of ["", "=", "=="]) expect(ids(pads)).toEqual(createTokenizer(GPT2_JSON).encode("a b"));
});
