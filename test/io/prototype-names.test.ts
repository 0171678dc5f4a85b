import { describe, expect, test } from "vitest";
import { parsePeftConfig } from "../../src/adapters/config-fields.ts";
import { LORA } from "../../src/adapters/lora/lora-codec.ts";
import { parseConfig } from "../../src/cli/config.ts";
import { tableWith } from "../../src/cli/method-table.ts";
import { TRAIN_OPTIONS as PLAIN } from "../../src/cli/tables/train.ts";
import { csvRows } from "../../src/data/rows/csv.ts";
import { readExamples } from "../../src/data/rows/examples.ts";
import { jsonRows } from "../../src/data/rows/json-lines.ts";
import { parseHeader } from "../../src/io/formats/safetensors.ts";
import { parsePythonJson } from "../../src/io/json/parse.ts";
import { createTokenizer } from "../../src/io/tokenizer/tokenizer.ts";
import { planModel } from "../../src/models/families.ts";
import { patternMatcher } from "../../src/util/module-patterns.ts";
import { nearest } from "../../src/util/nearest.ts";
import { safetensorsOf, utf8 } from "./helpers.ts";

const TRAIN_OPTIONS = tableWith(PLAIN, "lora");

const NAMES = ["constructor", "__proto__", "prototype", "toString", "hasOwnProperty", "valueOf"];

describe.each(NAMES)("the name %s is one like all others", (name) => {
  test("of a tensor, and of metadata", () => {
    const header = `{"__metadata__":{"${name}":"x"},"${name}":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`;
    const file = safetensorsOf(header, utf8("a"));
    const { tensors, metadata } = parseHeader(file, file.length, "file");
    expect([...tensors.keys()]).toEqual([name]);
    expect(Object.entries(metadata)).toEqual([[name, "x"]]);
  });

  test("of a token", () => {
    const tokenizer = createTokenizer({
      model: { type: "WordLevel", unk_token: "?", vocab: JSON.parse(`{"?":0,"${name}":1}`) as object },
    });
    expect(tokenizer.encode(name)).toEqual([1]);
    const without = createTokenizer({ model: { type: "WordLevel", unk_token: "?", vocab: { "?": 0 } } });
    expect(without.encode(name)).toEqual([0]);
  });

  test("of a column and a key of a row", () => {
    const [cells] = csvRows([`${name},b\n`, "1,2\n"], "rows.csv", ",");
    expect(Object.entries(cells?.values ?? {})).toEqual([
      [name, "1"],
      ["b", "2"],
    ]);
    const [row] = jsonRows([`{"${name}":1}`], "rows.jsonl");
    expect(Object.entries(row?.values ?? {})).toEqual([[name, 1]]);
    expect(() => readExamples(`{"${name}":"x"}`, "rows.jsonl")).toThrow(`has keys "${name}", wanted`);
  });

  test("of a key of JSON with NaN in it", () => {
    expect(Object.entries(parsePythonJson(`{"${name}":NaN}`, "file") as object)).toEqual([
      [name, Number.NaN],
    ]);
  });

  test("of a field of config.json, an architecture and a model type", () => {
    const config = JSON.parse(`{"architectures":["LlamaForCausalLM"],"${name}":1}`) as Record<
      string,
      unknown
    >;
    expect(() => planModel(config)).toThrow(`${name} 1 is not supported; it is not known here`);
    expect(() => planModel({ architectures: [name] })).toThrow(`architecture ${name} is not supported`);
    expect(() => planModel({ model_type: name })).toThrow(`architecture ${name} is not supported`);
  });

  test("of a field, a module and a pattern of an adapter", () => {
    const json = JSON.parse(
      `{"peft_type":"LORA","target_modules":["${name}"],"rank_pattern":{"${name}":3},"${name}":1}`,
    ) as Record<string, unknown>;
    const { config, warnings } = parsePeftConfig(LORA.codec, json, "adapter_config.json");
    expect(() => parsePeftConfig(LORA.codec, { ...json, task_type: name }, "file")).toThrow(
      `task_type is "${name}", expected`,
    );
    expect(warnings).toEqual([expect.stringContaining(`the field ${name} (1) is unknown to PEFT`)]);
    expect(patternMatcher(config.rank_pattern)(`model.${name}`)).toEqual([3]);
  });

  test("of a setting", () => {
    const yaml = `${name}: 1\nlora_parameters:\n  ${name}: 2\n`;
    expect(() => parseConfig(yaml, "train.yaml", TRAIN_OPTIONS)).toThrow(
      new RegExp(`2 problems:\n  - ${name} is unknown.*\n  - lora_parameters.${name} is unknown`),
    );
  });

  test("and nothing is changed in all objects", () => {
    parseConfig("max_steps: 1\n__proto__: null\n", "train.yaml", TRAIN_OPTIONS);
    expect(Object.keys(Object.prototype)).toEqual([]);
    expect(nearest(name, [name])).toBe(name);
  });
});
