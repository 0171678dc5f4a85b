// npm run demo: teaches the bundled model a skill by LoRA and shows what it could do before and after.
import { plot } from "asciichart";
import {
  attach,
  type Device,
  generate,
  loadModel,
  lora,
  type Model,
  openDevice,
  type StepMetrics,
  saveAdapter,
  train,
} from "../../src/index.node.ts";
import { describeRows } from "./data.ts";
import { DEMO } from "./recipe.ts";
import { exactMatch, type SkillExample, skillExamples } from "./skill.ts";

const MODEL = "models/demo";
const OUT = "out/demo-adapter";
const TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

function announce({ info }: Device): void {
  const kind = info.software ? "a software device: no GPU was found, or none is usable" : "a GPU";
  console.log(`Device   ${info.name} (${kind})`);
}

async function answer(model: Model, prompt: string): Promise<string> {
  let text = "";
  for await (const piece of generate(model, prompt, { maxNewTokens: 48, stop: ["\n"] })) text += piece;
  return text;
}

/** Share of the examples that the model answers exactly, and its answer to the first. */
async function examine(
  model: Model,
  examples: readonly SkillExample[],
): Promise<{ right: number; sample: string }> {
  const answers: string[] = [];
  for (const { prompt } of examples) answers.push(await answer(model, prompt));
  const right = answers.filter((text, i) =>
    exactMatch(text, (examples[i] as SkillExample).completion),
  ).length;
  return { right, sample: answers[0] ?? "" };
}

/** One line that is rewritten on a terminal; a line every ten steps elsewhere. */
function report({ step, totalSteps, loss, tokens, seconds }: StepMetrics, started: number): void {
  const left = ((performance.now() - started) / 1000 / step) * (totalSteps - step);
  const line = `Step ${String(step).padStart(3)}/${totalSteps}  loss ${loss.toFixed(3)}  ${(tokens / seconds).toFixed(0)} tokens/s  ETA ${left.toFixed(0)} s`;
  if (process.stdout.isTTY) process.stdout.write(`\r${line.padEnd(70)}${step === totalSteps ? "\n" : ""}`);
  else if (step === 1 || step % 10 === 0) console.log(line);
}

const began = performance.now();
const device = await openDevice();
announce(device);
const model = await loadModel(MODEL, { device });
const examples = skillExamples({ seed: 7, count: DEMO.train, split: "train" });
const heldOut = skillExamples({ seed: 7, count: DEMO.test, split: "test" });
const [first] = heldOut as [SkillExample];

const before = await examine(model, heldOut);
const adapter = attach(model, lora({ r: DEMO.r, alpha: DEMO.alpha, targetModules: TARGETS }));
const trainable = adapter.parameters.entries.reduce((sum, { tensor }) => sum + tensor.size, 0);
console.log(
  `Model    ${MODEL}, LoRA r ${DEMO.r} on ${adapter.sites.length} linear layers: ${trainable} trainable parameters`,
);
const [dataLine, ...rowLines] = describeRows(model, examples as [SkillExample, ...SkillExample[]]);
console.log(`Data     ${dataLine}\n${rowLines.map((line) => `         ${line}\n`).join("")}`);

const losses: number[] = [];
const started = performance.now();
const { maxSteps, batchSize, learningRate, warmupSteps } = DEMO;
for await (const metrics of train(model, adapter, examples, {
  maxSteps,
  batchSize,
  learningRate,
  warmupSteps,
  schedule: "cosine",
})) {
  losses.push(metrics.loss);
  report(metrics, started);
}
console.log(
  `\nLoss by step\n${plot(losses, { height: 8, format: (value: number) => value.toFixed(2).padStart(6) })}\n`,
);

const after = await examine(model, heldOut);
await saveAdapter(adapter, OUT);
console.log(`Prompt   ${first.prompt.trim().replace("\n", " ⏎ ")}`);
console.log(`Wanted   ${first.completion}`);
console.log(`Before   ${JSON.stringify(before.sample)}`);
console.log(`After    ${after.sample}\n`);
console.log(`Exact match on ${heldOut.length} held-out items: ${before.right} before, ${after.right} after`);
console.log(
  `Adapter saved to ${OUT} (PEFT format). Total ${((performance.now() - began) / 1000).toFixed(0)} s`,
);
