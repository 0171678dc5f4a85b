import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type ChatMask, encodeChat } from "../../../src/data/chat/encode-chat.ts";
import { endOfTurnToken } from "../../../src/data/chat/end-of-turn.ts";
import type { Message } from "../../../src/data/chat/messages.ts";
import { readChatTemplate } from "../../../src/data/chat/read-chat-template.ts";
import { tokensInSpans } from "../../../src/data/chat/token-mask.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { GPT2_CONFIG, GPT2_JSON, LLAMA_CONFIG, LLAMA_JSON } from "../../io/tokenizer/tiny-tokenizer.ts";
import { fixturePath } from "../../support/fixtures.ts";

const llama = createTokenizer(LLAMA_JSON, LLAMA_CONFIG);
const gpt2 = createTokenizer(GPT2_JSON, GPT2_CONFIG);

const templateOf = (source: string) => readChatTemplate({ source, place: "t.jinja" }, llama);
const fixture = (name: string) => templateOf(readFileSync(join(fixturePath("chat"), name), "utf8"));

/** A turn of each role, the assistant's ended by `</s>`, and a line after that. */
const PLAIN = templateOf(
  "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{{ '</s>' if m.role == 'assistant' }}\n{% endfor %}" +
    "{{ 'a:' if add_generation_prompt }}",
);
const MARKED = templateOf(
  "{% for m in messages %}{{ m.role[0] }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content }}</s>" +
    "{% endgeneration %}{% else %}{{ m.content }}{% endif %}\n{% endfor %}",
);
/** As reasoning templates do: what was thought is in the last answer only. */
const REASONING = templateOf(
  "{% for m in messages %}{{ m.role[0] }}:{{ '#' if m.role == 'assistant' and loop.last }}{{ m.content }}</s>" +
    "{% endfor %}{{ 'a:' if add_generation_prompt }}",
);

const user = (content: string, more = {}): Message => ({ role: "user", content, ...more });
const assistant = (content: string, more = {}): Message => ({ role: "assistant", content, ...more });
const CHAT = [user("x"), assistant("yes"), user("z"), assistant("no")];

const mask = (given: Partial<ChatMask> = {}): ChatMask => ({
  completionOnlyLoss: true,
  assistantOnlyLoss: false,
  maskHistory: false,
  ...given,
});

type Example = Parameters<typeof encodeChat>[0];

/** The text of the learnt tokens, parts that others separate apart. */
function learnt(
  example: Example,
  template: typeof PLAIN,
  given: Partial<ChatMask>,
  tokenizer = gpt2,
): string[] {
  const { ids, trained } = encodeChat(example, template, tokenizer, mask(given));
  const parts: number[][] = [];
  for (const [i, id] of ids.entries()) {
    if (!trained[i]) continue;
    if (!trained[i - 1]) parts.push([]);
    parts.at(-1)?.push(id);
  }
  return parts.map((part) => tokenizer.decode(part, { skipSpecialTokens: false }));
}

