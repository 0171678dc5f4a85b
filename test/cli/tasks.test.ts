import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fixturePath } from "../support/fixtures.ts";
import { LETTERS, writeTaskModel } from "../support/task-model.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const modelFolder = (name: string) => writeTaskModel(cli.path(name), name);

const TRAIN = ["--learning-rate", "0.02", "--batch-size", "6", "--lora-r", "4", "--iters", "30"];
const quiet = ["--steps-per-report", "30", "--steps-per-eval", "0"];

async function train(task: string, model: string, data: string, more: readonly string[] = []) {
  const out = cli.path(`${task}-out`);
  const words = ["train", "--task", task, "--model", model, "--data", data, "--output-dir", out];
  const result = await cli.run([...words, ...TRAIN, ...quiet, ...more]);
  expect(result, result.stderr + result.stdout).toMatchObject({ code: 0 });
  return { out, lines: result.stdout.trimEnd().split("\n") };
}

async function evaluation(task: string, model: string, data: string, adapter?: string) {
  const adapted = adapter === undefined ? [] : ["--adapter-path", adapter];
  const words = ["eval", "--task", task, "--model", model, "--data", data, ...adapted];
  const result = await cli.run([...words, "--json"]);
  expect(result, result.stderr).toMatchObject({ code: 0 });
  return JSON.parse(result.stdout) as Record<string, unknown>;
}

describe("sequence classification", () => {
  const rows = Array.from({ length: 12 }, (_, i) => ({
    text: `${i % 2 ? "good" : "bad"} film ${LETTERS[i]}`,
    label: i % 2 ? "pos" : "neg",
  }));

  test("packed rows are learnt one by one", async () => {
    const model = modelFolder("bert-masked");
    const data = cli.write("packed.jsonl", rows);
    const more = ["--packing", "--max-length", "12"];
    const { out, lines } = await train("sequence-classification", model, data, more);
    expect(lines).toContain("packed 12 rows into 6 sequences of max_length 12: fill 83.3 %");
    expect(await evaluation("sequence-classification", model, data, out)).toMatchObject({ accuracy: 1 });
  });

  test("from CSV, with a new head for the data's classes; eval finds the classes again", async () => {
    const model = modelFolder("bert-masked");
    const csv = ["text,label", ...rows.map(({ text, label }) => `"${text}, ""x""",${label}`)];
    const data = cli.write("csv/train.csv", csv);
    cli.write("csv/valid.csv", csv.slice(0, 5));
    const { out, lines } = await train("sequence-classification", model, cli.path("csv"));
    expect(lines.join("\n")).toMatch(
      /The head starts at random: bert\.pooler\.dense\.weight, .*classifier\.weight/,
    );
    expect(lines).toContain("train.csv: 12 rows");
    const vals = lines.filter((line) => line.includes("Val loss"));
    expect(vals.at(-1)).toMatch(/Val loss 0\.\d+, Val took [\d.]+s, accuracy 1\.0000, F1 1\.0000$/);
    expect(JSON.parse(readFileSync(`${out}/labels.json`, "utf8"))).toEqual(["neg", "pos"]);
    const config = JSON.parse(readFileSync(`${out}/adapter_config.json`, "utf8")) as object;
    // The pooler, which the checkpoint lacks, would else be another one wherever the adapter is loaded.
    const modules_to_save = ["classifier", "score", "bert.pooler.dense"];
    expect(config).toMatchObject({ task_type: "SEQ_CLS", modules_to_save });

    const judged = await evaluation("sequence-classification", model, data, out);
    expect(judged).toMatchObject({
      accuracy: 1,
      f1: 1,
      count: 12,
      confusion: [
        [6, 0],
        [0, 6],
      ],
    });
    const { stdout } = await cli.run(
      `eval --task sequence-classification --model ${model} --data ${data} --adapter-path ${out}`.split(" "),
    );
    expect(stdout).toMatch(
      /accuracy 1\.0000, F1 1\.0000, 12 labels\.\nclass precision[\s\S]*\n {2}neg {5}6 {3}0\n/,
    );
  });

  test("pairs of texts, of which only the second one counts", async () => {
    const model = modelFolder("bert-sequence");
    const pairs = Array.from({ length: 16 }, (_, i) => {
      const [first, second] = [i & 1 ? "good" : "bad", i & 2 ? "good" : "bad"];
      return { text: first, text_pair: `${second} film`, label: second === "good" ? "yes" : "no" };
    });
    const data = cli.write("text-pairs.jsonl", pairs);
    const labels = ["--labels", "no", "yes", "--iters", "60"];
    const { out } = await train("sequence-classification", model, data, labels);
    expect(await evaluation("sequence-classification", model, data, out)).toMatchObject({ accuracy: 1 });
  });

  test("bad rows are all named; a label outside the head too", async () => {
    const model = modelFolder("bert-sequence");
    const run = async (lines: readonly unknown[], more: readonly string[] = []) => {
      const data = cli.write("bad.jsonl", lines);
      const words = ["train", "--task", "sequence-classification", "--model", model, "--data", data];
      return cli.run([...words, "--output-dir", cli.path("bad-out"), ...more]);
    };
    const bad = await run([{ text: "a" }, { txt: "a", label: 1 }, { text: 3, label: 1 }, "[1]"]);
    expect(bad.code).toBe(1);
    expect(bad.stderr).toContain("bad.jsonl:4: is a list, wanted a JSON object");
    const rows = await run([{ text: "a" }, { txt: "a", label: 1 }, { text: 3, label: 1 }]);
    for (const part of [
      'bad.jsonl:1: has no "label", but "text"',
      'is "txt" meant?',
      '"text" is 3, wanted a string',
    ]) {
      expect(rows.stderr).toContain(part);
    }
    const outside = await run(
      [
        { text: "a", label: "x" },
        { text: "b", label: "y" },
      ],
      ["--labels", "x", "z"],
    );
    expect(outside.stderr).toContain("data: the labels y are outside the head, which has x, z");
    const empty = await run([
      { text: " ", label: 0 },
      { text: "", label: 1 },
    ]);
    expect(empty.stderr).toContain("no row has a text");
    const one = await run([{ text: "a", label: "x" }]);
    expect(one.stderr).toContain("there is one class, x");
  });
});

