import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const MODEL = ["--model", BUNDLED_MODEL];
const ROWS = [
  { prompt: "Tom put", completion: " 9 pink candles in the barn." },
  { text: "Ben found 9.\nTom hid 🙂" },
  { prompt: "In the hall, Ivan ", completion: "counted 9 pink candles." },
  { text: "" },
  { prompt: "Tom put", completion: " 9 pink candles in the barn." },
];

/** Whoever asks for a device now fails. */
const NO_GPU = { env: { VK_ICD_FILENAMES: "/nowhere.json", WEBGPU_LORA_ADAPTER: "none" } };

const inspect = (words: readonly string[], options = {}) => cli.run(["inspect", ...MODEL, ...words], options);

describe("inspect", () => {
  test("shows rows as they are trained, and what is odd about them, without colours in a pipe", async () => {
    const data = cli.write("rows.jsonl", ROWS);
    const run = await inspect(["--data", data], NO_GPU);
    expect(run.stderr).toBe("  rows of prompt and completion: 3, text: 2\n");
    expect(run.code).toBe(0);
    expect(run.stdout.replaceAll(`${cli.path("")}/`, "")).toBe(GOLDEN);
  });

  test("shows the rows that are asked for, whole, and refuses others", async () => {
    const long = { text: Array.from({ length: 200 }, () => "Tom").join(" ") };
    const data = cli.write("long.jsonl", [long, ...ROWS]);
    const cut = await inspect(["--data", data]);
    expect(cut.stdout).toMatch(/ … \d+ more … /);
    const whole = await inspect(["--data", data, "--row", "1"]);
    expect(whole.stdout).toContain("long.jsonl:1: ");
    expect(whole.stdout).not.toMatch(/ more … |long\.jsonl:2: /);
    expect(whole.stdout.match(/│·Tom/g)).toHaveLength(199);
    expect(await inspect(["--data", data, "--row", "2", "7", "9"])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/2 problems:\n.*no row 7: .*has 6 rows\n.*no row 9/),
    });
  });

  test("of errors it ends with 1, also as JSON", async () => {
    const data = cli.write("bos.jsonl", [{ text: "<|endoftext|>Tom" }, ...ROWS]);
    expect((await inspect(["--data", data])).code).toBe(1);
    const run = await inspect(["--data", data, "--json"]);
    expect(run.code).toBe(1);
    const report = JSON.parse(run.stdout) as Record<string, unknown>;
    expect(report).toMatchObject({
      model: BUNDLED_MODEL,
      data,
      rows: 6,
      findings: [{ level: "error", kind: "double-bos", rows: 1, examples: [`${data}:1`] }, {}, {}, {}],
      shown: expect.arrayContaining([
        expect.objectContaining({ name: `${data}:1`, findings: ["double-bos"] }),
      ]),
    });
  });

  test("writes a page beside the report, and says so where it cannot", async () => {
    const data = cli.write("page.jsonl", ROWS);
    const run = await inspect(["--data", data, "--html", cli.path("page.html")]);
    expect(run).toMatchObject({
      code: 0,
      stderr: expect.stringContaining(`Wrote ${cli.path("page.html")}\n`),
    });
    expect(readFileSync(cli.path("page.html"), "utf8").match(/<article>/g)).toHaveLength(5);
    expect(run.stdout).not.toContain("masked");
    expect(await inspect(["--data", data, "--html", cli.path("none/page.html")])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("html: "),
    });
  });

  test("rows of the evaluation data are found, and rows that are none are told by their lines", async () => {
    cli.write("both/train.jsonl", ROWS.slice(0, 3));
    cli.write("both/valid.jsonl", ROWS.slice(2, 3));
    const both = await inspect(["--data", cli.path("both")]);
    expect(both.stdout).toMatch(/warning: 1 of 3 rows are in the evaluation data, too, .*train\.jsonl:3\)/);
    const named = cli.write("named.jsonl", [{ question: "Tom put", answer: " 9 pink candles" }, ...ROWS]);
    const columns = ["--columns", "prompt=question,completion=answer", "--on-bad-row", "skip"];
    const renamed = await inspect(["--data", named, ...columns]);
    expect(renamed.stdout).toMatch(/^named\.jsonl: 1 rows, /);
    const many = Array.from({ length: 60 }, (_, i) => ({ text: `Tom put ${i}` }));
    const split = await inspect(["--data", cli.write("split.jsonl", many), "--valid-split", "0.5"]);
    expect(split.stderr).toMatch(/\d+ of 60 rows held out to judge by/);
    expect(split.stdout).toMatch(/^split\.jsonl: [1-5]\d rows, /);
    const bad = cli.write("bad.jsonl", [ROWS[0], '{"prompt": "a"', { prompts: "a" }]);
    expect(await inspect(["--data", bad])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/2 problems:\n.*bad\.jsonl:2: [\s\S]*bad\.jsonl:3: has keys "prompts"/),
    });
  });
});

