import { LoraError } from "../../util/fail.ts";
import { printable } from "../../util/printable.ts";
import { type AnswerSettings, describeSampling, generateOptions } from "../answer.ts";
import { ask, beginChat, type Chat, type Ending } from "../chat/chat.ts";
import { isCommand, isExit, runCommand } from "../chat/commands.ts";
import { readLines } from "../chat/lines.ts";
import { openSpeakers, type Speaker } from "../chat/speakers.ts";
import type { Settled } from "../settings.ts";
import type { CHAT_OPTIONS } from "../tables/chat.ts";
import { printLines, type Terminal } from "../terminal.ts";

/** As the system ends what Ctrl-C ends: 128 + the signal's number. */
const EXIT_INTERRUPTED = 130;

/**
 * `webgpu-lora chat`: questions are lines of standard input, the answers go to standard output as they come, all else to
 * standard error.
 * @returns the exit code: that of Ctrl-C where it ended the chat, 1 where a line of a pipe was not to be done
 */
export async function runChat(settled: Settled<typeof CHAT_OPTIONS>, terminal: Terminal): Promise<number> {
  const { settings } = settled;
  const note = (line: string) => terminal.note(line);
  const speakers = await openSpeakers(settings, note);
  const chat = beginChat(speakers, settings.system_prompt);
  const sampling = describeSampling((speakers[0] as Speaker).model.generation, generateOptions(settled));
  if (sampling !== undefined) note(sampling);
  const stop = { wanted: false, isAnswering: false, isEnd: false };
  const lines = readLines(() => {
    if (stop.isAnswering && stop.wanted) process.exit(EXIT_INTERRUPTED);
    if (stop.isAnswering) {
      stop.wanted = true;
    } else {
      stop.isEnd = true;
      lines.close();
    }
  });
  if (lines.isTyped) note("/help lists the commands; Ctrl-D ends.");
  let failures = 0;
  const code = () => (failures > 0 && !lines.isTyped ? 1 : 0);
  try {
    lines.prompt();
    for await (const line of lines) {
      if (stop.isEnd) break;
      if (isExit(line)) return code();
      stop.isAnswering = true;
      stop.wanted = false;
      if (!(await takeLine(chat, line, settled, terminal, () => stop.wanted))) failures++;
      stop.isAnswering = false;
      if (terminal.closed) break;
      lines.prompt();
    }
  } finally {
    lines.close();
  }
  if (lines.isTyped) note(""); // the prompt's line has no end
  return stop.isEnd ? EXIT_INTERRUPTED : code();
}

/** Does what a line says, or answers it. Returns whether that was possible. */
async function takeLine(
  chat: Chat,
  line: string,
  settled: AnswerSettings,
  terminal: Terminal,
  isStopped: () => boolean,
): Promise<boolean> {
  if (line.trim() === "") return true;
  if (!isCommand(line)) return answer(chat, line, settled, terminal, isStopped);
  try {
    for (const shown of await runCommand(chat, line)) terminal.note(shown);
    return true;
  } catch (error) {
    if (!(error instanceof LoraError)) throw error;
    printLines(terminal.note, `error: ${error.message}`);
    return false;
  }
}

/** Writes the answers of all who answer; each has its name before it where there are several. */
async function answer(
  chat: Chat,
  question: string,
  settled: AnswerSettings,
  terminal: Terminal,
  isStopped: () => boolean,
): Promise<boolean> {
  const isNamed = chat.active.length > 1;
  let isGood = true;
  let writing: Speaker | undefined;
  const begin = (speaker: Speaker) => {
    if (writing === speaker) return;
    writing = speaker;
    if (isNamed) terminal.write(`${printable(speaker.name)}: `);
  };
  const end = () => {
    if (writing !== undefined) terminal.write("\n");
    writing = undefined;
  };
  try {
    for await (const said of ask(chat, question.trim(), generateOptions(settled))) {
      const { speaker, piece, ending, follows } = said;
      if (follows !== undefined) {
        terminal.note(`${speaker.name} missed a question, and goes on with the chat of ${follows.name}.`);
        continue;
      }
      if (ending === undefined || isAnswer(ending)) begin(speaker);
      terminal.write(piece);
      if (ending !== undefined) {
        end();
        const shown = describeEnding(ending, speaker, settled.settings.max_tokens);
        if (shown !== undefined) printLines(terminal.note, isNamed ? `${speaker.name}: ${shown}` : shown);
        isGood &&= isAnswer(ending);
      }
      if (isStopped() || terminal.closed) break;
    }
  } finally {
    end();
  }
  if (isStopped()) terminal.note("Stopped; Ctrl-C once more ends.");
  return isGood;
}

const isAnswer = ({ kind }: Ending) => kind !== "refused";

/** What to say where an answer did not end by itself. */
function describeEnding(ending: Ending, { model }: Speaker, maxTokens: number): string | undefined {
  switch (ending.kind) {
    case "complete":
    case "stopped":
      return undefined;
    case "cut":
      return `The answer was cut at ${maxTokens} tokens; --max-tokens gives more.`;
    case "full":
      return `The answer was cut: the model's ${model.config.maxPositions} positions are used up.\n  → /reset begins a new chat`;
    case "refused":
      return `error: ${ending.error.message}`;
  }
}
