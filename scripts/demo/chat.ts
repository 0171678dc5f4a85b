// npm run demo:chat: teaches the bundled model to answer chats, and asks it what it never saw, as `webgpu-lora chat` asks.

import {
  attach,
  type ChatExample,
  Conversation,
  loadModel,
  lora,
  type Model,
  openDevice,
  saveAdapter,
  train,
} from "../../src/index.node.ts";
import { CHAT_TEMPLATE, chatExamples } from "./chats.ts";
import { CHAT_DEMO } from "./recipe.ts";
import { exactMatch } from "./skill.ts";

const MODEL = "models/demo";
const OUT = "out/demo-chat-adapter";

/** Asks the questions of chats anew, so that the second is asked behind the model's own answer. Returns the answers. */
async function answersOf(model: Model, chats: readonly ChatExample[]): Promise<string[]> {
  const answers: string[] = [];
  const chat = new Conversation(model, { maxNewTokens: 24 });
  for (const { messages } of chats) {
    chat.reset();
    for (const { content } of messages.filter(({ role }) => role === "user")) {
      let text = "";
      for await (const piece of chat.ask(String(content))) text += piece;
      answers.push(text);
    }
  }
  chat.release();
  return answers;
}

const began = performance.now();
const device = await openDevice();
const base = await loadModel(MODEL, { device });
const chatTemplates = new Map([["default", { source: CHAT_TEMPLATE, place: "scripts/demo/chats.ts" }]]);
const model = { ...base, chatTemplates };
const rows = chatExamples({ seed: 7, count: CHAT_DEMO.train, split: "train" });
const heldOut = chatExamples({ seed: 7, count: CHAT_DEMO.test, split: "test" });
const wanted = heldOut.flatMap(({ messages }) =>
  messages.filter(({ role }) => role === "assistant").map(({ content }) => String(content)),
);
const matches = (answers: readonly string[]) =>
  answers.filter((answer, i) => exactMatch(answer, wanted[i] as string)).length;

console.log(`Device   ${device.info.name}${device.info.software ? " (a software device)" : ""}`);
const before = await answersOf(model, heldOut);
const { r, alpha, epochs, batchSize, learningRate, warmupSteps } = CHAT_DEMO;
const adapter = attach(base, lora({ r, alpha }));
const options = {
  epochs,
  batchSize,
  learningRate,
  warmupSteps,
  assistantOnlyLoss: true,
  schedule: "cosine",
} as const;
for await (const { step, totalSteps, loss } of train(model, adapter, rows, options)) {
  if (step === 1 || step % 10 === 0) console.log(`Step ${step}/${totalSteps}  loss ${loss.toFixed(3)}`);
}
const after = await answersOf(model, heldOut);
await saveAdapter(adapter, OUT, { chatTemplate: CHAT_TEMPLATE });

const questions = heldOut.flatMap(({ messages }) => messages.filter(({ role }) => role === "user"));
for (const i of [0, 1]) {
  console.log(`\nQuestion ${questions[i]?.content}\nWanted   ${wanted[i]}`);
  console.log(`Before   ${JSON.stringify(before[i])}\nAfter    ${after[i]}`);
}
const count = `${wanted.length} questions of ${heldOut.length} held-out chats`;
console.log(`\nExact match on ${count}: ${matches(before)} before, ${matches(after)} after`);
console.log(`Adapter saved to ${OUT}. Total ${((performance.now() - began) / 1000).toFixed(0)} s`);
