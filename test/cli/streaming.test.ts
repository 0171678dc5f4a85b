import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { type Finished, useCli } from "./run-cli.ts";

const cli = useCli();
const NAMES = ["Tom", "Anna", "Ben", "Clara", "Ivan"];
const rowOf = (i: number) => ({ text: `${NAMES[i % 5]} found ${i} pink candles in the barn.` });
const ROWS = Array.from({ length: 21 }, (_, i) => rowOf(i));

const train = (data: readonly string[], words: readonly string[] = []) =>
  cli.run([
    ...["train", "--model", BUNDLED_MODEL, "--lora-r", "2", "--batch-size", "2", "--logging-steps", "1"],
    ...["--save-steps", "0", "--seed", "3", "--output-dir", cli.path("out"), "--max-length", "16"],
    ...data.flatMap((path) => ["--data", path]),
    ...words,
  ]);

/** The losses of a run, and what it has learnt. */
function learnt({ code, stdout, stderr }: Finished) {
  expect(code, stderr).toBe(0);
  const losses = stdout.match(/(?<=Train loss )\d+\.\d+/g);
  return { losses, bytes: readFileSync(cli.path("out/adapter_model.safetensors")) };
}

test("rows that are read as they are needed give the bytes of rows in memory", async () => {
  const data = cli.write("rows.jsonl", ROWS);
  writeFileSync(cli.path("packed.jsonl.gz"), gzipSync(readFileSync(data)));
  const split = ["--valid-split", "0.2"];
  const memory = await train([data], split);
  const wanted = learnt(memory);
  const streamed = await train([data], [...split, "--streaming"]);
  expect(streamed.stdout).toMatch(/rows\.jsonl: \d+ rows, read as they are needed\n/);
  expect(learnt(streamed)).toEqual(wanted);
  const judged = ({ stdout }: Finished) => stdout.match(/Val loss \d+\.\d+/g);
  expect(judged(streamed)).toHaveLength(2);
  expect(judged(streamed)).toEqual(judged(memory));
  const packed = await train([cli.path("packed.jsonl.gz")], [...split, "--streaming"]);
  expect(learnt(packed)).toEqual(wanted);
});

test("a bad row stops the run where it is met, or is left out and told at the end", async () => {
  // Behind those that are looked at before the first step.
  const bad = cli.write(
    "bad.jsonl",
    Array.from({ length: 520 }, (_, i) => (i === 510 ? { txet: "half a row" } : rowOf(i))),
  );
  const words = ["--streaming", "--batch-size", "260", "--no-check-data", "--max-length", "4"];
  const stopped = await train([bad], words);
  expect(stopped.code).toBe(1);
  expect(stopped.stderr).toMatch(/bad\.jsonl:511: has keys "txet", wanted "text"/);
  const skipped = await train([bad], [...words, "--on-bad-row", "skip"]);
  expect(skipped.code, skipped.stderr).toBe(0);
  expect(skipped.stdout).toMatch(/1 bad row left out:\n {4}\S*bad\.jsonl:511: has keys/);
});

test("several data sets are learnt from together, in memory and as they are needed", async () => {
  const [first, second] = [cli.write("a.jsonl", ROWS.slice(0, 6)), cli.write("b.jsonl", ROWS.slice(6))];
  const whole = learnt(await train([cli.write("rows.jsonl", ROWS)]));
  const both = await train([first, second], ["--streaming"]);
  expect(both.stdout).toMatch(/a\.jsonl: 6 rows, \d+\.\d % of the tokens\n {2}b\.jsonl: 15 rows, /);
  expect(learnt(both)).toEqual(whole);
  const weights = ["--data-weights", "1,1"];
  const weighed = await train([first, second], weights);
  expect(weighed.stdout).toMatch(/b\.jsonl: 15 rows, 6 drawn in an epoch, 52\.\d % of the tokens/);
  const wanted = learnt(weighed);
  expect(wanted.losses).toHaveLength(6);
  expect(learnt(await train([first, second], [...weights, "--streaming"]))).toEqual(wanted);
});

test.each([
  [["--data-weights", "1"], /data_weights: there are 1 weights for 2 data sets/],
  [["--data-weights", "0,0"], /data_weights: all are 0/],
  [["--data-weights", "1,-1"], /--data-weights is .*, wanted numbers, each/],
])("weights %j are refused", async (words, why) => {
  const [first, second] = [cli.write("a.jsonl", ROWS.slice(0, 6)), cli.write("b.jsonl", ROWS.slice(6))];
  expect((await train([first, second], words)).stderr).toMatch(why);
});

test("other tasks, packing and plain text are read as they are needed, too", async () => {
  const data = cli.write("rows.jsonl", ROWS);
  const packed = await train([data], ["--streaming", "--packing", "--max-length", "64"]);
  expect(packed.code, packed.stderr).toBe(0);
  expect(packed.stdout).toMatch(/the first ones: packed 21 rows into \d sequences of max_length 64/);
  writeFileSync(cli.path("book.txt"), ROWS.map(({ text }) => text).join("\n"));
  const book = await train([cli.path("book.txt")], ["--streaming", "--max-length", "32"]);
  expect(book.code, book.stderr).toBe(0);
  expect(book.stdout).toContain("book.txt: 1 parts of a plain text, read as they are needed");
  const empty = cli.write("empty.jsonl", []);
  expect((await train([empty], ["--streaming"])).stderr).toMatch(/empty\.jsonl: has no rows/);
});

test("eval and inspect say of rows that are read as they are needed what they say of rows in memory", async () => {
  const data = cli.write("rows.jsonl", [...ROWS, ROWS[3]]);
  const words = ["--model", BUNDLED_MODEL, "--data", data, "--max-length", "16", "--json"];
  const judged = ["memory", "streamed"].map((of) =>
    cli.run(["eval", ...words, "--batch-size", "4", ...(of === "streamed" ? ["--streaming"] : [])]),
  );
  const [memory, streamed] = await Promise.all(judged);
  expect(streamed?.code, streamed?.stderr).toBe(0);
  expect(streamed?.stdout).toBe(memory?.stdout);
  const looked = await Promise.all([
    cli.run(["inspect", ...words]),
    cli.run(["inspect", ...words, "--streaming"]),
  ]);
  expect(JSON.parse(looked[0].stdout)).toMatchObject({
    rows: 22,
    findings: [{ kind: "duplicate", rows: 1 }],
  });
  expect(looked[1].stdout).toBe(looked[0].stdout);
});

test("a table whose first line is a row names the option, in memory and as it is needed", async () => {
  const table = cli.path("plain.csv");
  writeFileSync(table, "1,good film\n0,bad film\n1,fine\n");
  const words = ["inspect", "--model", BUNDLED_MODEL, "--data", table];
  const hint =
    /plain\.csv:2: has keys.*[\s\S]*the first line is taken for names .*--no-header --columns text=0,label=1/;
  expect((await cli.run(words)).stderr).toMatch(hint);
  expect((await cli.run([...words, "--streaming"])).stderr).toMatch(hint);
});