test("token classification, masked language modelling and sentence pairs learn", async () => {
  const words = Array.from({ length: 12 }, (_, i) => [LETTERS[i], "film", LETTERS[i + 3]]);
  const tagged = words.map((tokens) => ({
    tokens,
    tags: tokens.map((word) => (word === "film" ? "B-THING" : "O")),
  }));
  const token = modelFolder("bert-token");
  const tokenData = cli.write("tokens.jsonl", tagged);
  const tagger = await train("token-classification", token, tokenData);
  expect(await evaluation("token-classification", token, tokenData, tagger.out)).toMatchObject({
    accuracy: 1,
    count: 36,
    entities: { precision: 1, recall: 1, f1: 1, support: 12, types: [{ label: "THING", f1: 1 }] },
  });
  const told = `eval --task token-classification --model ${token} --data ${tokenData}`.split(" ");
  const { stdout } = await cli.run([...told, "--adapter-path", tagger.out]);
  expect(stdout).toMatch(/\nEntities: precision 1\.0000, recall 1\.0000, F1 1\.0000, 12 entities\.\nentity /);

  const csv = cli.write("tags.csv", ["tokens,tags", "a b,O O"]);
  const refused = await cli.run(told.map((word) => (word === tokenData ? csv : word)));
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/tags\.csv cannot be used\n {2}→ a cell holds no list.*write \.jsonl/);

  const masked = modelFolder("bert-masked");
  const texts = cli.write(
    "texts.jsonl",
    Array.from({ length: 12 }, () => ({ text: "good film good film" })),
  );
  const filler = await train("masked-lm", masked, texts);
  const before = await cli.run(["eval", "--task", "masked-lm", "--model", masked, "--data", texts, "--json"]);
  const { loss } = await evaluation("masked-lm", masked, texts, filler.out);
  expect(loss as number).toBeLessThan((JSON.parse(before.stdout) as { loss: number }).loss / 2);

  const pairs = LETTERS.slice(0, 12).map((letter) => ({
    anchor: `good ${letter}`,
    positive: `film ${letter}`,
  }));
  const encoder = modelFolder("bert-embedding");
  const pairData = cli.write("pairs.jsonl", pairs);
  const embedder = await train("sentence-embedding", encoder, pairData);
  const judged = await evaluation("sentence-embedding", encoder, pairData, embedder.out);
  expect(judged.loss as number).toBeLessThan(0.5);
});

