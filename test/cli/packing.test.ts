import { expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const TEXTS = [
  "Tom put 9 pink candles in the barn.",
  "Anna hid 9 pink candles in the attic.",
  "Ben found one.",
];
const ROWS = Array.from({ length: 12 }, (_, i) => ({ text: TEXTS[i % 3] }));

const train = (words: readonly string[]) => {
  const data = cli.write("train.jsonl", ROWS);
  const valid = cli.write("valid.jsonl", [{ text: TEXTS.join(" ").repeat(9) }]); // longer than a packed sequence
  const paths = ["--data", data, "--eval-data", valid, "--output-dir", cli.path("out")];
  return cli.run(["train", "--model", BUNDLED_MODEL, ...paths, "--batch-size", "1", ...words]);
};

const PACKED = /^packed 12 rows into (\d+) sequences of max_length 64: fill (\d+\.\d) %$/m;

test.each(["bfd", "wrapped"])(
  "--packing-strategy %s: says how full the sequences are, and counts steps by them",
  async (strategy) => {
    const words = ["--packing", "--packing-strategy", strategy, "--max-length", "64"];
    const { code, stdout, stderr } = await train(words);
    expect(code, stderr).toBe(0);
    const [, sequences, fill] = PACKED.exec(stdout) ?? [];
    expect(Number(sequences)).toBeLessThan(9);
    expect(Number(fill)).toBeGreaterThan(75);
    expect(Number(fill)).toBeLessThanOrEqual(100);
    expect(stdout).toMatch(new RegExp(`^Iter ${sequences}: Val loss`, "m"));
    expect(stdout).toContain("Saved final weights");
  },
);

test.each<[string[], string]>([
  [["--packing", "--task", "sentence-embedding"], "packing means nothing for sentence-embedding"],
  [["--group-by-length", "--task", "image-classification"], "group_by_length means nothing for image-class"],
  [["--packing-strategy", "wrapped"], "packing_strategy: nothing is packed"],
  [
    ["--packing", "--packing-strategy", "wrapped", "--task", "masked-lm"],
    "wrapped splits rows, and those of masked-lm",
  ],
  [["--packing", "--group-by-length"], "group_by_length: packed sequences are all of like lengths"],
  [["--packing", "--packing-strategy", "ffd"], "wanted one of bfd, bfd_split, wrapped"],
])("%j is refused", async (words, message) => {
  const { code, stderr } = await train(words);
  expect(code).not.toBe(0);
  expect(stderr).toContain(message);
});
