import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, describe, expect, test, vi } from "vitest";
import { CHAT_TEMPLATE } from "../../scripts/demo/chats.ts";
import { ask, beginChat, type Chat, type Ending, type Said } from "../../src/cli/chat/chat.ts";
import { isCommand, isExit, runCommand } from "../../src/cli/chat/commands.ts";
import { readLines } from "../../src/cli/chat/lines.ts";
import { openSpeakers, type Speaker } from "../../src/cli/chat/speakers.ts";
import { BUNDLED_MODEL, openTestModel } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const folder = mkdtempSync(join(tmpdir(), "chat-"));
afterAll(() => rmSync(folder, { recursive: true }));

const speaker = (name: string, isTuned = true): Speaker => ({ name, isTuned }) as Speaker;
const SPEAKERS = [speaker("base", false), speaker("one"), speaker("two")];
const active = ({ active }: Chat) => active.map(({ name }) => name);

describe("commands", () => {
  test("choose who answers; somebody always does", async () => {
    const chat = beginChat(SPEAKERS);
    expect(active(chat)).toEqual(["one", "two"]);
    expect(await runCommand(chat, "/base")).toEqual([
      "base answers",
      "one answers; the chat goes on with its answers",
      "two answers",
    ]);
    await runCommand(chat, "/adapters two");
    expect(active(chat)).toEqual(["base", "two"]);
    await runCommand(chat, "/adapters none");
    expect(active(chat)).toEqual(["base"]);
    await expect(runCommand(chat, "/base")).rejects.toThrow("nobody would answer");
    await expect(runCommand(chat, "/adapters one, three")).rejects.toThrow(
      "there is no adapter three\n  → the adapters are one, two",
    );
    expect(active(chat)).toEqual(["base"]);
    await runCommand(chat, "/adapters all");
    await runCommand(chat, "/base");
    expect(active(chat)).toEqual(["one", "two"]);
    expect(active(beginChat(SPEAKERS.slice(0, 1)))).toEqual(["base"]);
  });

  test("set the system message, and begin anew", async () => {
    const chat = beginChat(SPEAKERS, "Be kind.");
    chat.messages = [...chat.messages, { role: "user", content: "a" }, { role: "assistant", content: "b" }];
    await runCommand(chat, "/system  Be  brief. ");
    expect(chat.messages.map(({ content }) => content)).toEqual(["Be  brief.", "a", "b"]);
    await runCommand(chat, "/reset");
    expect(chat.messages).toEqual([{ role: "system", content: "Be  brief." }]);
    await runCommand(chat, "/system");
    expect(chat.messages).toEqual([]);
  });

  test("save a row that train reads, to a new file only", async () => {
    const chat = beginChat(SPEAKERS);
    const path = join(folder, "a chat.jsonl");
    await expect(runCommand(chat, `/save ${path}`)).rejects.toThrow("nothing was answered yet");
    expect(existsSync(path)).toBe(false);
    chat.messages = [
      { role: "user", content: "a\n" },
      { role: "assistant", content: "b" },
    ];
    expect(await runCommand(chat, `/save ${path} `)).toEqual([`Saved 2 messages to ${path}.`]);
    const text = readFileSync(path, "utf8");
    expect([text.endsWith("}\n"), JSON.parse(text)]).toEqual([true, { messages: chat.messages }]);
    await expect(runCommand(chat, `/save ${path}`)).rejects.toThrow("is there already, and stays as it is");
    await expect(runCommand(chat, `/save ${join(folder, "no/where")}`)).rejects.toThrow("is not written");
    expect(readFileSync(path, "utf8")).toBe(text);
  });

  test("are named where they are unknown", async () => {
    const chat = beginChat(SPEAKERS);
    await expect(runCommand(chat, "/adpters one")).rejects.toThrow("→ did you mean /adapters?");
    await expect(runCommand(chat, "/constructor")).rejects.toThrow("→ /help lists the commands");
    await expect(runCommand(chat, "/")).rejects.toThrow("there is no command /\n");
    expect((await runCommand(chat, "/help")).join("\n")).toMatch(
      /^\/base {2,}the model(.|\n)*\/save FILE(.|\n)*Ctrl-C/,
    );
    expect(["/exit", "/quit ", "/exits", " /exit"].map(isExit)).toEqual([true, true, false, false]);
    expect(["/a", " /a", "a/"].map(isCommand)).toEqual([true, false, false]);
  });
});