test("a decoder that embeds texts by the last token, which its tokenizer appends: train, evaluate, merge", async () => {
  const decoder = cli.path("qwen3-embedding");
  cpSync(fixturePath("tasks/qwen3-embedding"), decoder, { recursive: true });
  const vocab = Object.fromEntries(
    ["<pad>", "<bos>", "<eos>", ...LETTERS, "good", "film"].map((word, i) => [word, i]),
  );
  const special = ["<pad>", "<bos>", "<eos>"].map((content, id) => ({
    ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
  }));
  const template = (...ids: string[]) => [
    ...ids.map((id) => ({ Sequence: { id, type_id: 0 } })),
    { SpecialToken: { id: "<eos>", type_id: 0 } },
  ];
  cli.write("qwen3-embedding/tokenizer.json", [
    {
      ...{ version: "1.0", truncation: null, padding: null, added_tokens: special, normalizer: null },
      pre_tokenizer: { type: "Whitespace" },
      post_processor: {
        ...{ type: "TemplateProcessing", single: template("A"), pair: template("A", "B") },
        special_tokens: { "<eos>": { id: "<eos>", ids: [2], tokens: ["<eos>"] } },
      },
      decoder: null,
      model: { type: "WordLevel", vocab, unk_token: "<pad>" },
    },
  ]);
  const pairs = LETTERS.slice(0, 12).map((letter) => ({
    anchor: `good ${letter}`,
    positive: `film ${letter}`,
  }));
  const data = cli.write("decoder-pairs.jsonl", pairs);
  const before = await evaluation("sentence-embedding", decoder, data);
  const { out } = await train("sentence-embedding", decoder, data);
  const config = JSON.parse(readFileSync(`${out}/adapter_config.json`, "utf8")) as object;
  expect(config).toMatchObject({ task_type: "FEATURE_EXTRACTION" });
  const after = await evaluation("sentence-embedding", decoder, data, out);
  expect(after.loss as number).toBeLessThan((before.loss as number) / 2);
  const merged = cli.path("qwen3-merged");
  const words = ["merge", "--task", "sentence-embedding", "--model", decoder, "--adapter-path", out];
  expect(await cli.run([...words, "--output-dir", merged])).toMatchObject({ code: 0 });
  const again = await evaluation("sentence-embedding", merged, data);
  expect(again.loss as number).toBeCloseTo(after.loss as number, 4);
});

test("image classification from a folder of images; a file that is no image is named", async () => {
  const model = cli.path("vit");
  cpSync(fixturePath("tasks/vit"), model, { recursive: true });
  const image = (path: string, file: string) => {
    mkdirSync(cli.path(path), { recursive: true });
    copyFileSync(fixturePath(`images/${file}`), cli.path(`${path}/${file}`));
  };
  for (const part of ["train", "valid"]) {
    for (const file of ["colour.png", "colour.jpg", "alpha.png"]) image(`pictures/${part}/colour`, file);
    image(`pictures/${part}/grey`, "grey.png");
  }
  const { out, lines } = await train("image-classification", model, cli.path("pictures"));
  expect(lines).toContain("train: 4 images");
  expect(lines.filter((line) => line.includes("Val loss")).at(-1)).toContain("accuracy 1.0000");
  const config = JSON.parse(readFileSync(`${out}/adapter_config.json`, "utf8")) as object;
  expect(config).toMatchObject({
    task_type: null,
    auto_mapping: { base_model_class: "ViTForImageClassification" },
    modules_to_save: ["classifier"],
  });
  cli.write("pictures/train/colour/broken.jpg", ["no image either"]);
  cli.write("pictures/train/grey/broken.png", ["not an image"]);
  const words = ["train", "--task", "image-classification", "--model", model, "--data", cli.path("pictures")];
  const broken = await cli.run([...words, "--output-dir", cli.path("never")]);
  expect(broken.stderr).toMatch(
    /train: 2 problems:\n.*broken\.jpg: is no image.*\n +→ .*\n.*broken\.png: is no image that can be decoded/,
  );
});

