import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/cli/config.ts";
import { tableWith } from "../../src/cli/method-table.ts";
import {
  choice,
  flag,
  integer,
  integers,
  number,
  numbersByName,
  targets,
  text,
  texts,
  textsByName,
} from "../../src/cli/options.ts";
import { allNames, flagName, type GivenValue, keyOf, settle } from "../../src/cli/settings.ts";
import { CHAT_OPTIONS } from "../../src/cli/tables/chat.ts";
import { EVAL_OPTIONS } from "../../src/cli/tables/eval.ts";
import { GENERATE_OPTIONS } from "../../src/cli/tables/generate.ts";
import { TRAIN_OPTIONS as PLAIN } from "../../src/cli/tables/train.ts";

const TRAIN_OPTIONS = tableWith(PLAIN, "lora");
const given = (name: string, value: unknown): GivenValue => ({
  key: keyOf(TRAIN_OPTIONS, name.replace(/^--/, "")) ?? "?",
  name,
  value,
});
const REQUIRED = [given("--model", "m"), given("--data", "d")];
const settings = (...values: GivenValue[]) =>
  settle("train", TRAIN_OPTIONS, [[], [...REQUIRED, ...values]]).settings;

describe("option kinds", () => {
  test.each([
    ["5", 5],
    [5, 5],
    ["1e3", 1000],
    ["0", undefined],
    ["1.5", undefined],
    ["", undefined],
    ["x", undefined],
    [true, undefined],
    [null, undefined],
    [Number.NaN, undefined],
  ])("a whole number of at least 1: %j", (value, wanted) => {
    expect(integer({ help: "", fallback: 2, min: 1 }).read(value)).toBe(wanted);
  });

  test("-1 may stand for none", () => {
    const { read, wanted } = integer({ help: "", fallback: undefined, min: 1, unset: -1 });
    expect([read("-1"), read("-2"), read("0")]).toEqual([-1, undefined, undefined]);
    expect(wanted).toBe("a whole number of at least 1, or -1 for none");
  });

  test("numbers keep their bounds and say them", () => {
    const dropout = number({ help: "", fallback: 0, min: 0, below: 1 });
    expect([dropout.read("0"), dropout.read("0.5"), dropout.read("1"), dropout.read("Infinity")]).toEqual([
      0,
      0.5,
      undefined,
      undefined,
    ]);
    expect(dropout.wanted).toBe("a number of at least 0 and below 1");
    expect(number({ help: "", fallback: 1, above: 0 }).wanted).toBe("a number above 0");
  });

  test("switches take TRL's words", () => {
    const { read } = flag({ help: "", fallback: false });
    expect([true, false, "true", "False"].map(read)).toEqual([true, false, true, false]);
    const others = ["yes", 1, "constructor", "__proto__", ["true"], { toString: 1 }, null];
    expect(others.map(read)).toEqual(others.map(() => undefined));
  });

  test.each([
    ["all-linear", "all-linear"],
    ["q_proj", ["q_proj"]],
    ["q_proj, v_proj", ["q_proj", "v_proj"]],
    ["self_attn.q_proj,mlp.up_proj", ["self_attn.q_proj", "mlp.up_proj"]],
    [".*\\.(q|v)_proj", ".*\\.(q|v)_proj"],
    [
      ["q_proj", "v_proj"],
      ["q_proj", "v_proj"],
    ],
    [["all-linear"], "all-linear"],
    [[], undefined],
    [[1], undefined],
    ["", undefined],
  ])("target_modules %j", (value, wanted) => {
    expect(targets({ help: "", fallback: "all-linear" }).read(value)).toEqual(wanted);
  });

  test("texts and choices", () => {
    expect(text({ help: "", placeholder: "x" }).read("a")).toBe("a");
    expect(texts({ help: "", placeholder: "x" }).read("a")).toEqual(["a"]);
    expect(texts({ help: "", placeholder: "x" }).read(["a", 1])).toBeUndefined();
    expect(choice({ help: "", choices: ["a", "b"], fallback: "a" }).read("c")).toBeUndefined();
  });
});

