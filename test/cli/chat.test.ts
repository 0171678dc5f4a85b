import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { afterAll, describe, expect, test, vi } from "vitest";
import { CHAT_TEMPLATE } from "../../scripts/demo/chats.ts";
import { ask, beginChat, type Chat, leader, type Said } from "../../src/cli/chat/chat.ts";
import { isCommand, isExit, runCommand } from "../../src/cli/chat/commands.ts";
import { readLines } from "../../src/cli/chat/lines.ts";
import { openSpeakers, type Speaker } from "../../src/cli/chat/speakers.ts";
import { Conversation } from "../../src/train/conversation.ts";
import type { GenerateOptions, GenerationReport } from "../../src/train/generate-text.ts";
import { fail, LoraError } from "../../src/util/fail.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const folder = mkdtempSync(join(tmpdir(), "chat-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A speaker who answers with its name, and refuses questions with a no. */
function speaker(name: string, isTuned = true): Speaker & { log: string[] } {
  const log: string[] = [];
  const conversation = Object.assign(Object.create(Conversation.prototype) as Conversation, {
    messages: [],
    release: () => void log.push("release"),
    async *ask(this: Conversation, question: string, { onEnd }: GenerateOptions) {
      log.push("ask");
      if (question.includes("no")) fail("chat", "no place");
      this.messages = [...this.messages, user(question), { role: "assistant", content: name }];
      yield name;
      onEnd?.({ ending: "cut" } as GenerationReport);
    },
  });
  return { name, isTuned, conversation, log, model: {} as Speaker["model"] };
}
const user = (content: string) => ({ role: "user", content });
const SPEAKERS = [speaker("base", false), speaker("one"), speaker("two")];
const active = ({ active }: Chat) => active.map(({ name }) => name);

