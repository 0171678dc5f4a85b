import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BUNDLED_MODEL, fixturePath, sharedPath } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();

/** Whoever asks for a device now fails. */
const NO_GPU = { env: { VK_ICD_FILENAMES: "/nowhere.json", WEBGPU_LORA_ADAPTER: "none" } };

/** The files of a fixture's model that are no weights, and a tokenizer. */
function modelFolder(name: string): string {
  const folder = cli.path(name);
  mkdirSync(folder, { recursive: true });
  copyFileSync(fixturePath(`tasks/${name}/config.json`), `${folder}/config.json`);
  const words = ["[PAD]", "[UNK]", "[MASK]", "[CLS]", "[SEP]", ..."abcdefgh", "good", "bad", "film", "##a"];
  writeFileSync(`${folder}/vocab.txt`, `${words.join("\n")}\n`);
  return folder;
}

const inspect = async (task: string, model: string, data: string, more: readonly string[] = []) => {
  const words = ["inspect", "--task", task, "--model", model, "--data", data, ...more];
  const run = await cli.run(words, NO_GPU);
  return { ...run, stdout: run.stdout.replaceAll(`${cli.path("")}/`, "") };
};

describe("inspect --task", () => {
  test("sequence-classification: classes, contradictions and what is among the rows to judge by", async () => {
    const model = modelFolder("bert-sequence");
    const row = (text: string, label: string) => ({ text, label });
    const data = cli.write("labels/train.jsonl", [
      ...[
        row("good film", "pos"),
        row("bad film", "neg"),
        row("a", "pos"),
        row("good film", "neg"),
        row(" ", "pos"),
      ],
    ]);
    cli.write("labels/valid.jsonl", [row("a", "pos")]);
    const run = await inspect("sequence-classification", model, cli.path("labels"), [
      "--labels",
      "neg",
      "pos",
      "odd",
    ]);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stdout).toBe(GOLDEN_LABELS);
    const json = await inspect("sequence-classification", model, data, ["--labels", "neg", "pos", "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({
      ...{ rows: 5, droppedEmpty: 1 },
      labels: [
        { name: "neg", count: 2 },
        { name: "pos", count: 2 },
      ],
      shown: [{ labels: ["pos"], tokens: [{ role: "read" }, {}, {}, {}] }, {}, {}, {}, {}],
    });
    const page = await inspect("sequence-classification", model, data, ["--html", cli.path("labels.html")]);
    expect(page.code, page.stderr).toBe(0);
    expect(readFileSync(cli.path("labels.html"), "utf8")).toMatch(
      /<h2>Classes<\/h2>[\s\S]*class="bar" style="--share:100.0%"/,
    );
  });

  test("token-classification: words with their classes", async () => {
    const data = cli.write("tags.jsonl", [{ tokens: ["good", "film"], tags: ["B-X", "O"] }]);
    const run = await inspect("token-classification", modelFolder("bert-token"), data, [
      "--labels",
      "O",
      "B-X",
    ]);
    expect(run.stdout).toMatch(
      /tags\.jsonl:1: 4 tokens, class B-X, O\n {2}read {5}\[CLS\]\n {2}B-X {6}·?good\n {2}O {8}·?film\n {2}read {5}\[SEP\]/,
    );
    expect(run.code).toBe(0);
  });

  test("sentence-embedding and masked-lm: their texts", async () => {
    const pairs = cli.write("pairs.jsonl", [
      { anchor: "good", positive: "film" },
      { anchor: "bad", positive: "bad" },
    ]);
    const two = await inspect("sentence-embedding", modelFolder("bert-embedding"), pairs);
    expect(two.stdout).toMatch(
      /are pairs of one text with itself[\s\S]* {2}anchor {4}\[CLS\]│·?good│\[SEP\]\n {2}positive {2}\[CLS\]/,
    );
    const texts = cli.write("texts.jsonl", [{ text: "good film" }, { text: "good film" }]);
    const masked = await inspect("masked-lm", modelFolder("bert-masked"), texts);
    expect(masked.stdout).toMatch(/1 of 2 rows are the same as an earlier one/);
  });

  test("image-classification: classes, sizes, and one image in two folders", async () => {
    const image = fixturePath("images/formats");
    const [name = ""] = readdirSync(image).filter((file) => file.endsWith(".png"));
    for (const label of ["cat", "dog"]) {
      mkdirSync(cli.path(`images/${label}`), { recursive: true });
      copyFileSync(`${image}/${name}`, cli.path(`images/${label}/1.png`));
    }
    const folder = cli.path("vit");
    mkdirSync(folder);
    copyFileSync(fixturePath("tasks/vit/config.json"), `${folder}/config.json`);
    const run = await inspect("image-classification", folder, cli.path("images"));
    expect(run.stdout, run.stderr).toMatch(
      /1 of 2 rows are the same as an earlier one, but for[\s\S]*1\.png: \d+ × \d+ pixels, class cat/,
    );
  });

  test("settings of other tasks, and rows that are none, are refused", async () => {
    const model = modelFolder("bert-sequence");
    const data = cli.write("bad.jsonl", [{ text: "a" }]);
    expect((await inspect("masked-lm", model, data, ["--assistant-only-loss"])).code).toBe(2);
    const none = await inspect("sequence-classification", model, data);
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('bad.jsonl:1: has no "label"') });
  });
});

