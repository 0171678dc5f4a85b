import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { beforeAll, describe, expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();

/** A copy of the bundled model, changed. */
function modelWith(name: string, change: (folder: string) => void): string {
  const folder = cli.path(name);
  cpSync(BUNDLED_MODEL, folder, { recursive: true });
  change(folder);
  return folder;
}

/** What tells of a folder's last run, also of one that fails. */
const RECORDS = ["metrics.jsonl", "run.json", "report.html", "report.jsonl", "config.yaml"];

const contents = (folder: string) =>
  readdirSync(folder)
    .filter((name) => !RECORDS.includes(name))
    .sort()
    .map((name) => [name, readFileSync(`${folder}/${name}`).toString("base64")]);

describe("what computes no numbers ends train with an error and overwrites nothing", () => {
  let data: string;
  let good: string;

  beforeAll(async () => {
    good = cli.path("good");
    data = cli.write("rows.jsonl", [{ text: "In the morning" }, { text: "the sun is up" }]);
    const words = ["train", "--model", BUNDLED_MODEL, "--data", data, "--output-dir", good, "--iters", "1"];
    expect((await cli.run(words)).code).toBe(0);
  }, 120_000);

  const spoilLastWeight = (folder: string) => {
    const file = `${folder}/model.safetensors`;
    const bytes = readFileSync(file);
    bytes.writeUInt16LE(0x7fc0, bytes.length - 2); // NaN in bf16
    writeFileSync(file, bytes);
  };
  const withConfig = (changes: object) => (folder: string) => {
    const config = JSON.parse(readFileSync(`${folder}/config.json`, "utf8")) as object;
    writeFileSync(`${folder}/config.json`, JSON.stringify({ ...config, ...changes }));
  };

  test.each<[string, (folder: string) => void, string[], RegExp, number]>([
    ["a weight", spoilLastWeight, [], /1 problem:\n {2}- model\.\S+ holds NaN\n/, 1],
    [
      "a config",
      withConfig({ rms_norm_eps: -1 }),
      [],
      /rms_norm_eps is -1, expected a number of at least 0/,
      1,
    ],
    [
      "a training",
      () => {},
      ["--learning-rate", "1000", "--weight-decay", "1000"],
      /the training has diverged/,
      1,
    ],
    ["a learning rate", () => {}, ["--learning-rate", "1e38"], /--learning-rate is "1e38".* at most 1000/, 2],
    ["an alpha", () => {}, ["--lora-alpha", "1e308"], /--lora-alpha is "1e308".* at most 1e\+30/, 2],
  ])("%s", async (name, change, options, message, code) => {
    const before = contents(good);
    const model = modelWith(name.replace(" ", "-"), change);
    const words = ["train", "--model", model, "--data", data, "--output-dir", good, "--iters", "25"];
    const result = await cli.run([...words, "--lr-scheduler-type", "constant", ...options]);
    expect(result.stderr).toMatch(message);
    expect(result.code).toBe(code);
    expect(contents(good)).toEqual(before);
  });
});