describe("tables", () => {
  test.each([
    ["train", TRAIN_OPTIONS],
    ["generate", GENERATE_OPTIONS],
    ["chat", CHAT_OPTIONS],
    ["eval", EVAL_OPTIONS],
  ])("%s states no name twice, and its defaults are values it accepts", (_, table) => {
    const names = allNames(table);
    expect(names).toEqual([...new Set(names)]);
    for (const name of names) expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
    for (const { fallback, required, several, read } of Object.values(table)) {
      if (!required && !several && fallback !== undefined) expect(read(fallback)).toBe(fallback);
    }
  });

  test.each([
    ["iters", "max_steps"],
    ["batch-size", "per_device_train_batch_size"],
    ["adapter-path", "output_dir"],
    ["mask-prompt", "completion_only_loss"],
    ["max-seq-length", "max_length"],
    ["grad-checkpoint", "gradient_checkpointing"],
    ["grad-accumulation-steps", "gradient_accumulation_steps"],
    ["steps-per-eval", "eval_steps"],
    ["steps-per-report", "logging_steps"],
    ["save-every", "save_steps"],
    ["resume-adapter-file", "resume_adapter_file"],
    ["rank", "lora_r"],
  ])("mlx-lm's --%s is %s", (alias, key) => {
    expect(keyOf(TRAIN_OPTIONS, alias)).toBe(key);
  });
});

describe("settings", () => {
  test("defaults hold where nothing is given", () => {
    expect(settings()).toMatchObject({
      model: "m",
      lora_r: 16,
      lora_alpha: 32,
      max_steps: undefined,
      seed: 0,
    });
  });

  test("the command line wins over the configuration, by whatever name", () => {
    const config = parseConfig("iters: 10\nlora_r: 4\n", "c.yaml", TRAIN_OPTIONS);
    const flags = [...REQUIRED, given("--max-steps", "7")];
    const settled = settle("train", TRAIN_OPTIONS, [config, flags]);
    expect(settled.settings).toMatchObject({ max_steps: 7, lora_r: 4 });
    expect(settled.given).toEqual(new Set(["model", "data", "max_steps", "lora_r"]));
  });

  test("all problems are listed at once", () => {
    const flags = [
      given("--rank", "0"),
      given("--iters", "3"),
      given("--max-steps", "3"),
      given("--model", "m"),
    ];
    expect(() => settle("train", TRAIN_OPTIONS, [flags])).toThrow(
      [
        "train: 3 problems:",
        '  - --rank is "0", wanted a whole number of at least 1',
        "  - --iters and --max-steps are the same option; give one of them",
        "  - data is missing; give --data PATH",
      ].join("\n"),
    );
  });

  test("flags are the names with dashes", () => expect(flagName("max_grad_norm")).toBe("--max-grad-norm"));

  test("a norm to clip to is none, or one that 32 bits can work with", () => {
    const { read, wanted } = TRAIN_OPTIONS.max_grad_norm;
    expect([0, 1, 1e-12, 1e-300, 1e-13, -1].map(read)).toEqual([
      0,
      1,
      1e-12,
      undefined,
      undefined,
      undefined,
    ]);
    expect(wanted).toMatch(/of at least 1e-12 and at most 1e\+30, or 0 for none$/);
  });
});