describe("preferences", () => {
  const pair = (prompt: string, chosen: string, rejected: string) => ({ prompt, chosen, rejected });

  test("both answers are shown, with their lengths, and equal ones are found", async () => {
    const data = cli.write("pairs-of.jsonl", [
      pair("Tom put", " 9 pink candles in the barn.", " 3 red lamps."),
      pair("Ivan", " hid", " hid"),
    ]);
    const run = await inspect("causal-lm", BUNDLED_MODEL, data);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toBe("  rows of paired preferences: 2\n");
    expect(run.stdout).toBe(GOLDEN_PAIRS);
    const train = await cli.run([
      "train",
      "--model",
      BUNDLED_MODEL,
      "--data",
      data,
      "--output-dir",
      cli.path("no"),
    ]);
    expect(train).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("is a preference row (chosen, rejected)"),
    });
    expect(existsSync(cli.path("no"))).toBe(false);
  });

  test("beside other rows they are refused", async () => {
    const data = cli.write("mixed.jsonl", [pair("a", "b", "c"), { text: "a" }]);
    const run = await inspect("causal-lm", BUNDLED_MODEL, data);
    expect(run).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("say which answers are better, and others"),
    });
  });

  const dpo = sharedPath("datasets/llamafactory/dpo_en_demo.json");
  test.skipIf(!dpo)("a published data set is inspected", async () => {
    const template = fixturePath("chat/marked.jinja");
    const run = await inspect("causal-lm", BUNDLED_MODEL, dpo as string, [
      "--chat-template",
      template,
      "--json",
    ]);
    expect(JSON.parse(run.stdout)).toMatchObject({
      rows: 300,
      answers: [{ name: "chosen" }, { name: "rejected" }],
    });
  });
});

const GOLDEN_LABELS = `train.jsonl: 4 of 5 rows
  1 row left out: the text is empty
Tokens in a row: median 4, 90 % up to 4, 99 % up to 4; the longest is labels/train.jsonl:1
  3  █████████████ 1
  4  ████████████████████████████████████████ 3
Classes:
  neg  ████████████████████████████████████████ 2
  pos  ████████████████████████████████████████ 2
  odd  0
warning: 1 of 5 rows are in the evaluation data, too, which then cannot tell whether the model learns or remembers (labels/train.jsonl:3)
  → take them out of one of the two
warning: 1 of 5 rows are the same as an earlier one, but for what is said of them (labels/train.jsonl:4)
  → look which of them is right: what contradicts itself cannot be learnt
warning: 1 of 5 rows have an empty text and are left out (labels/train.jsonl:5)
  → nothing needs to be done
warning: no rows have the class odd, which the head has
  → it is never learnt: add such rows, or name the classes of the data by --labels

labels/train.jsonl:1: 4 tokens, class pos
  read     [CLS]│·good│·film│[SEP]

labels/train.jsonl:2: 4 tokens, class neg
  read     [CLS]│·bad│·film│[SEP]

labels/train.jsonl:3: 3 tokens, class pos
  read     [CLS]│·a│[SEP]

labels/train.jsonl:4: 4 tokens, class neg
  read     [CLS]│·good│·film│[SEP]

labels/train.jsonl:5: left out: the text is empty
`;
const GOLDEN_PAIRS = `pairs-of.jsonl: 2 rows, 27 tokens, 17 of them trained; the longest row has 11
63.0 % of the tokens are trained
Answers: 2 chosen of 5.0 tokens on average, 2 rejected of 3.5 tokens on average; the chosen one is the longer in 50.0 % of the pairs
Tokens in a row: median 4, 90 % up to 11, 99 % up to 11; the longest is pairs-of.jsonl:1
   4  ████████████████████████████████████████ 1
   5  0
   6  0
   7  0
   8  0
   9  0
  10  0
  11  ████████████████████████████████████████ 1
warning: 1 of 2 rows have two equal answers, between which nothing can be preferred (pairs-of.jsonl:2)
  → leave them out

pairs-of.jsonl:1: 16 tokens; chosen 8, ends with <|endoftext|>; rejected 5, ends with <|endoftext|>
  prompt    <|endoftext|>│Tom│·put
  chosen    ·9│·pink│·candles│·in│·the│·barn│.│<|endoftext|>
  rejected  ·3│·red│·lamps│.│<|endoftext|>

pairs-of.jsonl:2: 6 tokens; chosen 2, ends with <|endoftext|>; rejected 2, ends with <|endoftext|>
  prompt    <|endoftext|>│Ivan
  chosen    ·hid│<|endoftext|>
  rejected  ·hid│<|endoftext|>
`;
