import { describe, expect, test } from "vitest";
import { loadChats } from "../../../src/data/chat/late-chats.ts";
import { DataInspector } from "../../../src/data/inspect/inspector.ts";
import type { DataReport } from "../../../src/data/inspect/report.ts";
import type { Example } from "../../../src/data/rows/examples.ts";
import { encodeRows } from "../../../src/data/tokenize/encode-rows.ts";
import type { TokenizeOptions } from "../../../src/data/tokenize/tokenize-options.ts";
import { createTokenizer } from "../../../src/io/tokenizer/tokenizer.ts";
import { GPT2_CONFIG, GPT2_JSON, LLAMA_CONFIG, LLAMA_JSON } from "../../io/tokenizer/tiny-tokenizer.ts";

await loadChats();

const llama = createTokenizer(LLAMA_JSON, LLAMA_CONFIG);
const gpt2 = createTokenizer(GPT2_JSON, GPT2_CONFIG);

interface Given extends Partial<TokenizeOptions> {
  readonly tokenizer?: typeof llama;
  readonly embeddingRows?: number;
  readonly judged?: readonly Example[];
}

function inspect(rows: readonly Example[], given: Given = {}): DataReport {
  const { tokenizer = llama, embeddingRows, judged = [], ...options } = given;
  const settled = { maxLength: 64, ...options };
  const encode = (examples: readonly Example[]) => encodeRows("test", examples, tokenizer, settled);
  const parts = { tokenizer, maxLength: settled.maxLength, ...(embeddingRows && { embeddingRows }) };
  const others = new DataInspector(parts);
  if (judged.length > 0) for (const row of encode(judged)) others.add(row);
  const inspector = new DataInspector({ ...parts, judged: others.keys });
  for (const row of encode(rows)) inspector.add(row);
  return inspector.report((place) => `d:${place + 1}`);
}

/** Each finding as `level kind rows of which`. */
const found = (rows: readonly Example[], given?: Given) =>
  inspect(rows, given).findings.map(
    ({ level, kind, rows: count, examples }) => `${level} ${kind} ${count} ${examples.join(",")}`,
  );

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const good: Example = { prompt: "ab", completion: " c" };
const chat = { messages: [user("b"), assistant("c")] };
const TURNS =
  "{% for m in messages %}{{ m.role[0] }}:{% if m.role == 'assistant' %}{% generation %}{{ m.content }}</s>{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}";

test("nothing is found in rows that are as they should be", () => {
  expect(found([good, { text: "b" }, { text: "a c" }])).toEqual([]);
  expect(found([chat], { chatTemplate: TURNS, assistantOnlyLoss: true })).toEqual([]);
});

describe("errors", () => {
  const cases: [what: string, rows: Example[], given: Given, finding: string][] = [
    ["nothing is trained", [{ text: "" }], {}, "error nothing-trained 1 "],
    [
      "nothing is the assistant's",
      [{ messages: [user("b")] }],
      { chatTemplate: TURNS, assistantOnlyLoss: true },
      "error nothing-trained 1 ",
    ],
    ["no row ends with EOS", [good, { text: "a b" }], { appendEos: false }, "error no-end 2 d:1,d:2"],
    [
      "every row is cut before its end",
      [{ text: "a b c d e f" }, { text: "c d e f g h" }],
      { maxLength: 4 },
      "error no-end 2 d:1,d:2",
    ],
    [
      "the only row that ends says nothing",
      [{ text: "a b c d e f" }, { prompt: "a", completion: "" }],
      { maxLength: 4 },
      "error no-end 1 d:1",
    ],
    [
      "the template writes nothing behind an answer",
      [chat],
      { chatTemplate: "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{% endfor %}" },
      "error no-end 1 d:1",
    ],
    [
      "the end of the turn is outside of what is learnt",
      [chat],
      {
        chatTemplate: TURNS.replace("</s>{% endgeneration %}", "{% endgeneration %}</s>"),
        assistantOnlyLoss: true,
      },
      "error no-end 1 d:1",
    ],
    ["BOS is there twice", [good, { text: "<s>ab" }], {}, "error double-bos 1 d:2"],
    ["BOS is there twice in a chat", [chat], { chatTemplate: `<s><s>${TURNS}` }, "error double-bos 1 d:1"],
    [
      "most rows are cut before their completion",
      [{ prompt: "abababababab", completion: " c" }, { prompt: "abcdefghi", completion: " c" }, good],
      { maxLength: 6 },
      "error cut-before 2 d:1,d:2",
    ],
    [
      "the template leaves a role out without a word",
      [{ messages: [{ role: "system", content: "be kind" }, ...chat.messages] }, chat],
      {
        chatTemplate: TURNS.replace("{{ m.role[0] }}:", "").replace(
          "{{ m.content }}{% endif %}",
          "{{ m.content if m.role == 'user' }}{% endif %}",
        ),
      },
      "error lost-role 1 d:1",
    ],
    [
      "the template leaves calls out",
      [{ messages: [user("b"), { ...assistant("c"), tool_calls: [{ function: { name: "find" } }] }] }],
      { chatTemplate: TURNS },
      "error lost-role 1 d:1",
    ],
    [
      "the template refuses a role",
      [{ messages: [{ role: "system", content: "x" }, ...chat.messages] }, chat],
      { chatTemplate: `{{ raise_exception('no system') if messages[0].role == 'system' }}${TURNS}` },
      "error refused 1 d:1",
    ],
    [
      "the beginning of a chat is rendered otherwise than the whole",
      [{ messages: [...chat.messages, ...chat.messages] }],
      {
        chatTemplate: "{{ messages|length }}{% for m in messages %}{{ m.content }}</s>{% endfor %}",
        assistantOnlyLoss: true,
      },
      "error refused 1 d:1",
    ],
    [
      "the embedding lacks a token",
      [{ text: "c" }, { text: "z" }],
      { embeddingRows: 285 },
      "error unknown-token 1 d:2",
    ],
  ];
  test.each(cases)("%s", (_, rows, given, finding) => {
    expect(found(rows, given)).toContain(finding);
  });
});

