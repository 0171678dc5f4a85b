import { gzipSync } from "node:zlib";
import { safetensorsOf } from "../io/helpers.ts";
import { GPT2_JSON } from "../io/tokenizer/tiny-tokenizer.ts";
import { BOMBS, parquetOf } from "./parquet-bombs.ts";

/** A file that means harm. */
export interface Case {
  /** What reads it: see reader.ts. */
  readonly reader: string;
  /** Where in a folder of its own it stands; the reader gets its path, or the folder's where that reads folders. */
  readonly name: string;
  readonly content: () => string | Uint8Array;
  /** Another file of the folder. */
  readonly beside?: readonly [name: string, content: () => string];
  /** Bytes to which it is lengthened, with a hole that takes no room on the disk. */
  readonly length?: number;
  /** What becomes of it. */
  readonly message: RegExp;
}

const MILLION = 1_000_000;
const listed = (count: number, entry: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => entry(i)).join(",");

const tokenizer = (change: object, message: RegExp): Case => ({
  reader: "tokenizer",
  name: "tokenizer.json",
  content: () => JSON.stringify({ ...GPT2_JSON, ...change }),
  message,
});
const sequence = (normalizers: readonly object[]) => ({ normalizer: { type: "Sequence", normalizers } });
const replace = (from: string, content: string) => ({ type: "Replace", pattern: { String: from }, content });
const split = (source: string) => ({
  pre_tokenizer: { type: "Split", pattern: { Regex: source }, behavior: "Isolated", invert: false },
});

const LLAMA = {
  architectures: ["LlamaForCausalLM"],
  ...{
    hidden_size: 64,
    intermediate_size: 128,
    num_attention_heads: 4,
    num_hidden_layers: 2,
    vocab_size: 256,
  },
};
const plan = (change: object, message: RegExp): Case => ({
  reader: "plan",
  name: "config.json",
  content: () => JSON.stringify({ ...LLAMA, ...change }),
  message,
});

