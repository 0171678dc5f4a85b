// npm run make-demo-model: writes text, trains a tokenizer and a small Llama on it with this package, saves both.
import { mkdir } from "node:fs/promises";
import type { Sequence } from "../../src/data/sequence.ts";
import { tokenizeExamples } from "../../src/data/tokenize/tokenize.ts";
import type { FileContent } from "../../src/io/files/files.ts";
import { createTokenizer } from "../../src/io/tokenizer/tokenizer.ts";
import { createModel, modelFiles } from "../../src/load/create.ts";
import { folderWriter } from "../../src/platform/node-folders/folder-writer.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { trainBpe } from "./bpe.ts";
import { makeCorpus } from "./corpus.ts";
import { MODEL_CONFIG, PRETRAINING, VOCABULARY } from "./recipe.ts";

const FOLDER = "models/demo";

const { seed, documents, batchSize, learningRate, warmupSteps, betas } = PRETRAINING;
const corpus = makeCorpus({ seed, documents });
const { tokenizerJson, tokenizerConfig } = trainBpe(corpus.slice(0, 4000), { vocabSize: VOCABULARY });
const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig);

/** One document a row, with the end-of-text token: nothing else in sight, so that looking a word up is easily learnt. */
function rowsOf(texts: readonly string[]): Sequence[] {
  return tokenizeExamples(
    texts.map((text) => ({ text })),
    tokenizer,
    { maxLength: MODEL_CONFIG.max_position_embeddings },
  ).sequences;
}

const rows = rowsOf(corpus);
const heldOut = rowsOf(makeCorpus({ seed: seed + 1, documents: 200 }));
const maxSteps = Math.floor(rows.length / batchSize);

const device = await openNodeDevice();
const { model, parameters } = createModel(device, MODEL_CONFIG, { seed });
console.log(`device: ${device.info.name}; ${rows.length} documents, ${maxSteps} steps`);
const options = {
  maxSteps,
  batchSize,
  learningRate,
  schedule: "cosine",
  warmupSteps,
  betas,
  weightDecay: 0.01,
  shuffle: false,
} as const;
const started = performance.now();
for await (const { step, loss, tokens, seconds } of trainSequences(model, parameters, rows, options)) {
  if (step % 25 !== 0 && step !== maxSteps) continue;
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  console.log(
    `step ${step}/${maxSteps} loss ${loss.toFixed(4)} ${(tokens / seconds).toFixed(0)} tokens/s ${minutes} min`,
  );
}
const { loss, perplexity } = await evaluate(model, heldOut, { batchSize });
await save();
console.log(`held-out loss ${loss.toFixed(4)}, perplexity ${perplexity.toFixed(2)}`);

async function save(): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const files = await modelFiles(MODEL_CONFIG, parameters);
  const tokenizer = new Map([
    ["tokenizer.json", `${JSON.stringify(tokenizerJson)}\n`],
    ["tokenizer_config.json", `${JSON.stringify(tokenizerConfig, null, 2)}\n`],
  ]);
  await folderWriter(FOLDER).write(new Map<string, FileContent>([...files, ...tokenizer]));
}
