import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parse } from "yaml";
import { attach } from "../../src/adapters/adapter.ts";
import { ia3 } from "../../src/adapters/ia3/ia3.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { LossCurve } from "../../src/cli/loss-curve.ts";
import { saveAdapter } from "../../src/index.node.ts";
import { adapterFiles } from "../../src/load/adapter.ts";
import { CARD_MARK, type CardNotes } from "../../src/load/adapter-card.ts";
import { inspectAdapter } from "../../src/load/inspect/inspect-adapter.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import {
  entryLine,
  evaluationEntry,
  type LogEntry,
  readEntries,
  stepEntry,
} from "../../src/train/watch/log-entry.ts";
import { fixturePath, openTestModel } from "../support/fixtures.ts";
import { stepMetrics } from "../support/step-metrics.ts";
import { openTestTask } from "../support/task-fixtures.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "card-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const card = () => readFileSync(join(folder, "README.md"), "utf8");
const headOf = (text: string): unknown => parse(/^---\n([\s\S]*?)\n---\n/.exec(text)?.[1] ?? "");
const NOTES: CardNotes = {
  settings: { learning_rate: 2e-4, name: "a|b`c" },
  data: [{ name: "rows.jsonl", counts: { rows: 1200, "tokens learnt": 7 } }],
  losses: [
    { step: 2, train: 1.5 },
    { step: 4, train: 1.25, evaluation: 2, summary: "accuracy 0.5" },
  ],
  digests: { base: "sha256:0" },
  versions: { "webgpu-lora": "0.1.0" },
};

test("a model card has PEFT's fields at its head, the base with its commit, and what the training was", async () => {
  const model = await openTestModel(fixturePath("llama-gqa"));
  const hub = { repo: "owner/base", revision: undefined, commit: "c".repeat(40) };
  const named = Object.assign({}, model, model.withAdapters([]), { hub });
  const adapter = attach(named, lora({ r: 3, alpha: 6, targetModules: ["q_proj"], useRslora: true }));
  await saveAdapter(adapter, folder, { card: NOTES });
  expect(headOf(card())).toEqual({
    base_model: "owner/base",
    library_name: "peft",
    pipeline_tag: "text-generation",
    tags: ["base_model:adapter:owner/base", "lora", "webgpu-lora", "transformers"],
  });
  for (const line of [
    "# LoRA adapter for owner/base",
    `at revision \`${"c".repeat(40)}\``,
    `from_pretrained("owner/base", revision="${"c".repeat(40)}")`,
    "| r | 3 |",
    "| use_rslora | true |",
    "| learning_rate | 0.0002 |",
    "| name | a\\|b\\`c |",
    "- rows.jsonl: 1,200 rows, 7 tokens learnt",
    "| 4 | 1.2500 | 2.0000 | accuracy 0.5 |",
    "| base | sha256:0 |",
    "- format of PEFT: 0.21.0",
  ])
    expect(card()).toContain(line);
  expect(card()).not.toMatch(/undefined|\bnull\b|lora_dropout/);
  const report = await inspectAdapter(folderFiles(folder));
  expect(report.origin.card).toMatchObject({ base_model: "owner/base" });
});

test("one that somebody wrote stays, one of our own is written anew, and there is none unless asked for", async () => {
  const model = await openTestModel(fixturePath("llama-tied"));
  const adapter = attach(model, lora({ r: 1 }));
  await saveAdapter(adapter, folder, { card: { settings: { seed: 1 } } });
  expect(card()).toContain(CARD_MARK);
  await saveAdapter(adapter, folder, { card: { settings: { seed: 2 } } });
  expect(card()).toContain("| seed | 2 |");
  writeFileSync(join(folder, "README.md"), card().replace(CARD_MARK, ""));
  await saveAdapter(adapter, folder, { card: { settings: { seed: 3 } } });
  expect(card()).toContain("| seed | 2 |");
  expect([...(await adapterFiles(adapter)).keys()]).not.toContain("README.md");
  const wrong = { losses: [{ train: 1 }], when: "now" } as never;
  await expect(saveAdapter(adapter, folder, { card: wrong })).rejects.toThrow(
    /card: [\s\S]*when is unknown[\s\S]*losses is /,
  );
});

test("a base in a folder that is called like a repository is linked to none", async () => {
  const model = await openTestModel(fixturePath("llama-tied"));
  const named = Object.assign({}, model, model.withAdapters([]), { name: "models/demo" });
  await saveAdapter(attach(named, lora({ r: 1 })), folder, { card: {} });
  expect(headOf(card())).not.toHaveProperty("base_model");
  expect(card()).toContain("# LoRA adapter for demo");
  expect(card()).not.toContain("models/demo");
});

test("a folder's path is not told; another task has its own pipeline, class and labels", async () => {
  const model = await openTestTask(fixturePath("tasks/bert-sequence"));
  const text = (await adapterFiles(attach(model, ia3()), { card: {} })).get("README.md") as string;
  expect(headOf(text)).toEqual({
    library_name: "peft",
    pipeline_tag: "text-classification",
    tags: ["ia3", "webgpu-lora", "transformers"],
  });
  expect(text).toContain("# IA3 adapter for bert-sequence\n");
  expect(text).toMatch(
    /AutoModelForSequenceClassification\.from_pretrained\("path\/to\/the\/base\/model", num_labels=\d\)/,
  );
  expect(text).not.toContain(fixturePath("."));
  expect(text).not.toContain("## Training settings");
});

test("losses of a long run are told in a few rows, as means, the evaluations beside them", () => {
  const curve = new LossCurve();
  curve.evaluation(0, 9, "");
  for (let step = 1; step <= 1000; step++) {
    curve.step({ step, loss: step });
    if (step % 10 === 0) curve.evaluation(step, step / 2, "accuracy 0.5");
  }
  const rows = curve.rows();
  expect(rows.length).toBeLessThanOrEqual(40);
  expect(rows.at(-1)).toMatchObject({ step: 1000, evaluation: 500, summary: "accuracy 0.5" });
  const trained = rows.filter(({ train }) => train !== undefined);
  let before = 0;
  for (const { step, train } of trained) {
    expect(train).toBeCloseTo((before + 1 + step) / 2);
    before = step;
  }
  expect(before).toBe(1000);
});

test("a run that goes on has the losses and evaluations of the one before in its card, in the same words", () => {
  const entries: LogEntry[] = [
    stepEntry(stepMetrics(1)),
    evaluationEntry({
      step: 1,
      passes: 0.5,
      seconds: 1,
      loss: 2,
      metrics: { f1: 0.5 },
      summary: "F1 0.5000",
    }),
    evaluationEntry({ step: 2, passes: 1, seconds: 1, loss: 1 }),
  ];
  const [whole, resumed] = [new LossCurve(), new LossCurve()];
  whole.step(stepMetrics(1));
  whole.evaluation(1, 2, "F1 0.5000");
  whole.evaluation(2, 1, "");
  resumed.goOnFrom(readEntries(entries.map(entryLine).join("")).entries);
  expect(resumed.rows()).toEqual(whole.rows());
  expect(resumed.rows()[0]).toMatchObject({ evaluation: 2, summary: "F1 0.5000" });
});
