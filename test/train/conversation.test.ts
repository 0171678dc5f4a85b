// A chat that goes on answers as one that is read anew at each turn.
import { afterAll, describe, expect, test } from "vitest";
import { CHAT_TEMPLATE } from "../../scripts/demo/chats.ts";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { Model } from "../../src/load/model.ts";
import { Conversation, type ConversationOptions } from "../../src/train/conversation.ts";
import { type GenerateOptions, type GenerationReport, generate } from "../../src/train/generate-text.ts";
import { train } from "../../src/train/text.ts";
import { BUNDLED_MODEL, openTestModel } from "../support/fixtures.ts";

const demo = await openTestModel(BUNDLED_MODEL);
afterAll(() => demo.release());

const withTemplate = (source: string): Model => ({
  ...demo,
  chatTemplates: new Map([["default", { source, place: "t.jinja" }]]),
});
const plain = withTemplate(CHAT_TEMPLATE);

async function read(pieces: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const piece of pieces) text += piece;
  return text;
}

/** A conversation, and for each question its answer, what became of it, and the answer of a run that reads all anew. */
function talk(model: Model, options: ConversationOptions = {}) {
  const given: GenerateOptions = { maxNewTokens: 12 };
  const reports: GenerationReport[] = [];
  const chat = new Conversation(model, { ...given, ...options, onEnd: (report) => reports.push(report) });
  const ask = async (question: string) => {
    const messages = [...chat.messages, { role: "user", content: question }];
    const anew = await read(generate(model, { messages }, given));
    const answer = await read(chat.ask(question));
    return { answer, anew: anew.trimStart(), report: reports.at(-1) as GenerationReport };
  };
  return { chat, ask };
}

const QUESTIONS = ["Where is Anna?", "Who was it?", "In the garden or at home?", "Note who."];

describe("what was read stays read", () => {
  test("of the turns before, whose tokens the template writes again", async () => {
    const { chat, ask } = talk(plain, { messages: [{ role: "system", content: "Be brief." }] });
    let known = 0;
    for (const question of QUESTIONS) {
      const { answer, anew, report } = await ask(question);
      expect(answer).toBe(anew);
      // All but what follows the answer, whose last token is not read; blanks at its end are not in the chat.
      expect(report.keptTokens).toBeGreaterThanOrEqual(known);
      expect(report.keptTokens).toBeLessThan(report.promptTokens);
      known = report.promptTokens;
    }
    expect(chat.messages.map(({ role }) => role)).toEqual([
      "system",
      ...QUESTIONS.flatMap(() => ["user", "assistant"]),
    ]);
    chat.reset();
    const again = await ask(QUESTIONS[1] as string);
    expect(again.answer).toBe(again.anew);
    expect(again.report.keptTokens).toBeGreaterThan(3); // the system message
    chat.setSystem("Answer as a poet would.");
    const other = await ask(QUESTIONS[0] as string);
    expect(other.answer).toBe(other.anew);
    expect(other.report.keptTokens).toBeLessThan(again.report.keptTokens);
    chat.release();
    const late = await ask(QUESTIONS[0] as string);
    expect([late.answer, late.report.keptTokens]).toEqual([late.anew, 0]);
    chat.release();
  });

  test("up to where the template writes an earlier turn otherwise, as those do that drop reasoning", async () => {
    const dropping = CHAT_TEMPLATE.replace(
      "{{ message['content'] }}{{ eos_token }}",
      "{{ message['content'] if loop.last else message['content'].split(' ')[-1] }}{{ eos_token }}",
    );
    const { chat, ask } = talk(withTemplate(dropping));
    for (const question of QUESTIONS) {
      const { answer, anew, report } = await ask(question);
      expect(answer).toBe(anew);
      expect(answer.trim().split(" ").length).toBeGreaterThan(1);
      if (question !== QUESTIONS[0]) expect(report.keptTokens).toBeGreaterThan(4);
    }
    chat.release();
  });

  test("not where another adapter is on the model, or the same one was trained", async () => {
    const { chat, ask } = talk(plain);
    const expectAnew = async (question: string) => {
      const { report, answer, anew } = await ask(question);
      expect([report.keptTokens, answer]).toEqual([0, anew]);
    };
    await ask(QUESTIONS[0] as string);
    const adapter = attach(demo, lora({ r: 2 }));
    await expectAnew(QUESTIONS[1] as string);
    expect((await ask(QUESTIONS[2] as string)).report.keptTokens).toBeGreaterThan(0);
    const rows = [{ prompt: "Where?", completion: " In the house." }];
    for await (const _ of train(demo, adapter, rows, { maxSteps: 2, learningRate: 1e-2 }));
    await expectAnew(QUESTIONS[3] as string);
    adapter.release();
    await expectAnew(QUESTIONS[0] as string);
    chat.release();
  });
});

test("a message that the model has no place for is dropped; an answer that is stopped stays", async () => {
  const { chat, ask } = talk(plain);
  await expect(ask("Anna ".repeat(300))).rejects.toThrow(
    /tokens; the model has 256 positions|and the model 256 positions\n {2}→ say less/,
  );
  await expect(read(chat.ask("Anna ".repeat(300)))).rejects.toThrow(
    /^chat: with this message the chat has \d+ tokens, and the model 256 positions\n {2}→ say less, or begin a new chat/,
  );
  expect(chat.messages).toEqual([]);
  for await (const piece of chat.ask("Who was it?")) if (piece !== "") break;
  expect(chat.messages.length).toBe(2);
  const { answer, anew } = await ask("Where?");
  expect(answer).toBe(anew);

  const first = chat.ask("One?");
  await first.next();
  await expect(chat.ask("Two?").next()).rejects.toThrow("an answer is under way");
  await first.return(undefined);
  let report: GenerationReport | undefined;
  let words = 240;
  while (report?.ending !== "full") {
    chat.reset();
    const onEnd = (end: GenerationReport) => {
      report = end;
    };
    await read(chat.ask(" a".repeat(words--), { maxNewTokens: 100, onEnd })).catch(() => {});
  }
  expect(report.promptTokens + report.newTokens).toBe(256);
  chat.release();
});

test("memory is given back", async () => {
  const { ask, chat } = talk(plain);
  await ask("Who?");
  chat.release();
  const before = demo.device.memory.stats.used;
  for (const question of QUESTIONS) await ask(question);
  expect(demo.device.memory.stats.used).toBeGreaterThan(before);
  chat.release();
  expect(demo.device.memory.stats.used).toBe(before);
});
