import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Message } from "../../../src/data/chat/messages.ts";
import { readChatTemplate } from "../../../src/data/chat/read-chat-template.ts";
import { renderChat } from "../../../src/data/chat/render.ts";
import { shownParts } from "../../../src/data/chat/shown-parts.ts";
import { sharedPath } from "../../support/fixtures.ts";

const lost = (messages: readonly Message[], text: string) =>
  shownParts(messages, text).flatMap(({ name, isShown }) => (isShown ? [] : [name]));
const says = (role: string, content: Message["content"]): Message => ({ role, content });

test("a message is there as it is, trimmed, or as JSON has it", () => {
  expect(lost([says("user", " hello\nyou ")], "u:hello\nyou")).toEqual([]);
  expect(lost([says("tool", 'a "b"\n')], '{"output": "a \\"b\\""}')).toEqual([]);
  expect(lost([says("user", "hello")], "u:")).toEqual(["user"]);
  expect(lost([says("user", `🙂${"a".repeat(40)}`)], `🙂${"a".repeat(33)}`)).toEqual([]);
});

test("each part of a message with several is looked for, and each call", () => {
  const parts = [{ type: "text", text: "a" }, { type: "image" }, { type: "text", text: "b" }];
  expect(lost([says("user", parts)], "a b")).toEqual([]);
  expect(lost([says("user", parts)], "a")).toEqual(["user"]);
  const calls = { ...says("assistant", "c"), tool_calls: [{ function: { name: "find" } }, { name: "get" }] };
  expect(lost([calls], "c find get")).toEqual([]);
  expect(lost([calls], "c find")).toEqual(["assistant's tool_calls"]);
});

test("what has no text is not missed, nor are thoughts before an answer", () => {
  expect(shownParts([says("user", ""), says("user", null), { role: "assistant" }], "")).toEqual([]);
  expect(lost([says("assistant", "<think>hm</think>\n\nyes")], "yes")).toEqual([]);
});

const folder = sharedPath("tokenizers/chat_templates_trl");

describe.runIf(folder)("of TRL's templates", () => {
  const call = { type: "function", function: { name: "get_weather", arguments: { city: "Rome" } } };
  const CHATS: Record<string, readonly Message[]> = {
    plain: [says("user", '  Hello "you"\nthere  '), says("assistant", "Hi <b> & 'you'")],
    system: [says("system", "Be kind & brief."), says("user", "Hello"), says("assistant", "Hi")],
    thought: [
      says("user", "One"),
      says("assistant", "<think>hm</think>Two"),
      says("user", "Three"),
      says("assistant", "Four"),
    ],
    tools: [
      says("user", "Weather?"),
      { role: "assistant", content: "", tool_calls: [call] },
      { ...says("tool", '{"say": "it is \\"fine\\""}'), name: "get_weather" },
      says("assistant", "Sunny"),
    ],
  };
  /** Families that leave something out without a word: those for pictures want lists of parts. */
  const LEAVE_OUT: Record<string, RegExp> = {
    plain: /^idefics3/,
    system: /^idefics3/,
    thought: /^idefics3/,
    tools: /^(idefics3|lfm2|llama3|phi3|qwen2_5_vl)(_5)?(_training)?\.jinja$/,
  };

  const CALLS_DROPPED = ["lfm2.jinja", "llama3.jinja", "phi3.jinja"];

  test.each(Object.keys(CHATS))("only those leave out a part of a %s chat that do not know it", (name) => {
    const messages = CHATS[name] as readonly Message[];
    const names = readdirSync(folder as string).filter((file) => file.endsWith(".jinja"));
    const leaving = names.filter((file) => {
      const source = readFileSync(join(folder as string, file), "utf8");
      const template = readChatTemplate(
        { source, place: file },
        { specialTokens: { bos_token: "<s>", eos_token: "</s>" } },
      );
      try {
        return lost(messages, renderChat(messages, template).text).length > 0;
      } catch {
        return false; // it refuses the chat, with a word
      }
    });
    expect(names.length).toBeGreaterThan(40);
    expect(leaving.length).toBeGreaterThan(0);
    expect(leaving.filter((file) => !LEAVE_OUT[name]?.test(file))).toEqual([]);
    if (name === "tools") expect(leaving).toEqual(expect.arrayContaining(CALLS_DROPPED));
  });
});
