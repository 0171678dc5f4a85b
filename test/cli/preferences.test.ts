import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { preparePreferences } from "../../src/cli/preference-rows.ts";
import type { DataSettings } from "../../src/cli/sequences.ts";
import { keyOf, settle } from "../../src/cli/settings.ts";
import { TRAIN_OPTIONS } from "../../src/cli/tables/train.ts";
import { checkTrainSettings } from "../../src/cli/train-settings.ts";
import { EXAMPLE_READER } from "../../src/data/rows/examples.ts";
import type { PreferenceRow } from "../../src/data/rows/preferences.ts";
import type { PreferenceTask } from "../../src/data/task-names.ts";
import { openModelText } from "../../src/load/model-text.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { preferenceRows } from "../../src/train/tasks/preference-items.ts";
import type { JsonObject } from "../../src/util/json.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const PAIRS = [
  { prompt: "Tom put", chosen: " 9 pink candles in the barn.", rejected: " 3 red lamps.", margin: 0.5 },
  { prompt: "Ivan counted", chosen: " 3 red lamps on the stairs.", rejected: " no lamps." },
  { prompt: "Ben hid", chosen: " the lamp.", rejected: " 3 red lamps." },
  { prompt: "same", chosen: " a", rejected: " a" },
  { prompt: "Where", chosen: " is it?", rejected: " are 3 red lamps." },
];
const QUIET = ["--eval-steps", "0", "--logging-steps", "1"];

async function run(words: readonly string[]) {
  const result = await cli.run(words);
  expect(result, result.stderr + result.stdout).toMatchObject({ code: 0 });
  return result.stdout;
}

const train = (task: string, data: string, out: string, ...more: string[]) => {
  const words = ["train", "--task", task, "--model", BUNDLED_MODEL, "--data", data];
  const batch = more.includes("--batch-size") ? [] : ["--batch-size", "2"];
  return [...words, "--output-dir", cli.path(out), ...batch, ...QUIET, ...more];
};
const weights = (folder: string) => readFileSync(`${cli.path(folder)}/adapter_model.safetensors`);

test("dpo: trains, is judged, goes on from a checkpoint to the same bytes, and from an adapter against that", async () => {
  const data = cli.write("pairs.jsonl", PAIRS);
  const lasting = [
    "--max-steps",
    "2",
    "--save-steps",
    "1",
    "--learning-rate",
    "2e-3",
    "--precompute-ref-log-probs",
  ];
  const out = await run(train("dpo", data, "dpo", ...lasting, "--eval-data", data));
  expect(out).toContain("1 row left out: the answers are equal");
  expect(out).toContain("Asking the reference for its scores of 4 rows");
  expect(out).toMatch(/Iter 0: Val loss 0\.693, .*rewards\/accuracies 0\.000, rewards\/margins 0\.000/);
  expect(out).toMatch(/Iter 2: Train loss 0\.\d+, .*rewards\/margins \d/);

  await run(
    train(
      "dpo",
      data,
      "resumed",
      ...lasting,
      "--eval-data",
      data,
      "--resume",
      `${cli.path("dpo")}/checkpoint-1`,
    ),
  );
  expect(weights("resumed").equals(weights("dpo"))).toBe(true);

  const judging = ["eval", "--task", "dpo", "--model", BUNDLED_MODEL, "--data", data, "--json"];
  const judged = JSON.parse(await run([...judging, "--adapter-path", cli.path("dpo")]));
  expect(judged["rewards/margins"]).toBeGreaterThan(0.1);
  expect(judged).toMatchObject({ terms: 4, "rewards/accuracies": 1, report: { rows: 5 } });

  const more = ["--max-steps", "1", "--resume-adapter-file", cli.path("dpo")];
  const again = await run(train("dpo", data, "again", ...more, "--loss-type", "sigmoid"));
  expect(again).toMatch(/Iter 1: Train loss 0\.693/); // the model as it begins is what it is compared with
});

test("reward: a head of one score, with margins, in PEFT's files", async () => {
  const data = cli.write("pairs.jsonl", PAIRS);
  const out = await run(
    train("reward", data, "reward", "--max-steps", "1", "--center-rewards-coefficient", "0.01"),
  );
  expect(out).toContain("The head starts at random: score.weight");
  expect(out).toMatch(/Iter 1: Train loss .*accuracy \d.*margin -?\d/);
  const config = JSON.parse(readFileSync(`${cli.path("reward")}/adapter_config.json`, "utf8"));
  expect(config).toMatchObject({ task_type: "SEQ_CLS", modules_to_save: expect.arrayContaining(["score"]) });
});