describe("what cannot be meant is refused before anything is written", () => {
  const rows = [
    { text: "a", label: "x" },
    { text: "b", label: "y" },
  ];
  const run = (task: string, model: string, data: string, more: readonly string[] = []) =>
    cli.run([
      ...["train", "--task", task, "--model", modelFolder(model), "--data", data],
      ...["--output-dir", cli.path("never"), "--iters", "1", ...more],
    ]);

  test("a column that is there twice, a class that is named twice, classes where there are none", async () => {
    const twice = await run(
      "sequence-classification",
      "bert-sequence",
      cli.write("twice.csv", ["text,text,label", "a,b,c"]),
    );
    expect(twice).toMatchObject({ code: 1, stdout: "" });
    expect(twice.stderr).toMatch(/twice\.csv: 1 problem:\n {2}- the column text is there twice/);
    const data = cli.write("two.jsonl", rows);
    const named = ["--labels", "x", "--labels", "y", "--labels", "x"];
    const labels = await run("sequence-classification", "bert-sequence", data, named);
    expect(labels.stderr).toContain("labels: the class x is named twice");
    const none = await run("masked-lm", "bert-masked", data, named);
    expect(none).toMatchObject({ code: 2 });
    expect(none.stderr).toContain("labels means nothing for masked-lm\n  → leave out --labels");
    const image = await run("image-classification", "bert-masked", data, [
      "--max-length",
      "9",
      "--mask-prompt",
    ]);
    expect(image.stderr).toMatch(
      /completion_only_loss means nothing for image-[\s\S]*max_length means nothing/,
    );
    expect(existsSync(cli.path("never"))).toBe(false);
  });

  test("findings are told by train as by inspect, and errors stop it, also of rows that are read as they are needed", async () => {
    const data = cli.write("seen.jsonl", [...rows, { text: "b", label: "x" }, { text: "b", label: "y" }]);
    const judge = cli.write("judge.jsonl", [...rows.slice(0, 1), { text: "c", label: "x" }]);
    const alike = cli.write("alike.jsonl", [{ text: "a", label: "x" }]);
    const head = ["--labels", "x", "--labels", "y", "--eval-data", judge, "--iters", "1"];
    for (const how of [[], ["--streaming"]]) {
      const { stdout, stderr: why } = await run("sequence-classification", "bert-sequence", data, [
        ...head,
        ...how,
      ]);
      expect(stdout, why).toMatch(
        /warning: 1 of 4 rows are in the evaluation data, too, .*\(\S*seen\.jsonl:1\)/,
      );
      expect(stdout).toMatch(
        /warning: \d of 4 rows are the same as an earlier one, but for what is said of them/,
      );
      expect(stdout).not.toContain("1 of 2 rows");
      const { stderr } = await run("sequence-classification", "bert-sequence", alike, [...head, ...how]);
      expect(stderr).toMatch(/alike\.jsonl.*\n.*all rows have the class x: there is nothing to tell apart/);
    }
  });

  test("a pair alone, and batches of one pair", async () => {
    const data = cli.write("pair.jsonl", [{ anchor: "a", positive: "b" }]);
    const alone = await run("sentence-embedding", "bert-embedding", data);
    expect(alone.stderr).toMatch(/pair\.jsonl: has one pair only\n {2}→ .*two or more/);
    const batches = await run("sentence-embedding", "bert-embedding", data, ["--batch-size", "1"]);
    expect(batches).toMatchObject({ code: 2 });
    expect(batches.stderr).toContain("per_device_train_batch_size: 1 leaves nothing to tell a pair from");
  });

  test("long rows are left out where that is asked for; if none is left, that is an error", async () => {
    const long = "a ".repeat(30);
    const drop = ["--truncation", "drop"];
    const some = cli.write("some.jsonl", [...rows, { text: long, label: "x" }, { text: " ", label: "y" }]);
    const { stdout } = await run("sequence-classification", "bert-sequence", some, drop);
    expect(stdout).toMatch(
      /some\.jsonl: 2 of 4 rows\n {2}1 row left out: the text is empty\n {2}1 row left out: longer than max_length 12\n/,
    );
    const none = cli.write(
      "none.jsonl",
      rows.map((row) => ({ ...row, text: long })),
    );
    const { stderr } = await run("sequence-classification", "bert-sequence", none, drop);
    expect(stderr).toContain("every row is longer than max_length 12");
  });

  test("images to judge by that are no folder", async () => {
    const model = cli.path("vit");
    const words = [
      "train",
      "--task",
      "image-classification",
      "--model",
      model,
      "--data",
      cli.path("pictures"),
    ];
    const { stderr } = await cli.run([...words, "--eval-data", cli.write("no-folder.jsonl", rows)]);
    expect(stderr).toMatch(/eval_data: .*no-folder\.jsonl is no folder\n/);
  });

  test("classes that only the validation data have are named", async () => {
    cli.write("unseen/train.jsonl", rows);
    cli.write("unseen/valid.jsonl", [{ text: "c", label: "z" }]);
    const { stdout } = await run("sequence-classification", "bert-sequence", cli.path("unseen"));
    expect(stdout).toMatch(/valid\.jsonl has classes that .*train\.jsonl does not teach: z\n/);
  });
});

test("a task that the model has no head for names those that it has", async () => {
  const data = cli.write("rows.jsonl", [{ text: "a" }, { text: "b" }]);
  const model = modelFolder("bert-sequence");
  const result = await cli.run([
    "train",
    "--model",
    model,
    "--data",
    data,
    "--output-dir",
    cli.path("never"),
  ]);
  expect(result.stderr).toMatch(
    /bert has no head for causal-lm[\s\S]*sequence-classification, token-classification/,
  );
});
