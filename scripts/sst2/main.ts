// Our half of the comparison on SST-2: the model, the adapter and the data of scripts/sst2/oracle.py, trained here.
//   node build.mjs --run scripts/sst2/main.ts FOLDER [SUMMARY.json]
import { readFileSync, writeFileSync } from "node:fs";
import { readTable } from "../../src/cli/data-files.ts";
import { labelledTextReader } from "../../src/data/rows/labelled.ts";
import { encodeLabelledTexts, textEncoder } from "../../src/data/tokenize/encode-task.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { openTaskModel, requireTokenizer } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { sequenceClassification } from "../../src/train/classification.ts";
import { evaluateClassifier } from "../../src/train/evaluate-classifier.ts";
import { trainObjective } from "../../src/train/trainer.ts";

interface Curve {
  steps: number;
  batch: number;
  every: number;
  learning_rate: number;
  max_length: number;
  curve: { step: number; accuracy: number }[];
  losses: number[];
}

const [folder, summary] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: main.ts FOLDER [SUMMARY.json]");
const torch = JSON.parse(readFileSync(`${folder}/curve.json`, "utf8")) as Curve;
const device = await openNodeDevice();
const model = await openTaskModel(folderFiles(`${folder}/model`), device, {
  task: "sequence-classification",
});
const adapter = await loadAdapter(model, folderFiles(`${folder}/adapter`));
const objective = sequenceClassification(model);
const encoder = textEncoder(requireTokenizer(model), torch.max_length);

async function items(name: string) {
  const { rows } = await readTable(`${folder}/${name}.jsonl`, labelledTextReader());
  return encodeLabelledTexts(rows, encoder, model.labels);
}

const [train, dev] = [await items("train"), await items("dev")];
const accuracy = async () => (await evaluateClassifier(objective, dev, { batchSize: 64 })).accuracy;
const curve = [{ step: 0, torch: torch.curve[0]?.accuracy ?? Number.NaN, ours: await accuracy() }];
const losses: number[] = [];
const options = {
  maxSteps: torch.steps,
  batchSize: torch.batch,
  learningRate: torch.learning_rate,
  shuffle: false,
};
for await (const { step, loss } of trainObjective(objective, adapter.parameters, train, options)) {
  losses.push(loss);
  if (step % torch.every !== 0) continue;
  const point = torch.curve.find((point) => point.step === step);
  curve.push({ step, torch: point?.accuracy ?? Number.NaN, ours: await accuracy() });
  console.log(curve.at(-1));
}
const worst = Math.max(...curve.map(({ torch, ours }) => Math.abs(torch - ours)));
const lossDifference = Math.max(...losses.map((loss, i) => Math.abs(loss - (torch.losses[i] as number))));
console.log(
  `largest difference of the accuracies ${worst.toFixed(4)}, of the losses ${lossDifference.toFixed(5)}`,
);
if (summary !== undefined) {
  const { curve: _, losses: __, ...settings } = torch;
  const result = { device: device.info.name, ...settings, worst, lossDifference, curve };
  writeFileSync(summary, `${JSON.stringify(result, null, 1)}\n`);
}
process.exitCode = worst <= 0.01 ? 0 : 1;