describe("what is learnt of a chat", () => {
  test("is all of it, unless something else is asked for", () => {
    expect(learnt({ messages: CHAT }, PLAIN, {})).toEqual(["u:x\na:yes</s>\nu:z\na:no</s>\n"]);
  });

  test("is what the assistant wrote, with what ends its turn: as the template marks it", () => {
    expect(learnt({ messages: CHAT }, MARKED, { assistantOnlyLoss: true })).toEqual(["yes</s>", "no</s>"]);
    expect(learnt({ messages: CHAT }, MARKED, { maskHistory: true })).toEqual(["no</s>"]);
  });

  test("and where it marks nothing what comes behind the messages before", () => {
    expect(learnt({ messages: CHAT }, PLAIN, { assistantOnlyLoss: true })).toEqual(["yes</s>\n", "no</s>\n"]);
    expect(learnt({ messages: CHAT }, PLAIN, { maskHistory: true })).toEqual(["no</s>\n"]);
  });

  test("leaves out messages with train false, whatever the mask", () => {
    const messages = [
      user("x"),
      assistant("yes", { train: false }),
      user("z"),
      assistant("no", { train: true }),
    ];
    for (const template of [PLAIN, MARKED]) {
      const last = template === PLAIN ? "no</s>\n" : "no</s>";
      expect(learnt({ messages }, template, { assistantOnlyLoss: true })).toEqual([last]);
    }
    expect(learnt({ messages }, PLAIN, {})).toEqual(["u:x\na:", "u:z\na:no</s>\n"]);
    const unasked = [user("x", { train: false }), assistant("yes"), user("z", { train: false })];
    expect(learnt({ messages: unasked }, PLAIN, {})).toEqual(["a:yes</s>\n"]);
    const none = [user("x"), assistant("yes", { train: false })];
    expect(learnt({ messages: none }, PLAIN, { maskHistory: true })).toEqual([]);
  });

  test("of a prompt and a completion is the completion", () => {
    const example = { prompt: CHAT.slice(0, 3), completion: CHAT.slice(3) };
    expect(learnt(example, PLAIN, {})).toEqual(["no</s>\n"]);
    expect(learnt(example, PLAIN, { completionOnlyLoss: false })).toEqual([
      "u:x\na:yes</s>\nu:z\na:no</s>\n",
    ]);
    expect(learnt(example, PLAIN, { completionOnlyLoss: false, assistantOnlyLoss: true })).toEqual([
      "yes</s>\n",
      "no</s>\n",
    ]);
    const long = { prompt: CHAT.slice(0, 1), completion: CHAT.slice(1) };
    expect(learnt(long, MARKED, {})).toEqual(["a:yes</s>u:za:no</s>"]);
    expect(learnt(long, MARKED, { assistantOnlyLoss: true })).toEqual(["yes</s>", "no</s>"]);
  });

  test("goes by position: an end of turn that is also the padding token is learnt", () => {
    const template = templateOf(PLAIN.source.replace("</s>", "<|endoftext|>"));
    const { ids, trained } = encodeChat(
      { messages: CHAT },
      template,
      gpt2,
      mask({ assistantOnlyLoss: true }),
    );
    expect(ids.filter((id, i) => id === gpt2.eosTokenId && trained[i])).toHaveLength(2);
  });

  test("is empty where the assistant says nothing", () => {
    expect(learnt({ messages: [user("x")] }, PLAIN, { assistantOnlyLoss: true })).toEqual([]);
    expect(learnt({ messages: [user("x")] }, MARKED, { assistantOnlyLoss: true })).toEqual([]);
  });

  test("tools, documents and other names reach the template", () => {
    const template = templateOf("{{ tools[0].a }}{{ documents[0].b }}{{ c }}{{ messages[0].content }}");
    const more = { tools: [{ a: 1 }], documents: [{ b: 2 }], chat_template_kwargs: { c: 3 } };
    expect(learnt({ messages: [user("x")], ...more }, template, {})).toEqual(["123x"]);
  });
});

describe("a template that renders the beginning of a chat otherwise than the whole", () => {
  test("is refused with the first difference", () => {
    expect(() => encodeChat({ messages: CHAT }, REASONING, gpt2, mask({ assistantOnlyLoss: true }))).toThrow(
      "t.jinja: renders the first 2 messages otherwise than the whole chat, so it is not known which tokens are whose: " +
        '…"u:x</s>a:#yes</s>"… there, …"u:x</s>a:yes</s>u:z</s>a:#no</s>"… in the whole\n  → take a template that marks',
    );
  });

  test("can be learnt as a whole, and its last answer can", () => {
    expect(learnt({ messages: CHAT }, REASONING, { maskHistory: true })).toEqual(["#no</s>"]);
    expect(learnt({ messages: CHAT }, REASONING, {})).toHaveLength(1);
  });

  test("that marks two parts of an answer is taken by the turns", () => {
    const twice = templateOf(
      MARKED.source.replace(
        "</s>{% endgeneration %}",
        "{% endgeneration %}{% generation %}</s>{% endgeneration %}",
      ),
    );
    expect(learnt({ messages: CHAT }, twice, { assistantOnlyLoss: true })).toEqual(["yes</s>", "no</s>"]);
    expect(learnt({ messages: CHAT }, twice, { maskHistory: true })).toEqual(["no</s>"]);
  });
});