describe("configuration files", () => {
  const read = (source: string) => {
    const values = parseConfig(source, "c.yaml", TRAIN_OPTIONS);
    return Object.fromEntries(values.map(({ key, value }) => [key, value]));
  };

  test("YAML and JSON, names and aliases, numbers as people write them", () => {
    expect(read("learning_rate: 1e-4\nbatch_size: 2\nuse_rslora: true\n")).toEqual({
      learning_rate: 1e-4,
      per_device_train_batch_size: 2,
      use_rslora: true,
    });
    expect(read('{"max-length": 64, "target_modules": ["q_proj"]}')).toEqual({
      max_length: 64,
      target_modules: ["q_proj"],
    });
    expect(read("# nothing\n")).toEqual({});
    expect(read("resume_adapter_file: null\n")).toEqual({});
  });

  test("mlx-lm's lora_parameters: its scale is alpha / rank", () => {
    expect(
      read('lora_parameters: { rank: 8, scale: 20.0, dropout: 0.1, keys: ["self_attn.q_proj"] }'),
    ).toEqual({
      lora_r: 8,
      lora_alpha: 160,
      lora_dropout: 0.1,
      target_modules: ["self_attn.q_proj"],
    });
  });

  test("unknown keys name the nearest known one", () => {
    expect(() => read("lerning_rate: 1\nlora_parameters: { rnk: 1 }\nzzz: 1\n")).toThrow(
      /c\.yaml: 3 problems:\n {2}- lerning_rate is unknown; did you mean learning_rate\?\n.*lora_parameters\.rnk is unknown.*\n {2}- zzz is unknown\n {2}→ keys are the command's options; its --help/,
    );
  });

  test.each([
    ["a: 1\na: 2\n", /c\.yaml: 1 problem:\n.*unique.* line 2/],
    ["a: [1\n", /c\.yaml: \d+ problems?:/],
    ["a: *b\n", /c\.yaml: Unresolved alias .*: b\n {2}→ write/],
    [
      "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c, *c]\n",
      /c\.yaml: Excessive alias count/,
    ],
    ["- 1\n", /c\.yaml: is no list of keys and values/],
    ["lora_parameters: 3\n", /lora_parameters has no keys/],
    ["lora_parameters: { constructor: 1 }\n", /lora_parameters\.constructor is unknown/],
  ])("%j is refused", (source, message) => {
    expect(() => read(source)).toThrow(message);
  });

  test("TRL's datasets are data and data_weights", () => {
    expect(read("datasets: [{ path: a.jsonl, weight: 3 }, { path: b.csv, fraction: 1 }]\n")).toEqual({
      data: ["a.jsonl", "b.csv"],
      data_weights: [3, 1],
    });
    expect(
      read(
        "datasets:\n  - path: json\n    data_files: [a.jsonl, b.jsonl]\n  - path: c.csv\n    split: train\n",
      ),
    ).toEqual({ data: ["a.jsonl", "b.jsonl", "c.csv"] });
    expect(read("datasets: [a.jsonl]\ntest_split_size: 0.1\n")).toEqual({
      data: ["a.jsonl"],
      valid_split: 0.1,
    });
  });

  test("all that is wrong with datasets is told at once", () => {
    const source = `datasets:
  - { path: a.jsonl, weight: -1, columns: [text] }
  - { path: b.jsonl, split: test }
  - 3
`;
    expect(() => read(source)).toThrow(
      [
        "c.yaml: 5 problems:",
        '  - datasets[0] has "columns", which is unknown',
        "  - datasets[0] has the weight -1, wanted a number from 0",
        '  - datasets[1].split is "test", wanted train: rows to judge by are eval_data',
        "  - datasets[2] is 3",
        "  - 1 of 3 datasets have a weight: all must, or none",
      ].join("\n"),
    );
    expect(() => read("datasets: []\n")).toThrow(
      /datasets is \[\]\n.*write datasets: \[\{ path: chats\.jsonl/,
    );
  });

  test("a wrong value is named as it was written", () => {
    const config = parseConfig("lora_parameters: { rank: 0 }\nwarmup_steps: [1]\n", "c.yaml", TRAIN_OPTIONS);
    expect(() => settle("train", TRAIN_OPTIONS, [config, REQUIRED])).toThrow(
      /lora_parameters\.rank is 0, wanted .*\n {2}- warmup_steps is \[1\], wanted a whole number/,
    );
  });
});

describe("options of several numbers", () => {
  const layers = integers({ help: "", min: 0 });
  const ranks = numbersByName({ help: "", wanted: "a number", accepts: (x) => x >= 1 });

  test.each<[unknown, unknown]>([
    [
      ["0", "2"],
      [0, 2],
    ],
    [
      ["0,2", "5"],
      [0, 2, 5],
    ],
    [
      [1, 2],
      [1, 2],
    ],
    [3, [3]],
    [["-1"], undefined],
    [["a"], undefined],
    [[1.5], undefined],
  ])("layers %j", (value, wanted) => expect(layers.read(value)).toEqual(wanted));

  test.each<[unknown, unknown]>([
    [["q_proj=16", "v_proj=8"], { q_proj: 16, v_proj: 8 }],
    [['{"q_proj": 16}'], { q_proj: 16 }],
    [{ q_proj: 16 }, { q_proj: 16 }],
    [["(?=a).*=4"], { "(?=a).*": 4 }],
    [["q_proj"], undefined],
    [["=4"], undefined],
    [["q_proj=0"], undefined],
    [["q_proj=2", "q_proj=3"], undefined],
    [['{"a": 1, "a": 2}'], undefined],
    [["{"], undefined],
  ])("ranks %j", (value, wanted) => expect(ranks.read(value)).toEqual(wanted));
});

test("texts by name are pairs with commas or blanks between, or a mapping", () => {
  const { read } = textsByName({ help: "", wanted: "a column for each name" });
  const want = { prompt: "a question", completion: "b" };
  expect(read("prompt=a question,completion=b")).toEqual(want);
  expect(read(["prompt=a question", "completion=b"])).toEqual(want);
  expect(read(want)).toEqual(want);
  for (const bad of ["prompt", "=a", "prompt=", ["a=b", "a=c"], { a: 1 }, {}, ""]) {
    expect(read(bad), JSON.stringify(bad)).toBeUndefined();
  }
});
