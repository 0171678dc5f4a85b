// Trains an adapter, saves it, and writes the logits that PEFT must reproduce:
//   node build.mjs --run scripts/peft-round-trip.ts MODEL OUT [METHOD [OPTIONS]]     the options as JSON: '{"r": 4}'
//   python test/fixtures/check_adapter.py --model MODEL --adapter OUT --ids … --expect OUT/logits.json
import { writeFile } from "node:fs/promises";
import { METHODS } from "../src/adapters/methods.ts";
import { attach, fromArray, loadModel, openDevice, saveAdapter, train } from "../src/index.node.ts";
import { placeTokens, wholeRows } from "../src/nn/geometry.ts";

const targetModules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
const LORA = JSON.stringify({ r: 8, alpha: 16, dropout: 0.05, targetModules });
const [reference = "../shared/data/models/stories260K", out = "out/peft-round-trip", ...rest] =
  process.argv.slice(2);
const [name = "lora", options = name === "lora" ? LORA : "{}"] = rest;
const kind = METHODS.find((known) => known.name === name);
if (!kind) throw new Error(`${name} is none of ${METHODS.map((known) => known.name).join(", ")}`);
const model = await loadModel(reference, { device: await openDevice() });
const adapter = attach(model, kind.make(JSON.parse(options) as never), { seed: 1 });
const examples = [
  { text: "Once upon a time, a robot named Tin lived in a blue house." },
  { prompt: "Question: what did Tom see?\nAnswer:", completion: " a big red ball" },
  { text: "The little cat sat on the mat and looked at the moon." },
];
for await (const { step, loss } of train(model, adapter, examples, { maxSteps: 30, learningRate: 5e-3 })) {
  if (step % 10 === 0) console.log(`step ${step} loss ${loss.toFixed(4)}`);
}
await saveAdapter(adapter, out);

const ids = model.tokenizer?.encode("Once upon a time, Tom saw a big red ball.") ?? [1, 2, 3];
const geometry = placeTokens(model.device, wholeRows(1, ids.length));
const input = fromArray(model.device, Uint32Array.from(ids), [1, ids.length]);
const hidden = model.hidden(input, { training: false, seed: 0, geometry });
await writeFile(`${out}/logits.json`, JSON.stringify([...(await model.logits(hidden).read())]));
console.log(
  `python test/fixtures/check_adapter.py --model ${reference} --adapter ${out} --ids ${ids} --expect ${out}/logits.json`,
);
