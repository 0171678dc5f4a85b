// npm run demo:chat: teaches the bundled model to answer chats, and asks it what it never saw, as `webgpu-lora chat` asks.

import { ask, beginChat } from "../../src/cli/chat/chat.ts";
import type { Speaker } from "../../src/cli/chat/speakers.ts";
import type { ChatExample } from "../../src/data/chat/chat-rows.ts";
import { attach, loadModel, lora, openDevice, saveAdapter, train } from "../../src/index.node.ts";
import { CHAT_TEMPLATE, chatExamples } from "./chats.ts";
import { CHAT_DEMO } from "./recipe.ts";
import { exactMatch } from "./skill.ts";

const MODEL = "models/demo";
const OUT = "out/demo-chat-adapter";

/** Asks the questions of chats anew, so that the second is asked behind the speaker's own answer. Returns the answers. */
async function answersOf(speaker: Speaker, chats: readonly ChatExample[]): Promise<string[]> {
  const answers: string[] = [];
  for (const { messages } of chats) {
    const chat = beginChat([speaker]);
    for (const { content } of messages.filter(({ role }) => role === "user")) {
      let text = "";
      for await (const { piece } of ask(chat, String(content), { maxNewTokens: 24 })) text += piece;
      answers.push(text);
    }
  }
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
const before = await answersOf({ name: "base", model, isTuned: false }, heldOut);
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
const after = await answersOf({ name: "tuned", model, isTuned: true }, heldOut);
await saveAdapter(adapter, OUT, { chatTemplate: CHAT_TEMPLATE });

const questions = heldOut.flatMap(({ messages }) => messages.filter(({ role }) => role === "user"));
for (const i of [0, 1]) {
  console.log(`\nQuestion ${questions[i]?.content}\nWanted   ${wanted[i]}`);
  console.log(`Before   ${JSON.stringify(before[i])}\nAfter    ${after[i]}`);
}
const count = `${wanted.length} questions of ${heldOut.length} held-out chats`;
console.log(`\nExact match on ${count}: ${matches(before)} before, ${matches(after)} after`);
console.log(`Adapter saved to ${OUT}. Total ${((performance.now() - began) / 1000).toFixed(0)} s`);
