import { expect, test, vi } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";

const TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";
const CHAT = { messages: [{ role: "user", content: "Once" }] };
const ROWS = [{ messages: [...CHAT.messages, { role: "assistant", content: "upon a time" }] }];

test("what chats need is loaded by whoever is given some", async () => {
  vi.resetModules(); // as in a program that has just begun
  const library = await import("../../src/index.node.ts");
  const { LATE_CHATS } = await import("../../src/data/chat/late-chats.ts");
  const device = await library.openDevice();
  const model = await library.loadModel(BUNDLED_MODEL, { device });
  const adapter = library.attach(model, library.lora({ r: 2, targetModules: ["q_proj"] }));
  expect(() => LATE_CHATS.loaded()).toThrow(/before it is loaded/); // the model has no template
  const options = { chatTemplate: TEMPLATE };
  const first = await library.train(model, adapter, ROWS, { ...options, maxSteps: 1 }).next();
  expect(first.value?.loss).toBeGreaterThan(0);
  expect((await library.generate(model, CHAT, { ...options, maxNewTokens: 1 }).next()).done).toBe(false);
  device.close();
});