describe("warnings", () => {
  const cases: [what: string, rows: Example[], given: Given, finding: string][] = [
    ["a row is empty", [good, { text: "" }], {}, "warning empty 1 d:2"],
    ["a completion is empty", [good, { prompt: "ab", completion: "" }], {}, "warning near-empty 1 d:2"],
    ["a text is white space", [good, { text: " \n " }], {}, "warning near-empty 1 d:2"],
    [
      "a completion is empty, and nothing ends it",
      [good, { prompt: "ab", completion: "" }],
      { appendEos: false },
      "warning no-labels 1 d:2",
    ],
    [
      "some rows are cut before their completion",
      [good, { prompt: "abababababab", completion: " c" }],
      { maxLength: 6 },
      "warning cut-before 1 d:2",
    ],
    ["a row is cut", [good, { text: "a b c d e f g" }], { maxLength: 6 }, "warning cut 1 d:2"],
    [
      "what is learnt of a cut row has no end",
      [good, { text: "a b c d e f g" }],
      { maxLength: 6 },
      "warning open-end 1 d:2",
    ],
    [
      "a row is too long",
      [good, { text: "a b c d e f g" }],
      { maxLength: 6, truncation: "drop" },
      "warning too-long 1 d:2",
    ],
    ["a token goes over the seam", [good, { prompt: "c ", completion: "ab" }], {}, "warning seam 1 d:2"],
    ["a row is there twice", [good, { text: "ab" }, good, good], {}, "warning duplicate 2 d:3,d:4"],
    ["a row is in the evaluation data", [{ text: "ab" }, good], { judged: [good] }, "warning overlap 1 d:2"],
    [
      "the template leaves some messages out",
      [{ messages: [user("aaa"), assistant("c"), user("bbb"), assistant("d")] }],
      { chatTemplate: `{% set messages = messages[1:] %}${TURNS}` },
      "warning lost-role 1 d:1",
    ],
  ];
  test.each(cases)("%s", (_, rows, given, finding) => {
    expect(found(rows, given)).toContain(finding);
  });
});

test("the same tokens with another mask are no duplicate", () => {
  expect(
    found([
      { prompt: "ab", completion: " c" },
      { prompt: "ab c", completion: "" },
    ]),
  ).toEqual(["warning near-empty 1 d:2"]);
});

test("a padding token that is EOS, too, ends a row", () => {
  expect(found([{ text: "ab" }, { text: "ba" }], { tokenizer: gpt2 })).toEqual([]);
});

test("white space behind the end of a turn does not hide it", () => {
  const chatTemplate = "{% for m in messages %}{{ m.content }}</s>\n{% endfor %}";
  expect(found([chat], { chatTemplate })).toEqual([]);
});

test("thoughts that a template drops are not missed, and JSON counts as text", () => {
  const messages = [{ role: "tool", content: 'a "b"' }, assistant("<think>hm</think>c")];
  const chatTemplate =
    "{% for m in messages %}{{ m.content|tojson if m.role == 'tool' else m.content.split('</think>')[-1] }}</s>{% endfor %}";
  expect(found([{ messages }], { chatTemplate })).toEqual([]);
});

test("of many rows the first are named, and all counted", () => {
  const rows = Array.from({ length: 300 }, () => good);
  const { findings } = inspect(rows);
  expect(findings).toEqual([
    expect.objectContaining({ kind: "duplicate", rows: 299, examples: ["d:2", "d:3", "d:4", "d:5", "d:6"] }),
  ]);
});

test("the report is plain JSON, errors first", () => {
  const report = inspect([{ text: "<s>ab" }, { text: "" }, { prompt: "c ", completion: "ab" }]);
  expect(JSON.parse(JSON.stringify(report))).toEqual(report);
  const levels = report.findings.map(({ level }) => level);
  expect(levels).toEqual(["error", "warning", "warning"]);
  expect(report).toMatchObject({ rows: 3, droppedEmpty: 1, longestRow: "d:3", maxLength: 64 });
});