test("a question that the model has no place for is dropped, and the next is answered", async () => {
  const model = await openTestModel(BUNDLED_MODEL);
  const chatTemplates = new Map([["default", { source: CHAT_TEMPLATE, place: "t.jinja" }]]);
  const tuned = {
    name: "tuned",
    model: { ...model, chatTemplates },
    isTuned: true,
  };
  const chat = beginChat([tuned]);
  const put = async (question: string, maxNewTokens: number) => {
    const said: Said[] = [];
    for await (const each of ask(chat, question, { maxNewTokens })) said.push(each);
    return said;
  };
  expect(await put("Anna ".repeat(300), 3)).toMatchObject([
    { piece: "", ending: { kind: "too-long", positions: 256 } },
  ]);
  expect(chat.messages).toEqual([]);
  expect((await put("Where is Anna?", 3)).at(-1)).toMatchObject({ ending: { kind: "cut" } });
  expect(chat.messages.map(({ role }) => role)).toEqual(["user", "assistant"]);
  const before = chat.messages;
  let words = 250;
  let ending: Ending | undefined;
  do ending = (await put(" a".repeat(words--), 100)).at(-1)?.ending;
  while (ending?.kind === "too-long");
  expect([ending, words < 249]).toEqual([{ kind: "full", positions: 256 }, true]);
  expect(chat.messages.slice(0, 2)).toEqual(before);

  chat.messages = [];
  for await (const { piece } of ask(chat, "Who was it?", { maxNewTokens: 20 })) if (piece !== "") break;
  expect(chat.messages[1]?.content).toMatch(/^\S/); // an answer that was stopped stays
});

test("an adapter that is given twice is refused before anything is loaded", async () => {
  const settings = { model: "nowhere", revision: undefined, token: undefined, verify: false };
  const given = { ...settings, adapter_path: ["a", "a"], chat_template: undefined };
  await expect(openSpeakers(given, () => {})).rejects.toThrow("a is given twice");
});

test("lines come from a pipe, and Ctrl-C once", async () => {
  vi.spyOn(performance, "now").mockReturnValue(5000);
  const stdin = new PassThrough();
  let interrupts = 0;
  const lines = readLines(() => interrupts++, {
    stdin: stdin as unknown as NodeJS.ReadStream & { fd: 0 },
    stderr: new PassThrough() as unknown as NodeJS.WriteStream & { fd: 2 },
  });
  const others = process.listeners("SIGINT").slice(0, -1);
  const own = process.listeners("SIGINT").at(-1);
  own?.("SIGINT");
  own?.("SIGINT"); // npx passes it on
  stdin.end("one\r\ntwo");
  const read: string[] = [];
  for await (const line of lines) read.push(line);
  lines.close();
  vi.restoreAllMocks();
  expect([read, interrupts, lines.isTyped]).toEqual([["one", "two"], 1, false]);
  expect(process.listeners("SIGINT")).toEqual(others);
});

test("Ctrl-C stops an answer, and the next question is answered", async () => {
  const template = cli.write("t.jinja", [CHAT_TEMPLATE]);
  let signals = 0;
  const stdin = "Who was it?\n".repeat(4);
  const { code, stdout, stderr } = await cli.run(
    ["chat", "--model", BUNDLED_MODEL, "--chat-template", template, "--max-tokens", "30"],
    { stdin, onOutput: (_, child) => void (signals++ === 0 && child.kill("SIGINT")) },
  );
  expect([code, stderr.match(/^Stopped; /gm)?.length], stderr).toEqual([0, 1]);
  expect(stdout.trimEnd().split("\n").length).toBeGreaterThanOrEqual(4);
});