export const CASES: Readonly<Record<string, Case>> = {
  "a million bad tensors": {
    reader: "header",
    name: "model.safetensors",
    content: () =>
      safetensorsOf(
        `{${listed(MILLION, (i) => `"model.layers.${i}.weight":{"dtype":"X","shape":[1],"data_offsets":[0,4]}`)}}`,
      ),
    message: /the header describes 1000000 tensors; the limit is 65536/,
  },
  "sixty thousand bad tensors": {
    reader: "header",
    name: "model.safetensors",
    content: () =>
      safetensorsOf(`{${listed(60_000, (i) => `"${i}":{"dtype":"X","shape":[1],"data_offsets":[0,4]}`)}}`),
    message: /: \d+ problems:\n(?: {2}- .*\n){20} {2}- and \d+ more\n {2}→/,
  },
  "a weight map of a million numbers": {
    reader: "checkpoint",
    name: "model.safetensors.index.json",
    content: () => `{"weight_map":{${listed(MILLION, (i) => `"${i}":${i}`)}}}`,
    message: /1000000 problems[\s\S]*and 999980 more/,
  },
  "JSON that is nested 50 000 deep": {
    reader: "json",
    name: "config.json",
    content: () => "[".repeat(50_000) + "]".repeat(50_000),
    message: /config.json: is nested deeper than 500 levels/,
  },
  "10 MB of brackets": {
    reader: "json",
    name: "config.json",
    content: () => "[".repeat(10 * MILLION),
    message: /is nested deeper than 500 levels/,
  },
  "a million keys twice": {
    reader: "json",
    name: "tokenizer.json",
    content: () => `{${listed(MILLION, (i) => `"${i % 1000}":0`)}}`,
    message: /999000 problems[\s\S]*"999" occurs twice|999000 problems[\s\S]*and 998980 more/,
  },
  "a configuration of 500 MB": {
    reader: "json",
    name: "config.json",
    content: () => "{",
    length: 500 * MILLION,
    message: /config.json: has 500000000 bytes; such a file may have 16777216/,
  },
  "200 MB in 200 kB of gzip": {
    reader: "json",
    name: "config.json",
    content: () => gzipSync(new Uint8Array(2e8)),
    message: /config.json: is compressed with gzip/,
  },
  "a server that sends it": {
    reader: "gzip",
    name: "config.json",
    content: () => gzipSync(new Uint8Array(2e8)),
    message: /does not tell how long it is, and sends more than 67108864 bytes/,
  },
  "aliases that multiply": {
    reader: "yaml",
    name: "train.yaml",
    content: () =>
      Array.from(
        "abcdefghi",
        (name, i) =>
          `${name}: &${name} [${Array(10)
            .fill(i === 0 ? "x" : `*${"abcdefghi"[i - 1]}`)
            .join(",")}]`,
      ).join("\n"),
    message: /Excessive alias count/,
  },
  "a row of a gigabyte": {
    reader: "rows",
    name: "train.jsonl",
    content: () => '{"text":"',
    length: 1e9,
    message: /train.jsonl:1: has a row of more than 67108864 characters/,
  },
  "a million columns of one name": {
    reader: "rows",
    name: "train.csv",
    content: () => `${"a,".repeat(MILLION)}a\n1\n`,
    message: /the column a is there twice/,
  },
  "a million columns and rows of one cell": {
    reader: "rows",
    name: "train.csv",
    content: () => `${listed(MILLION, String)}\n${"1\n".repeat(10_000)}`,
    message: /10000 problems:\n.*:2: has 1 cells, the first line names 1000000: 0, 1, .* and 999980 more/,
  },
  "a million rows that are none": {
    reader: "rows",
    name: "train.jsonl",
    content: () => "{bad\n".repeat(MILLION),
    message: /100000 problems:[\s\S]*and 99980 more\n.*reading stopped at line 100000/,
  },
  "a million rows in each other": {
    reader: "rows",
    name: "train.jsonl",
    content: () => "{\n".repeat(MILLION),
    message: /train.jsonl:1: the JSON object does not end/,
  },
  "a million empty rows of a list": {
    reader: "rows",
    name: "train.json",
    content: () => `[${",".repeat(MILLION)}]`,
    message: /100000 problems:[\s\S]*is empty: there is a comma too many/,
  },
  "a list of a gigabyte in one row": {
    reader: "rows",
    name: "train.json",
    content: () => '[{"text":"',
    length: 1e9,
    message: /train.json:1: has a row of more than 67108864 characters/,
  },
  "a gigabyte of zeros in a megabyte of gzip": {
    reader: "rows",
    name: "train.jsonl.gz",
    content: () => Buffer.concat(Array(10).fill(gzipSync(new Uint8Array(1e8)))),
    message: /train.jsonl.gz:1: has a row of more than 67108864 characters/,
  },
  "ten million blank lines in ten kilobytes of gzip": {
    reader: "rows",
    name: "train.csv.gz",
    content: () => gzipSync(new Uint8Array(1e7).fill(10)),
    message: /train.csv.gz: has no rows/,
  },
  "a row of a million keys": {
    reader: "rows",
    name: "train.jsonl",
    content: () => `{${listed(MILLION, (i) => `"${i}":0`)}}`,
    message: /train.jsonl:1: has keys "0", "1", .* and 999980 more, wanted/,
  },
  "a row of five million lists": {
    reader: "rows",
    name: "train.jsonl",
    content: () => `{"a":[${"[],".repeat(5 * MILLION)}0]}`,
    message: /train.jsonl:1: has more than 1048576 lists and objects/,
  },
  "a row of thirty million numbers": {
    reader: "rows",
    name: "train.jsonl",
    content: () => `{"a":[${"0,".repeat(30 * MILLION)}0]}`,
    message: /train.jsonl:1: has more than 8388608 values/,
  },
  "a tokenizer of five million lists": {
    reader: "json",
    name: "tokenizer.json",
    content: () => `[${"{},".repeat(5 * MILLION)}0]`,
    message: /tokenizer.json: has more than 1048576 lists and objects/,
  },
  "thirty million commas": {
    reader: "rows",
    name: "train.csv",
    content: () => ",".repeat(30 * MILLION),
    message: /train.csv: has a row of more than 2097152 cells/,
  },
  "thirty million cells below two columns": {
    reader: "rows",
    name: "train.csv",
    content: () => `a,b\n${",".repeat(30 * MILLION)}`,
    message: /train.csv: has a row of more than 2097152 cells/,
  },
  "ten million rows of a letter in gzip": {
    reader: "rows",
    name: "train.jsonl.gz",
    content: () => Buffer.concat(Array(10).fill(gzipSync('{"text":"a"}\n'.repeat(MILLION)))),
    message: /train.jsonl.gz: becomes more than 100 times its size/,
  },
  "a hundred million blank lines in gzip": {
    reader: "rows",
    name: "train.jsonl.gz",
    content: () => Buffer.concat(Array(10).fill(gzipSync(new Uint8Array(1e7).fill(10)))),
    message: /train.jsonl.gz: becomes more than 100 times its size/,
  },
  "a million layers": plan({ num_hidden_layers: MILLION }, /num_hidden_layers is 1000000, expected/),
  "a vocabulary of 1e12": plan({ vocab_size: 1e12 }, /vocab_size is 1000000000000, expected/),
  "a billion classes": plan(
    { architectures: ["LlamaForSequenceClassification"], num_labels: 1e9 },
    /num_labels is 1000000000, expected a positive whole number of at most 131072/,
  ),
  "a text that doubles thirty times": tokenizer(
    sequence(Array(30).fill(replace("a", "aa"))),
    /normalizer.normalizers\[\d+\]: making \d+ characters or more of 300 is not supported/,
  ),
  "a text that doubles thirty times in bytes": tokenizer(
    sequence([replace("a", "é"), ...Array(30).fill({ type: "ByteLevel" })]),
    /normalizer.normalizers\[\d+\]: making \d+ characters or more of 300/,
  ),
  "30 MB before each text": tokenizer(
    { normalizer: { type: "Prepend", prepend: "x".repeat(30 * MILLION) } },
    /normalizer.prepend has 30000000 characters; a component's text may have 10000/,
  ),
  "10 kB for each letter": tokenizer(
    { normalizer: replace("a", "x".repeat(10_000)) },
    /normalizer: making 1000000 characters or more of 300/,
  ),
  "a token with the id 1e9": tokenizer(
    { model: { ...GPT2_JSON.model, vocab: { ...GPT2_JSON.model.vocab, far: 1e9 } } },
    /the token id 1000000000 is not supported/,
  ),
  "a token of a megabyte": tokenizer(
    { model: { ...GPT2_JSON.model, vocab: { ...GPT2_JSON.model.vocab, ["x".repeat(MILLION)]: 259 } } },
    /has a token of 1000000 characters; one may have 10000/,
  ),
  "a template of 250 000 texts": tokenizer(
    {
      post_processor: {
        type: "TemplateProcessing",
        single: Array(MILLION / 4).fill({ Sequence: { id: "A", type_id: 0 } }),
        pair: [],
        special_tokens: {},
      },
    },
    /post_processor.single has 250000 entries; it may have 1000/,
  ),
  "a million added tokens": {
    ...tokenizer(
      {},
      /added_tokens.json: (?:has \d+ bytes|lists 1000000 added tokens); (?:such a file|there) may/,
    ),
    beside: ["added_tokens.json", () => `{${listed(MILLION, (i) => `"x${i}":${259 + i}`)}}`],
  },
  "an adapter's expression that takes for ever": {
    reader: "expression",
    name: "expression.txt",
    content: () => "([a-z_.0-9]+)+!",
    message: /took it: false/,
  },
  "twenty thousand ranks by expression": {
    reader: "ranks",
    name: "expression.txt",
    content: () => "(.+)+!",
    message: /too many steps for "model\.layers/,
  },
  "an expression that takes for ever": tokenizer(split("([a-z ]+)+!"), /took it: \d+/),
  "half a million merges of nothing": tokenizer(
    { model: { ...GPT2_JSON.model, merges: Array.from({ length: MILLION / 2 }, (_, i) => `x${i} y`) } },
    /500000 problems[\s\S]*and 499980 more/,
  ),
  ...Object.fromEntries(
    Object.entries(BOMBS).map(([name, [claims, message]]): [string, Case] => [
      `Parquet: ${name}`,
      { reader: "rows", name: "train.parquet", content: () => parquetOf(claims), message },
    ]),
  ),
};