describe("train", () => {
  const train = (words: readonly string[]) =>
    cli.run([...["train", ...MODEL, "--iters", "1", "--adapter-path", cli.path("out")], ...words]);

  test("prints what is odd, once and in short", async () => {
    const data = cli.write("odd.jsonl", ROWS);
    const other = cli.write("other.jsonl", [{ prompt: "Eva put", completion: " 1 lamp in the hall." }]);
    const run = await train(["--data", data, "--eval-data", other]);
    expect(run.code, run.stderr).toBe(0);
    const seam = `warning: 1 of 5 rows have a token that goes over the end of the prompt, and is learnt whole (${data}:3)`;
    const twice = `warning: 1 of 5 rows are the same as an earlier one, token for token (${data}:5)`;
    const [, ofTrain = ""] = run.stdout.split("odd.jsonl: ");
    expect(ofTrain.split("\n").slice(1, 4)).toEqual(["  1 row left out: the text is empty", seam, twice]);
    expect(run.stdout).not.toMatch(/→|evaluation data/);
  });

  test("tells rows that it is judged by, too", async () => {
    const rows = cli.write("learnt.jsonl", ROWS.slice(0, 3));
    const judge = cli.write("judged.jsonl", [ROWS[2], { text: "Eva put 1 lamp in the hall." }]);
    const run = await train(["--data", rows, "--eval-data", judge]);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stdout).toMatch(
      /warning: 1 of 3 rows are in the evaluation data, too, .*\(\S+learnt\.jsonl:3\)/,
    );
    expect(run.stdout.indexOf("learnt.jsonl: 3 rows")).toBeLessThan(
      run.stdout.indexOf("judged.jsonl: 2 rows"),
    );
  });

  test("stops before the first step where it would be useless, unless it is told not to look", async () => {
    const data = cli.write("twice.jsonl", [ROWS[0], { text: "<|endoftext|>Tom" }]);
    const stopped = await train(["--data", data]);
    expect(stopped).toMatchObject({ code: 1, stdout: expect.not.stringContaining("Iter") });
    expect(stopped.stderr).toContain(`twice.jsonl: 1 problem:\n  - 1 of 2 rows begin with BOS twice`);
    expect(stopped.stderr).toContain("--no-check-data trains all the same");
    const forced = await train(["--data", data, "--no-check-data"]);
    expect(forced.code, forced.stderr).toBe(0);
    expect(forced.stdout).toContain("warning: 1 of 2 rows begin with BOS twice");
  });

  test("looks at a sample of many rows first", async () => {
    const rows = Array.from({ length: 2000 }, (_, i) => ({
      prompt: `Tom put ${i} pink candles`,
      completion: " 9",
    }));
    const data = cli.write("many.jsonl", rows);
    const run = await train(["--data", data, "--max-length", "4"]);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain("many.jsonl, a sample of 500 rows: 2 problems:");
    expect(run.stderr).toMatch(
      /none of the 500 rows has a token that is learnt\n.*500 of 500 rows are cut before/,
    );
  });
});

const GOLDEN = `rows.jsonl: 4 of 5 rows, 48 tokens, 35 of them trained; the longest row has 14
  1 row left out: the text is empty
72.9 % of the tokens are trained
Tokens in a row: median 11, 90 % up to 14, 99 % up to 14; the longest is rows.jsonl:2
  11  ████████████████████████████████████████ 2
  12  ████████████████████ 1
  13  0
  14  ████████████████████ 1
warning: 1 of 5 rows have a token that goes over the end of the prompt, and is learnt whole (rows.jsonl:3)
  → end the prompt without a space, and begin the completion with it: in use the prompt is tokenised alone
warning: 1 of 5 rows have an empty text and are left out (rows.jsonl:4)
  → nothing needs to be done
warning: 1 of 5 rows are the same as an earlier one, token for token (rows.jsonl:5)
  → leave them out, unless they are to weigh more

rows.jsonl:1: 11 tokens, 8 trained, ends with <|endoftext|>
  masked   <|endoftext|>│Tom│·put
  trained  ·9│·pink│·candles│·in│·the│·barn│.│<|endoftext|>

rows.jsonl:2: 14 tokens, 13 trained, ends with <|endoftext|>
  masked   <|endoftext|>
  trained  Ben│·found│·9│.│↵
           Tom│·hid│·│\\xF0│\\x9F│\\x99│\\x82│<|endoftext|>

rows.jsonl:3: 12 tokens, 6 trained, ·counted goes over the end of the prompt, ends with <|endoftext|>
  masked   <|endoftext|>│In│·the│·hall│,│·Ivan
  trained  ·counted│·9│·pink│·candles│.│<|endoftext|>

rows.jsonl:4: left out: the text is empty

rows.jsonl:5: 11 tokens, 8 trained, ends with <|endoftext|>
  masked   <|endoftext|>│Tom│·put
  trained  ·9│·pink│·candles│·in│·the│·barn│.│<|endoftext|>
`;