test("messages of a role that the template leaves out, without a word, are refused", () => {
  const picky = templateOf(
    "{% for m in messages if m.role in ['user', 'assistant', 'ipython'] %}{{ m.role[0] }}:{{ m.content }}{% endfor %}",
  );
  const encode = (role: string, content = "x") =>
    encodeChat({ messages: [user("a"), { role, content }, assistant("b")] }, picky, gpt2, mask());
  expect(() => encode("narrator")).toThrow(
    't.jinja: leaves out message 2, which has the role "narrator"\n  → give it a role that the template knows',
  );
  expect(() => encode("ipython")).not.toThrow();
  expect(() => encode("narrator", " ")).not.toThrow();
  expect(() => encode("tool")).not.toThrow(); // a template may have its reasons
});

describe("the seam", () => {
  // "▁ab" is one token: what ends the prompt and what begins the completion.
  const seam = templateOf(
    "{% for m in messages %}{{ m.content }}{% endfor %}{{ ' ' if add_generation_prompt and false }}",
  );
  const example = { prompt: [user("c ")], completion: [assistant("ab")] };

  test("is tokenised together, and the token that straddles it is learnt and told", () => {
    const { ids, trained, straddler } = encodeChat(example, seam, llama, mask());
    expect(ids).toEqual(llama.encode("c ab", { addSpecialTokens: false }));
    expect(straddler).toBe(2);
    expect(trained).toEqual([false, false, true]);
  });

  test("is silent where tokens part", () => {
    const parted = { prompt: [user("c")], completion: [assistant(" ab")] };
    expect(encodeChat(parted, seam, llama, mask()).straddler).toBeUndefined();
  });
});

describe("the end of a turn", () => {
  test("is the special token that the template writes behind an answer", () => {
    expect(endOfTurnToken(PLAIN, llama)).toEqual({ id: 2, text: "</s>" });
    expect(endOfTurnToken(MARKED, llama)).toEqual({ id: 2, text: "</s>" });
    expect(endOfTurnToken(fixture("strict.jinja"), llama)).toEqual({ id: 2, text: "</s>" });
    expect(endOfTurnToken(PLAIN, gpt2)).toBeUndefined();
    expect(endOfTurnToken(templateOf("{{ messages[1].content }}"), llama)).toBeUndefined();
    expect(endOfTurnToken(templateOf("{{ raise_exception('no chats') }}"), llama)).toBeUndefined();
  });

  test("that is not learnt is told", () => {
    const isOpen = (template: typeof PLAIN, given: Partial<ChatMask>) =>
      encodeChat({ messages: CHAT }, template, llama, mask(given)).isOpen;
    const without = templateOf(MARKED.source.replace("</s>{% endgeneration %}", "{% endgeneration %}</s>"));
    expect(isOpen(MARKED, { assistantOnlyLoss: true })).toBe(false);
    expect(isOpen(without, { assistantOnlyLoss: true })).toBe(true);
    expect(isOpen(without, {})).toBe(false);
    expect(isOpen(templateOf("{% for m in messages %}{{ m.content }}{% endfor %}"), {})).toBe(true);
  });
});

test("a token is in a span with any of its characters; one without characters where it stands", () => {
  const offsets = [
    [0, 0],
    [0, 2],
    [2, 2],
    [2, 5],
    [5, 6],
    [6, 6],
  ] as const;
  const trained = (...spans: (readonly [number, number])[]) =>
    tokensInSpans(offsets, spans).map(Number).join("");
  expect(trained([2, 5])).toBe("001100");
  expect(trained([1, 2])).toBe("010000");
  expect(trained([1, 3], [5, 6])).toBe("011110");
  expect(trained([0, 6])).toBe("111110");
  expect(trained([3, 3])).toBe("000000");
  expect(trained()).toBe("000000");
});
