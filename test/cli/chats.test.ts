import { cpSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const MODEL = ["--model", BUNDLED_MODEL];
const TRAIN = [...MODEL, "--learning-rate", "5e-3", "--batch-size", "2", "--lora-r", "4"];

/** A line for each message; behind an answer the token that ends it. */
const TEMPLATE =
  "{% for m in messages %}{{ m.role[0] }}: {{ m.content }}{{ eos_token if m.role == 'assistant' }}\n{% endfor %}" +
  "{{ 'a:' if add_generation_prompt }}";

const user = (content: string) => ({ role: "user", content });
const assistant = (content: string) => ({ role: "assistant", content });
const ANSWER = "9 pink candles";
const ROWS = ["Tom", "Anna", "Ben"].map((name) => ({
  messages: [user(`Who is ${name}?`), assistant(ANSWER)],
}));

describe("chats", () => {
  test("are trained on the answers, judged and answered, by the template that stays beside the adapter", async () => {
    const template = cli.write("t.jinja", [TEMPLATE]);
    const split = { prompt: ROWS[0]?.messages.slice(0, 1), completion: ROWS[0]?.messages.slice(1) };
    const data = cli.write("chats.jsonl", [...ROWS, split]);
    const words = ["--data", data, "--adapter-path", cli.path("out"), "--iters", "30"];
    const trained = await cli.run([
      ...["train", ...TRAIN, ...words, "--chat-template", template, "--assistant-only-loss"],
    ]);
    expect(trained, trained.stderr).toMatchObject({ code: 0 });
    const [, tokens, learnt] =
      /^chats\.jsonl: 4 rows, (\d+) tokens, (\d+) of them trained/m.exec(trained.stdout) ?? [];
    expect(Number(learnt)).toBeLessThan(Number(tokens) / 2);
    expect(readFileSync(cli.path("out/chat_template.jinja"), "utf8")).toBe(`${TEMPLATE}\n`);

    const adapter = ["--adapter-path", cli.path("out")];
    const chat = cli.write("chat.json", [JSON.stringify([user("Who is Anna?")])]);
    const answered = await cli.run(["generate", ...MODEL, ...adapter, "--messages", chat]);
    expect(answered, answered.stderr).toMatchObject({ code: 0, stdout: ` ${ANSWER}\n` });
    const stdin = JSON.stringify({ messages: [user("Who is Ben?"), assistant("9 pink")] });
    const continued = await cli.run(["generate", ...MODEL, ...adapter, "--messages", "-"], { stdin });
    expect(continued, continued.stderr).toMatchObject({ code: 0, stdout: " candles\n" });

    cpSync(cli.path("out"), cli.path("other"), { recursive: true });
    const lines = [
      "\ufeffWho is Anna?", // as PowerShell begins what it pipes
      ...["/base", "/adapters out", "Who is Ben?", "/rest", "/save", `/save ${cli.path("said.jsonl")}`],
    ];
    const both = [...adapter, "--adapter-path", cli.path("other")];
    const talked = await cli.run(["chat", ...MODEL, ...both, "--max-tokens", "16"], {
      stdin: lines.join("\n"),
    });
    expect(talked, talked.stderr).toMatchObject({ code: 1 }); // of two commands
    const [first, second, base, ...tuned] = talked.stdout.trimEnd().split("\n");
    expect([first, second]).toEqual([`out: ${ANSWER}`, `other: ${ANSWER}`]);
    expect(base).toMatch(/^base: ./);
    expect(base).not.toContain(ANSWER);
    expect(tuned.at(-1)).toBe(`out: ${ANSWER}`);
    expect(talked.stderr).toContain("out answers; /save writes its chat\n");
    expect(talked.stderr).toContain("there is no command /rest\n  → did you mean /reset?");
    expect(talked.stderr).toContain("/save: no file is named");
    expect(talked.stderr).toMatch(/Saved 4 messages to .*said\.jsonl\./);
    expect(JSON.parse(readFileSync(cli.path("said.jsonl"), "utf8"))).toEqual({
      messages: [user("Who is Anna?"), assistant(ANSWER), user("Who is Ben?"), assistant(ANSWER)],
    });

    const evaluated = await cli.run([
      "eval",
      ...MODEL,
      ...adapter,
      "--data",
      data,
      "--mask-history",
      "--json",
    ]);
    const { loss, report } = JSON.parse(evaluated.stdout) as {
      loss: number;
      report: { labelTokens: number };
    };
    expect(loss).toBeLessThan(0.5);
    expect(report.labelTokens).toBeLessThanOrEqual(Number(learnt));

    const merged = await cli.run(["merge", ...MODEL, ...adapter, "--output-dir", cli.path("merged")]);
    expect(merged, merged.stderr).toMatchObject({ code: 0 });
    expect(readFileSync(cli.path("merged/chat_template.jinja"), "utf8")).toBe(`${TEMPLATE}\n`);
  });

  test("what is wrong is told", async () => {
    const data = cli.write("some.jsonl", [...ROWS, { messages: [{ role: "user" }] }]);
    const train = (words: string[]) =>
      cli.run(["train", ...TRAIN, "--adapter-path", cli.path("bad"), ...words]);
    expect(await train(["--data", data])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('some.jsonl:4: "messages"[0] (user) has no content'),
    });
    const good = cli.write("good.jsonl", ROWS);
    expect(await train(["--data", good])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/good\.jsonl: .*has no chat template\n {2}→ give one: a \.jinja file/),
    });
    expect(await train(["--data", good, "--chat-template", "chatml"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("chatml is neither a file nor the name of a template"),
    });
    const broken = cli.write("broken.jinja", ["{% for m in messages %}", "{{ m. }}{% endfor %}"]);
    expect(await train(["--data", good, "--chat-template", broken])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("broken.jinja: line 2: "),
    });
    expect(await cli.run(["chat", ...MODEL], { stdin: "hi\n" })).toMatchObject({
      code: 1,
      stdout: "",
      stderr: expect.stringMatching(/has no chat template\n {2}→ give one with --chat-template FILE;/),
    });
    const chat = cli.write("no-chat.json", ['{"messages": "hi"}']);
    expect(await cli.run(["generate", ...MODEL, "--messages", chat])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('no-chat.json: "messages" is "hi", wanted a list of messages'),
    });
    expect(await cli.run(["generate", ...MODEL, "--messages", chat, "--prompt", "a"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("prompt and messages are both given"),
    });
  });
});
