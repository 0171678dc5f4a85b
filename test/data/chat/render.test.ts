import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Message, messagesProblem } from "../../../src/data/chat/messages.ts";
import { readChatTemplate } from "../../../src/data/chat/read-chat-template.ts";
import { type RenderOptions, renderChat } from "../../../src/data/chat/render.ts";
import { fixturePath } from "../../support/fixtures.ts";

const SPECIAL = { specialTokens: { bos_token: "<s>", eos_token: "</s>" } };

const templateOf = (source: string) => readChatTemplate({ source, place: "chat.jinja" }, SPECIAL);
const own = (name: string) => templateOf(readFileSync(join(fixturePath("chat"), name), "utf8"));

const user = (content: string): Message => ({ role: "user", content });
const assistant = (content: string): Message => ({ role: "assistant", content });
const system = (content: string): Message => ({ role: "system", content });

describe("renderChat", () => {
  const marked = own("marked.jinja");

  test("gives the text and what the assistant wrote in it", () => {
    const { text, generated } = renderChat([user("Hi 😀"), assistant("Yes"), assistant("No")], marked);
    expect(text).toBe(
      "<|im_start|>user\nHi 😀<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n<|im_start|>assistant\nNo<|im_end|>\n",
    );
    expect(generated.map(([from, to]) => text.slice(from, to))).toEqual(["Yes<|im_end|>", "No<|im_end|>"]);
  });

  test("begins an answer", () => {
    const { text } = renderChat([user("Hi")], marked, { addGenerationPrompt: true });
    expect(text).toBe("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  });

  test("continues an answer where it ends", () => {
    const { text, generated } = renderChat([user("Hi"), assistant("Ye ")], marked, {
      continueFinalMessage: true,
    });
    expect(text).toBe("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYe ");
    expect(generated.map(([from, to]) => text.slice(from, to))).toEqual(["Ye "]);
  });

  test("does not show a template what is for the loss", () => {
    const { text } = renderChat([{ ...user("a"), train: false, weight: 2 }], templateOf("{{ messages[0] }}"));
    expect(text).toBe("{'role': 'user', 'content': 'a', 'weight': 2}");
  });

  test("leaves the messages as they are", () => {
    const messages = [user("a"), { role: "assistant", content: [{ type: "text", text: "b" }] }];
    const before = JSON.stringify(messages);
    const source =
      "{% for m in messages %}{{ m.content if m.content is string else m.content[0].text }}{% endfor %}";
    expect(renderChat(messages, templateOf(source), { continueFinalMessage: true }).text).toBe("ab");
    expect(JSON.stringify(messages)).toBe(before);
  });

  const refused: [what: string, messages: Message[], options: RenderOptions, message: string][] = [
    [
      "two system messages",
      [system("a"), system("b"), user("c")],
      {},
      "Only one system message may be there",
    ],
    [
      "a role that is not due",
      [assistant("a")],
      {},
      "refuses these messages: After user is due, assistant came",
    ],
    ["a role that it does not know", [{ role: "narrator", content: "a" }], {}, "narrator came"],
    [
      "a message to continue that is not there",
      [],
      { continueFinalMessage: true },
      "there is no message to continue",
    ],
    [
      "a field to continue that is not there",
      [user("a")],
      { continueFinalMessage: "thinking" },
      "has no thinking",
    ],
    [
      "a field that the template does not know",
      [{ ...user("a"), thinking: "b" }],
      { continueFinalMessage: "thinking" },
      "the template knows no field thinking",
    ],
    [
      "an end and a beginning",
      [user("a")],
      { continueFinalMessage: true, addGenerationPrompt: true },
      "cannot be continued and another be begun",
    ],
  ];
  test.each(refused)("%s is refused", (_, messages, options, message) => {
    const strict = own("strict.jinja");
    expect(() => renderChat(messages, { ...strict, name: "m/chat.jinja" }, options)).toThrow(message);
  });

  test("a message that the template leaves out cannot be continued", () => {
    const first = templateOf("{{ messages[0].content }}");
    expect(() => renderChat([user("a"), assistant("b")], first, { continueFinalMessage: true })).toThrow(
      "the last message is not in the rendered chat as it is",
    );
  });

  test("a mistake in a template is told with its file and line", () => {
    expect(() => templateOf("{% for m in messages %}\n{{ m. }}\n{% endfor %}")).toThrow(
      "chat.jinja: line 2: ",
    );
  });
});

describe("messagesProblem", () => {
  test.each([
    [[user("a"), assistant("b")]],
    [[{ role: "tool", content: { a: 1 } }]],
    [[{ role: "assistant", content: null, tool_calls: [{ a: 1 }] }]],
    [[{ role: "assistant", tool_calls: [{}] }]],
    [[{ role: "user", content: [{ type: "text", text: "a" }], train: null }]],
  ])("%j has none", (messages) => {
    expect(messagesProblem(messages)).toBeUndefined();
  });

  test.each([
    [undefined, '"messages" is undefined, wanted a list of messages'],
    [{ role: "user" }, '"messages" is {"role":"user"}, wanted a list of messages'],
    [[], '"messages" has no messages'],
    [["a"], '"messages"[0] is "a", wanted an object with role and content'],
    [
      [{ from: "human", value: "a" }],
      '"messages"[0] has no role, wanted a text such as "user" (from and value',
    ],
    [[user("a"), { role: 5, content: "a" }], '"messages"[1] has the role 5, wanted a text such as "user"'],
    [[{ role: "user" }], '"messages"[0] (user) has no content'],
    [[{ role: "user", content: 5 }], '"messages"[0] (user) has content 5, wanted a text or a list of parts'],
    [[{ role: "user", content: ["a"] }], '"messages"[0] (user) has content[0] "a", wanted an object'],
    [[{ ...user("a"), train: 1 }], '"messages"[0] (user) has train 1, wanted true or false'],
    [[{ ...assistant("a"), tool_calls: "b" }], '"messages"[0] (assistant) has tool_calls "b", wanted a list'],
    [[{ role: "user", content: [{ text: "\ud83d" }] }], '"messages"[0] holds half of a surrogate pair'],
  ])("%j has one", (messages, problem) => {
    expect(messagesProblem(messages)).toContain(problem);
  });
});
