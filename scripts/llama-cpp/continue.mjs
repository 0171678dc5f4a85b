// Has llama.cpp continue prompts greedily, on one thread of the CPU: a job as JSON on standard input, its answers as JSON.
//   { model, lora?, contexts: number[][], texts: string[], count }
//     → { tokens: number[][], continued: number[][], probabilities: number[][] of what follows each context, by id }
import { text } from "node:stream/consumers";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const { model: modelPath, lora, contexts, texts, count } = JSON.parse(await text(process.stdin));
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath, gpuLayers: 0, useMmap: false });
const tokens = texts.map((text) => model.tokenize(text, true));
const context = await model.createContext({
  contextSize: 256,
  batchSize: 256,
  threads: 1,
  flashAttention: false,
  experimentalKvCacheKeyType: "F32", // F16 unless told otherwise, which is a rounding more
  experimentalKvCacheValueType: "F32",
  ...(lora && { lora: { adapters: [{ filePath: lora }] } }),
});
const sequence = context.getSequence();
const [continued, probabilities] = [[], []];
for (const ids of contexts) {
  await sequence.clearHistory();
  const found = [];
  for await (const id of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    found.push(id);
    if (found.length >= count) break;
  }
  continued.push(found);
  await sequence.clearHistory();
  for await (const step of sequence.evaluateWithMetadata(ids, { probabilities: true }, { temperature: 0 })) {
    const byId = [...step.probabilities].sort(([a], [b]) => a - b);
    probabilities.push(byId.map(([, probability]) => probability));
    break;
  }
}
const { fileInfo } = model;
console.log(JSON.stringify({ tokens, continued, probabilities, metadata: fileInfo.metadata?.general ?? {} }));
await llama.dispose();
process.exit(0);
