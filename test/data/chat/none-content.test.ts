import { expect, test } from "vitest";
import type { Message } from "../../../src/data/chat/messages.ts";
import { noneParts } from "../../../src/data/chat/none-content.ts";
import { readChatTemplate } from "../../../src/data/chat/read-chat-template.ts";
import { renderWhole } from "../../../src/data/chat/turns.ts";
import { RoleLedger } from "../../../src/data/inspect/role-findings.ts";

const template = (source: string) =>
  readChatTemplate({ source, place: "t" }, { specialTokens: { bos_token: "<s>", eos_token: "</s>" } });
const NAIVE = template(
  "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ m.tool_calls | length }}{% endfor %}",
);
const ASKING = template(
  "{% for m in messages %}[{{ m.role }}]{% if m.content %}{{ m.content }}{% endif %}{% endfor %}",
);
const call = { type: "function", function: { name: "f", arguments: {} } };
const chat = (content: string | null, asked = "a"): Message[] => [
  { role: "user", content: asked, tool_calls: [] },
  { role: "assistant", content, tool_calls: [call] },
];

test.each([
  ["written as None", NAIVE, chat(null), ["assistant"]],
  ["written as None, beside one that is said", NAIVE, chat(null, "None"), ["assistant"]],
  ["left out", ASKING, chat(null), []],
  ["left out, beside a None that is said", ASKING, chat(null, "None"), []],
  ["the text None itself", NAIVE, chat("None"), []],
] as const)("a content that is null: %s", (_, source, messages, wanted) => {
  const parts = noneParts(renderWhole(messages, source, {}));
  expect(parts.map(({ name }) => name)).toEqual(wanted);
  const ledger = new RoleLedger();
  ledger.add(parts, 3);
  const found = ledger.findings((place) => `d:${place}`);
  expect(found.map(({ kind, level, rows, examples }) => [kind, level, rows, examples])).toEqual(
    wanted.map(() => ["none-content", "warning", 1, ["d:3"]]),
  );
});