describe("commands", () => {
  test("choose who answers; somebody always does", async () => {
    const chat = beginChat(SPEAKERS);
    expect(active(chat)).toEqual(["one", "two"]);
    expect(await runCommand(chat, "/base")).toEqual([
      "base answers",
      "one answers; /save writes its chat",
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

  test("make an adapter stronger or weaker, and say what is wrong with that", async () => {
    const strength = (log: number[] = []) => ({
      factor: 1,
      set(factor: number) {
        if (factor === 9) fail("scaled", "IA3 has no factor of its update");
        log.push(factor);
        this.factor = factor;
      },
    });
    const speakers = [speaker("base", false), { ...speaker("one"), strength: strength() }];
    const chat = beginChat(speakers);
    expect(await runCommand(chat, "/scale 0.5")).toContain("one answers, 0.5 times as strong");
    expect(await runCommand(chat, "/scale one -1")).toContain("one answers, -1 times as strong");
    await expect(runCommand(chat, "/scale one 9")).rejects.toThrow("IA3 has no factor");
    expect(await runCommand(chat, "/adapters")).toContain("one answers, -1 times as strong");
    expect(await runCommand(chat, "/scale 1")).toContain("one answers");
    const both = beginChat([...speakers, { ...speaker("my two"), strength: strength() }]);
    expect(await runCommand(both, "/scale my two 2")).toContain("my two answers, 2 times as strong");
    for (const [line, wrong] of [
      ["/scale", "nothing is no number"],
      ["/scale one", "one is no number"],
      ["/scale 2", "2 is of no adapter\n  → name one: one, my two"],
      ["/scale three 2", "there is no adapter three\n  → the adapters are one, my two"],
    ] as const)
      await expect(runCommand(both, line)).rejects.toThrow(wrong);
  });

  test("set the system message, and begin anew, for all", async () => {
    const chat = beginChat([speaker("base", false), speaker("one")], "Be kind.");
    const contents = () =>
      chat.speakers.map(({ conversation }) => conversation.messages.map((m) => m.content));
    for (const { conversation } of chat.speakers) {
      conversation.messages = [...conversation.messages, user("a"), { role: "assistant", content: "b" }];
    }
    await runCommand(chat, "/system  Be  brief. ");
    expect(contents()).toEqual([
      ["Be  brief.", "a", "b"],
      ["Be  brief.", "a", "b"],
    ]);
    await runCommand(chat, "/reset");
    expect(contents()).toEqual([["Be  brief."], ["Be  brief."]]);
    await runCommand(chat, "/system");
    expect(contents()).toEqual([[], []]);
  });

  test("save a row that train reads, to a new file only", async () => {
    const chat = beginChat([speaker("one"), speaker("two")]);
    const path = join(folder, "a chat.jsonl");
    await expect(runCommand(chat, `/save ${path}`)).rejects.toThrow("nothing was answered yet");
    expect(existsSync(path)).toBe(false);
    const messages = [user("a\n"), { role: "assistant", content: "b" }];
    leader(chat).conversation.messages = messages;
    expect(await runCommand(chat, `/save ${path} `)).toEqual([`Saved 2 messages to ${path}.`]);
    const text = readFileSync(path, "utf8");
    expect([text.endsWith("}\n"), JSON.parse(text)]).toEqual([true, { messages }]);
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

describe("several who answer", () => {
  const say = async (chat: Chat, question: string) => {
    const said: Said[] = [];
    for await (const each of ask(chat, question)) said.push(each);
    return said.map(({ speaker, piece, ending, follows }) =>
      [speaker.name, piece || ending?.kind || `follows ${follows?.name}`].join(": "),
    );
  };
  const contents = ({ conversation }: Speaker) => conversation.messages.map(({ content }) => content);

  test("see their own answers", async () => {
    const [one, two] = [speaker("one"), speaker("two")];
    const chat = beginChat([one, two]);
    expect(await say(chat, "a")).toEqual(["one: one", "one: cut", "two: two", "two: cut"]);
    await say(chat, "b");
    expect([contents(one), contents(two)]).toEqual([
      ["a", "one", "b", "one"],
      ["a", "two", "b", "two"],
    ]);
    expect(two.log).toEqual(["ask", "ask"]);
  });

  test("go on with the chat of another where they missed a question, and give their memory back meanwhile", async () => {
    const [base, one, two] = [speaker("base", false), speaker("one"), speaker("two")];
    const chat = beginChat([base, one, two]);
    await say(chat, "a");
    await runCommand(chat, "/adapters two");
    expect([one.log.at(-1), two.log.at(-1)]).toEqual(["release", "ask"]);
    await say(chat, "b");
    await runCommand(chat, "/adapters all");
    await runCommand(chat, "/base");
    expect((await say(chat, "c")).filter((line) => line.includes("follows"))).toEqual([
      "base: follows two",
      "one: follows two",
    ]);
    expect(contents(one)).toEqual(["a", "two", "b", "two", "c", "one"]);
    expect((await say(chat, "d")).some((line) => line.includes("follows"))).toBe(false);
  });

  test("a question that is refused is dropped", async () => {
    const one = speaker("one");
    const chat = beginChat([one]);
    expect(await say(chat, "no")).toEqual(["one: refused"]);
    expect([one.conversation.messages, one.log]).toEqual([[], ["ask"]]);
    const broken = speaker("broken");
    broken.conversation.ask = () => {
      throw new LoraError("device-lost", "device", "gone");
    };
    await expect(say(beginChat([broken]), "a")).rejects.toThrow("gone");
  });
});

test("an adapter that is given twice is refused before anything is loaded", async () => {
  const settings = { model: "nowhere", revision: undefined, token: undefined, verify: false };
  const precision = {
    quantization: undefined,
    quantization_block: undefined,
    double_quantization: false,
    skip_modules: [],
    offload: false,
  };
  const given = { ...settings, ...precision, adapter_path: ["a", "a"], chat_template: undefined };
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
  const stdin = "Who was it?\n".repeat(4);
  const { code, stdout, stderr } = await cli.run(
    ["chat", "--model", BUNDLED_MODEL, "--chat-template", template, "--max-tokens", "30"],
    { stdin, reaction: { said: "", signal: "SIGINT" } },
  );
  expect([code, stderr.match(/^Stopped; /gm)?.length], stderr).toEqual([0, 1]);
  expect(stdout.trimEnd().split("\n").length).toBeGreaterThanOrEqual(4);
});