/** What the rows of a file become for a task, and what is told of them. */
async function prepare(task: PreferenceTask, rows: readonly PreferenceRow[]) {
  const file = { path: "rows.jsonl", rows, nameOf: (place: number) => `rows.jsonl:${place + 1}` };
  const settings: DataSettings = {
    ...{ max_length: undefined, truncation: "truncate" as const, chat_template: undefined, check_data: true },
    ...{ completion_only_loss: true, assistant_only_loss: false, mask_history: false, desirable_weight: 0.5 },
  };
  const lines: string[] = [];
  const model = await openModelText(folderFiles(BUNDLED_MODEL));
  const note = (line: string) => void lines.push(line);
  const { items } = await preparePreferences(task, model, file, settings, note, (answers) => answers.length);
  return { items, told: lines.join("\n") };
}

test("kto: pairs are taken apart, and how many of each kind there are is looked at", async () => {
  const { items, told } = await prepare("kto", [
    ...PAIRS.slice(0, 3),
    { prompt: "In the", completion: " hall.", label: true },
  ]);
  expect(items).toEqual([1, 1, 1, 1, 1, 1, 1]);
  expect(told).toContain("rows.jsonl: 7 rows");
  expect(told).toContain(
    "4 desirable answers and 3 others: KTO's paper advises --desirable-weight 0.75 to 1.00",
  );
});

test("rows of equal answers are left out, and alone they teach nothing", async () => {
  const { items, told } = await prepare("dpo", PAIRS);
  expect(items).toEqual([2, 2, 2, 2]);
  expect(told).toContain("1 row left out: the answers are equal");
  await expect(prepare("dpo", [PAIRS[3]!])).rejects.toThrow(
    /two equal answers, between which nothing can be preferred/,
  );
});

test.each<[task: PreferenceTask, row: JsonObject, message: RegExp]>([
  [
    "dpo",
    { prompt: "a", completion: "b", label: true },
    /dpo compares two, "chosen" and "rejected"; --task kto learns from such rows/,
  ],
  [
    "orpo",
    { prompt: "a", completion: "b" },
    /has "prompt", "completion", wanted "prompt", "chosen" and "rejected"; --task causal-lm learns/,
  ],
  ["reward", { ...PAIRS[0], margin: "much" }, /"margin" is "much", wanted a number/],
  ["kto", { prompt: "a", completion: "b", label: "maybe" }, /"label" is "maybe", wanted true or false/],
])("%s refuses the row %j", (task, row, message) => {
  expect(preferenceRows(task).read(row)).toMatch(message);
});

test("language modelling names the task that learns from pairs", () => {
  expect(EXAMPLE_READER.read(PAIRS[0] as JsonObject)).toMatch(/--task dpo and its like learn from it/);
});

test.each<[words: string[], message: RegExp]>([
  [["cpo", "--loss-type", "sft"], /sft is no loss of cpo[\s\S]*sigmoid, hinge, ipo, simpo/],
  [["dpo", "--loss-type", "ipo", "--loss-weights", "1,2"], /2 lossWeights for 1 losses/],
  [["orpo", "--cpo-alpha", "1", "--packing"], /packing means nothing for orpo[\s\S]*cpo_alpha means nothing/],
  [["kto", "--batch-size", "1"], /no other prompt.*KL divergence/],
])("settings %j are refused", ([task = "", ...words], message) => {
  const values = new Map<string, string[]>();
  for (const word of words) {
    if (word.startsWith("--")) values.set(word, []);
    else [...values.values()].at(-1)?.push(word);
  }
  const source = [
    ["--task", [task]] as const,
    ["--model", ["m"]] as const,
    ["--data", ["d"]] as const,
    ...values,
  ];
  const given = source.map(([name, words]) => {
    const key = keyOf(TRAIN_OPTIONS, name.slice(2)) as keyof typeof TRAIN_OPTIONS;
    return { key, name, value: TRAIN_OPTIONS[key].several ? words : (words[0] ?? true) };
  });
  expect(() => checkTrainSettings(settle("train", TRAIN_OPTIONS, [given]))).toThrow(message);
});
