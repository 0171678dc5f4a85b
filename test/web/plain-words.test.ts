import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { METHODS } from "../../src/adapters/methods.ts";
import { TRAINER_DEFAULTS } from "../../src/train/trainer-options.ts";
import { LoraError, Problems } from "../../src/util/fail.ts";
import { formatOfText } from "../../src/web/page/data-part.ts";
import { engineMethod, methodTitle, PAGE_METHODS } from "../../src/web/page/methods.ts";
import { plainText, plainWords } from "../../src/web/page/plain-words.ts";
import { DEFAULTS } from "../../src/web/page/settings-form.ts";
import { ROOT } from "../support/shaders.ts";

/** Texts of the sources whose errors a page can show, that name a flag of the command line. */
function* textsWithFlags(): Generator<string> {
  for (const folder of ["data", "io", "load", "adapters"])
    for (const path of readdirSync(join(ROOT, "src", folder), { recursive: true, encoding: "utf8" })) {
      if (!path.endsWith(".ts")) continue;
      const source = readFileSync(join(ROOT, "src", folder, path), "utf8").replace(
        /^\s*(?:\/\/|\/?\*).*$/gm,
        "",
      );
      for (const [, text = ""] of source.matchAll(
        /["'`]((?:[^"'`\\\n]|\\.)*--[a-z][\w-]*(?:[^"'`\\\n]|\\.)*)["'`]/g,
      ))
        yield text;
    }
}

test("no flag of the command line shows in the page, neither in what happened nor in what to do", () => {
  const texts = [...textsWithFlags()];
  expect(texts.length).toBeGreaterThan(20);
  for (const text of texts) {
    expect(plainWords(new LoraError("input", "file", "is bad", text))).not.toMatch(/--[a-z]/);
    expect(plainWords(new LoraError("input", "file", text))).not.toMatch(/--[a-z]/);
  }
});

test.each<[what: string, help: string, words: RegExp]>([
  [
    "is a preference row (chosen, rejected), by which causal-lm cannot be trained: --task dpo",
    "",
    /leave out “rejected”/,
  ],
  [
    'has keys "question", wanted "text", "prompt" and "completion", or "messages" (or …)',
    "",
    /has question\. An example has “prompt”/,
  ],
  [
    "architecture MambaForCausalLM is not supported",
    "supported: LlamaForCausalLM, LlamaModel, GPT2LMHeadModel",
    /reads Llama, GPT2\.$/,
  ],
  [
    "the server answered 403 Forbidden (https://huggingface.co/x)",
    "set HF_TOKEN",
    /does not give owner\/name[\s\S]*huggingface\.co\/owner\/name,/,
  ],
  [
    "the browser's storage for this site is full",
    "free disk space, clear this site's data, or load the model with { cache: false }",
    /full\nDelete a model/,
  ],
  [
    "is neither a model, nor an adapter, nor a file of examples",
    "an adapter has adapter_config.json",
    /examples\nAn adapter has adapter_config\.json\.$/,
  ],
])("%s is said in the page's words", (what, help, words) => {
  const said = plainWords(new LoraError("input", "owner/name/file", what, help));
  expect(said).toMatch(words);
  expect(said).not.toMatch(/HF_TOKEN|cache:/);
});

test("what does not come is told with what to do", () => {
  const what =
    "gave up after 5 attempts: Failed to fetch (https://huggingface.co/owner/name/resolve/main/config.json?x)";
  const said =
    "config.json: cannot be reached now.\nCheck the connection, and try again: what has come is kept.";
  expect(plainWords(new LoraError("network", "config.json", what))).toBe(said);
  expect(plainWords(new TypeError("Failed to fetch"))).toMatch(/did not come\.\nCheck the connection/);
  expect(plainWords(new Error("x"))).toBe("x");
});

test("several problems are told without the signs of a terminal, one as if it were alone, each with what to do", () => {
  const cut = new LoraError("input", "x.gguf/x.gguf", "0 bytes are too few", "the file is damaged");
  expect(plainWords(cut)).toBe("x.gguf: 0 bytes are too few\nThe file is damaged.");
  const config = new LoraError(
    "input",
    "adapter/adapter_config.json",
    new Problems(["peft_type is missing"]),
    "adapter_config.json is PEFT's own",
  );
  const both = new LoraError("input", "adapter", new Problems([config, cut]), "run python x.py");
  expect(plainWords(both)).toBe(
    [
      "adapter: 2 problems:",
      "– adapter/adapter_config.json: peft_type is missing",
      "adapter_config.json is PEFT's own.",
      "– x.gguf: 0 bytes are too few",
      "The file is damaged.",
    ].join("\n"),
  );
});

test.each<[what: string, words: RegExp]>([
  ["is not UTF-8 text: the byte 0x89 is not allowed there", /is no text in UTF-8\. .*save a text as UTF-8/],
  ["is UTF-16LE text without a byte-order mark", /is text in UTF-16LE\. Save it as UTF-8/],
  [
    'has no keys, wanted "text", "prompt" and "completion", or "messages" (or …)',
    /says nothing\. An example has/,
  ],
])("a file that %s is told with what to do", (what, words) => {
  expect(plainWords(new LoraError("input", "rows.jsonl:1", what))).toMatch(words);
});

test("every way to learn has a title for people, by what its files call it", () => {
  expect(["LORA", "ADALORA", "IA3", "PROMPT_TUNING"].map(methodTitle)).toEqual([
    ...["LoRA", "AdaLoRA", "IA³", "Prompt tuning"],
  ]);
  for (const { type } of METHODS) expect(methodTitle(type)).not.toMatch(/_|^[A-Z]{5}/);
});

test("a storage that is full is told in the same words by what failed and by what goes on", () => {
  const what =
    "cannot be written: The operation failed because it would cause the application to exceed its storage quota.";
  const help = "free disk space, or clear what this site has stored";
  const said =
    "the storage of this browser is full.\nDownload what it learnt before you close the page, or free disk space and train anew.";
  const error = new LoraError("input", "page/run", what, help);
  expect(plainWords(error)).toBe(said);
  expect(plainText(`not saved, the run goes on: ${error.message}`)).toBe(
    `not saved, the run goes on: ${said}`,
  );
});

test("what is pasted is known by how it begins", () => {
  const texts = [
    '{"text":"a"}',
    '[{"text":"a"}]',
    "prompt,completion\na,b",
    "prompt\tcompletion\na\tb",
    "Once, there was.",
  ];
  expect(texts.map(formatOfText)).toEqual(["jsonl", "json", "csv", "tsv", "txt"]);
});

test("each way to learn that the page offers is one of the library's, which takes its options", () => {
  for (const { name, size } of PAGE_METHODS) {
    const settings = { ...DEFAULTS, method: name, rank: size?.fallback ?? 1 };
    const { method, ...options } = engineMethod(settings, ["q_proj"]);
    const kind = METHODS.find((kind) => kind.name === method);
    expect(() => kind?.make(options as never), name).not.toThrow();
    expect(kind, name).toBeDefined();
  }
});

test("the defaults are the library's", () => {
  const { learningRate, batchSize, gradientAccumulationSteps, activationBits } = TRAINER_DEFAULTS;
  expect(DEFAULTS).toMatchObject({ learningRate, batchSize, gradientAccumulationSteps, activationBits });
});
