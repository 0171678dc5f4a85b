import { rm, writeFile } from "node:fs/promises";
import { largest } from "../../util/arrays.ts";
import { fail } from "../../util/fail.ts";
import { nearest } from "../../util/nearest.ts";
import { type Chat, leader } from "./chat.ts";
import { BASE, type Speaker } from "./speakers.ts";

/** What a line that begins with a slash does to a chat. */
interface ChatCommand {
  /** What stands behind its name, for the help. */
  readonly words: string;
  readonly help: string;
  /** Returns lines to be shown. */
  run(chat: Chat, words: string): readonly string[] | Promise<readonly string[]>;
}

const COMMANDS: ReadonlyMap<string, ChatCommand> = new Map<string, ChatCommand>([
  ["base", { words: "", help: "the model without an adapter answers, too, or no longer", run: toggleBase }],
  [
    "adapters",
    { words: "[NAME… | all | none]", help: "who answers; or let these adapters answer", run: chooseAdapters },
  ],
  [
    "scale",
    { words: "[NAME] X", help: "make an adapter's change X times as strong, such as 0.5", run: scale },
  ],
  ["system", { words: "[TEXT]", help: "set the system message; without a text remove it", run: setSystem }],
  ["reset", { words: "", help: "begin a new chat; the system message stays", run: reset }],
  ["save", { words: "FILE", help: "write the chat to a new .jsonl file, a row that train reads", run: save }],
  ["help", { words: "", help: "show this", run: help }],
  ["exit", { words: "", help: "end, as Ctrl-D does", run: () => [] }],
]);

/** Whether a line is a command; one that begins with a blank never is. */
export const isCommand = (line: string) => line.startsWith("/");

/** Whether a line is the wish to end. */
export const isExit = (line: string) => /^\/(exit|quit|bye)\s*$/.test(line);

/**
 * Does what a line with a command says.
 * @returns lines to be shown
 * @throws LoraError for an unknown command or unknown names, or where there is nothing to do; the chat is as before then
 */
export async function runCommand(chat: Chat, line: string): Promise<readonly string[]> {
  const [, name = "", words = ""] = /^\/(\S*)\s*(.*?)\s*$/s.exec(line) ?? [];
  const command = COMMANDS.get(name);
  if (command) return command.run(chat, words);
  const meant = nearest(name, [...COMMANDS.keys()]);
  const hint = meant === undefined ? "/help lists the commands" : `did you mean /${meant}?`;
  const question = "a question that begins with a slash needs a blank before it";
  return fail("chat", `there is no command /${name}`, `${hint} (${question})`);
}

function toggleBase(chat: Chat): readonly string[] {
  const isBase = ({ isTuned }: Speaker) => !isTuned;
  const wanted = chat.active.some(isBase)
    ? chat.active.filter((speaker) => !isBase(speaker))
    : [...chat.speakers.filter(isBase), ...chat.active];
  return activate(chat, wanted);
}

function chooseAdapters(chat: Chat, words: string): readonly string[] {
  const tuned = chat.speakers.filter(({ isTuned }) => isTuned);
  if (words === "") return describeSpeakers(chat);
  const base = chat.active.filter(({ isTuned }) => !isTuned);
  if (words === "all") return activate(chat, [...base, ...tuned]);
  if (words === "none") return activate(chat, base);
  const names = words.split(/[\s,]+/).filter(Boolean);
  const known = tuned.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const list = known.length > 0 ? `the adapters are ${known.join(", ")}` : "none was given with --adapter";
    return fail("/adapters", `there is no adapter ${unknown}`, list);
  }
  return activate(chat, [...base, ...tuned.filter(({ name }) => names.includes(name))]);
}

function activate(chat: Chat, speakers: readonly Speaker[]): readonly string[] {
  if (speakers.length === 0) fail("chat", "nobody would answer", "/adapters all, or /base, before");
  for (const { conversation } of chat.active.filter((speaker) => !speakers.includes(speaker))) {
    conversation.release();
  }
  chat.active = speakers;
  return describeSpeakers(chat);
}

function describeSpeakers(chat: Chat): readonly string[] {
  const { speakers, active } = chat;
  const lines = speakers.map((speaker) => {
    const state = active.includes(speaker) ? "answers" : "does not answer";
    const isLeading = active.length > 1 && speaker === leader(chat);
    const { factor = 1 } = speaker.strength ?? {};
    const strength = factor === 1 ? "" : `, ${factor} times as strong`;
    return `${speaker.name} ${state}${strength}${isLeading ? "; /save writes its chat" : ""}`;
  });
  if (speakers.length === 1) lines.push(`There is no adapter beside ${BASE}: --adapter names one.`);
  return lines;
}

/** The name may be left out where there is one adapter. What was said stays, and is read anew. */
function scale(chat: Chat, words: string): readonly string[] {
  const tuned = chat.speakers.filter(({ isTuned }) => isTuned);
  const known = tuned.map(({ name }) => name).join(", ") || "none was given with --adapter";
  const [, name, text = ""] = /^(?:(.*\S)\s+)?(\S+)$/.exec(words) ?? [];
  const factor = Number(text);
  if (text === "" || !Number.isFinite(factor))
    fail(
      "/scale",
      `${text === "" ? "nothing" : text} is no number`,
      "such as /scale NAME 0.5; 1 is as it was saved",
    );
  if (name === undefined && tuned.length !== 1)
    fail("/scale", `${factor} is of no adapter`, `name one: ${known}`);
  const speaker = name === undefined ? tuned[0] : tuned.find((other) => other.name === name);
  if (!speaker?.strength) return fail("/scale", `there is no adapter ${name}`, `the adapters are ${known}`);
  speaker.strength.set(factor);
  return describeSpeakers(chat);
}

function setSystem(chat: Chat, text: string): readonly string[] {
  for (const { conversation } of chat.speakers) conversation.setSystem(text === "" ? undefined : text);
  return [text === "" ? "There is no system message." : "The system message is set."];
}

function reset(chat: Chat): readonly string[] {
  for (const { conversation } of chat.speakers) conversation.reset();
  return ["A new chat begins."];
}

async function save(chat: Chat, path: string): Promise<readonly string[]> {
  const { messages } = leader(chat).conversation;
  if (path === "") fail("/save", "no file is named", "give the name of a new file, such as chat.jsonl");
  if (!messages.some(({ role }) => role === "assistant")) {
    fail("/save", "nothing was answered yet", "ask something before");
  }
  let isMade = false;
  try {
    await writeFile(path, "", { flag: "wx" });
    isMade = true;
    await writeFile(path, `${JSON.stringify({ messages })}\n`);
  } catch (error) {
    if (isMade) await rm(path, { force: true });
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") fail("/save", `${path} is there already, and stays as it is`, "give another name");
    fail(
      "/save",
      `${path} is not written: ${message}`,
      "give the name of a new file in a folder that you may write to",
    );
  }
  return [`Saved ${messages.length} messages to ${path}.`];
}

function help(): readonly string[] {
  const usages = [...COMMANDS].map(([name, { words, help }]) => [`/${name} ${words}`.trim(), help] as const);
  const width = largest(usages.map(([usage]) => usage.length));
  return [
    ...usages.map(([usage, help]) => `${usage.padEnd(width)}  ${help}`),
    "Any other line is a question. Ctrl-C stops an answer, and ends where there is none.",
  ];
}
