import { writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const evaluate = (data: string, more: readonly string[] = []) =>
  cli.run(["eval", "--model", BUNDLED_MODEL, "--data", data, "--max-length", "64", "--json", ...more]);

interface Report {
  readonly tokens: number;
  readonly report: { readonly tokens: number; readonly labelTokens: number };
}

test("a plain text is cut into windows, of which all but the first token are predicted", async () => {
  const path = cli.path("book.txt.gz");
  writeFileSync(path, gzipSync("Tom put 9 pink candles in the barn. Anna hid them.\n".repeat(60)));
  const { code, stdout, stderr } = await evaluate(path);
  expect(code, stderr).toBe(0);
  const { report } = JSON.parse(stdout) as Report;
  const windows = Math.ceil(report.tokens / 64);
  expect(windows).toBeGreaterThan(9);
  expect(report.labelTokens).toBe(report.tokens - windows);
  expect(stderr).toContain(
    `book.txt.gz: plain text in ${windows} windows of max_length 64, ${report.tokens.toLocaleString("en-US")} tokens`,
  );
});

test("the same rows are the same data, however they are written", async () => {
  const rows = [
    { prompt: "Tom put 9 pink candles in the ", completion: "barn." },
    { prompt: "Anna hid", completion: " one,\nor two." },
  ];
  const write = (name: string, content: string) => {
    const packed = name.endsWith(".gz");
    writeFileSync(cli.path(name), packed ? gzipSync(content) : content);
    return cli.path(name);
  };
  const lines = rows.map((row) => JSON.stringify(row)).join("\n");
  const cells = rows.map(({ prompt, completion }) => `"${prompt}","${completion}"`);
  const results: unknown[] = [];
  for (const path of [
    write("a.jsonl", lines),
    write("a.json", JSON.stringify(rows, null, 2)),
    write("a.json.gz", JSON.stringify(rows)),
    write("a.csv.gz", ["prompt,completion", ...cells].join("\n")),
  ]) {
    const { code, stdout, stderr } = await evaluate(path);
    expect(code, stderr).toBe(0);
    results.push({ ...(JSON.parse(stdout) as object), data: undefined });
    expect(stderr).toContain("rows of prompt and completion: 2");
  }
  for (const result of results) expect(result).toEqual(results[0]);
});

test("what is cut off is refused before anything is loaded", async () => {
  const path = cli.path("cut.jsonl.gz");
  writeFileSync(path, gzipSync('{"text":"a"}\n'.repeat(500)).subarray(0, 40));
  const { code, stderr } = await evaluate(path);
  expect(code).not.toBe(0);
  expect(stderr).toContain("the packed file ends too early: the file is cut off");
});

test("train holds rows out, renames columns and leaves bad rows out", async () => {
  const rows = Array.from({ length: 24 }, (_, i) => ({
    question: `Tom put ${i} pink candles`,
    answer: " there.",
  }));
  const data = cli.write("rows.jsonl", [...rows, { question: 1 }]);
  const out = [
    "--output-dir",
    cli.path("out"),
    "--max-steps",
    "2",
    "--columns",
    "prompt=question,completion=answer",
  ];
  const words = ["train", "--model", BUNDLED_MODEL, "--data", data, ...out, "--valid-split", "0.25"];
  const { code, stdout, stderr } = await cli.run([...words, "--on-bad-row", "skip"]);
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^ {2}1 bad row left out:\n {4}.*rows\.jsonl:25: has no "answer"/m);
  expect(stdout).toMatch(/^ {2}\d of 24 rows held out to judge by$/m);
  expect(stdout).toMatch(/Iter 2: Val loss/);
  const both = await cli.run([...words, "--eval-data", data]);
  expect(both.code).not.toBe(0);
  expect(both.stderr).toContain("valid_split: ");
  const bad = await cli.run(words);
  expect(bad.code).not.toBe(0);
  expect(bad.stderr).toContain('rows.jsonl:25: has no "answer"');
});
