import { text as readAll } from "node:stream/consumers";
import { type ChatExample, checkChat } from "../../data/chat/chat-rows.ts";
import type { Message } from "../../data/chat/messages.ts";
import { parseJson } from "../../io/json/parse.ts";
import type { Model } from "../../load/model.ts";
import { readTextFile } from "../../platform/node-text.ts";
import { type BatchOptions, generateBatch } from "../../train/generate-batch.ts";
import { type GenerateOptions, type GenerationReport, generate } from "../../train/generate-text.ts";
import { fail } from "../../util/fail.ts";
import { describeSampling, generateOptions } from "../answer.ts";
import { withTemplateFile } from "../chat-template.ts";
import { openCliModel } from "../open.ts";
import { answeredRow, type PromptFile, readPrompts } from "../prompts.ts";
import type { Settled } from "../settings.ts";
import type { GENERATE_OPTIONS } from "../tables/generate.ts";
import type { Terminal } from "../terminal.ts";
import { openCliAdapters, weightedAdapters } from "../weighted-adapters.ts";

/**
 * `webgpu-lora generate`: the text goes to standard output as it comes, or a row for each prompt of a file; everything else
 * goes to standard error.
 * @returns the exit code
 */
export async function runGenerate(
  settled: Settled<typeof GENERATE_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const { settings } = settled;
  const { prompts: path } = settings;
  const file = path === undefined ? undefined : await readPrompts(path, settings);
  const prompt = file ? "" : await readPrompt(settings);
  const note = (line: string) => terminal.note(line);
  const adapters = weightedAdapters(settings);
  const { model: base } = await openCliModel(settings, note, adapters);
  const { model: opened } = await openCliAdapters(base, adapters, note);
  const model = { ...opened, ...(await withTemplateFile(opened, settings.chat_template)) };
  const options = generateOptions(settled);
  const sampling = describeSampling(model.generation, options);
  if (sampling !== undefined) note(sampling);
  if (file) await writeRows(model, file, { ...options, batchSize: settings.batch_size }, terminal);
  else await writeAnswer(model, prompt, options, terminal);
  if (!terminal.closed) note(`Peak memory: ${(model.device.memory.stats.peak / 1e9).toFixed(3)} GB`);
  return 0;
}

/** @throws LoraError unless there is one of a prompt, a chat and a file of them */
export function checkGenerateSettings({ settings, given }: Settled<typeof GENERATE_OPTIONS>): void {
  const sources = (["prompt", "messages", "prompts"] as const).filter((name) => settings[name] !== undefined);
  if (sources.length === 0) {
    const help = "give --prompt TEXT, a chat with --messages FILE, or several with --prompts FILE";
    fail("generate", "prompt is missing", help);
  }
  if (sources.length > 1) {
    const got = `${sources.join(" and ")} are ${sources.length > 2 ? "all" : "both"} given`;
    fail("generate", got, `leave out ${sources.map((name) => `--${name}`).join(" or ")}`);
  }
  const idle = (["columns", "header", "batch_size"] as const).find((name) => given.has(name));
  if (idle === undefined || settings.prompts !== undefined) return;
  fail(
    "generate",
    `${idle} is given, which is for prompts of a file`,
    "leave it out, or give --prompts FILE",
  );
}

async function writeAnswer(
  model: Model,
  prompt: string | ChatExample,
  options: GenerateOptions,
  terminal: Terminal,
): Promise<void> {
  let report: GenerationReport | undefined;
  const onEnd = (end: GenerationReport) => {
    report = end;
  };
  for await (const piece of generate(model, prompt, { ...options, onEnd })) {
    terminal.write(piece);
    if (terminal.closed) return;
  }
  terminal.write("\n");
  if (report) printCounts(report, terminal);
}

/** Writes a row for each prompt, in their order. */
async function writeRows(
  model: Model,
  { prompts, nameOf }: PromptFile,
  options: BatchOptions,
  terminal: Terminal,
): Promise<void> {
  const texts = prompts.map(() => "");
  const reports: GenerationReport[] = [];
  const started = performance.now();
  let written = 0;
  for await (const { index, piece, report } of generateBatch(model, prompts, {
    ...options,
    namePrompt: nameOf,
  })) {
    texts[index] += piece;
    if (report) reports[index] = report;
    for (; reports[written]; written++) {
      const row = answeredRow(prompts[written] as string | ChatExample, texts[written] as string);
      terminal.write(`${JSON.stringify(row)}\n`);
    }
    if (terminal.closed) return;
  }
  const seconds = Math.max(performance.now() - started, 1e-3) / 1000;
  const total = (of: "promptTokens" | "newTokens") => reports.reduce((sum, report) => sum + report[of], 0);
  const cut = reports.filter(({ ending }) => ending !== "complete").length;
  terminal.note(`Prompts: ${prompts.length}, ${total("promptTokens")} tokens`);
  const rate = (total("newTokens") / seconds).toFixed(3);
  terminal.note(`Generation: ${total("newTokens")} tokens, ${rate} tokens-per-sec, with the prompts' time`);
  if (cut > 0) terminal.note(`${cut} of ${prompts.length} answers were cut; --max-tokens gives more.`);
}

/** The prompt, or the chat of a file, which may be a list of messages. */
async function readPrompt({ prompt, messages }: GenerateSettings): Promise<string | ChatExample> {
  if (messages === undefined) return prompt === "-" ? readAll(process.stdin) : (prompt ?? "");
  const name = messages === "-" ? "the chat" : messages;
  const json = parseJson(
    messages === "-" ? await readAll(process.stdin) : await readTextFile(messages),
    name,
  );
  return checkChat(name, Array.isArray(json) ? { messages: json as Message[] } : (json as ChatExample));
}

type GenerateSettings = Settled<typeof GENERATE_OPTIONS>["settings"];

/** mlx-lm's two lines. Its rate leaves out the first token, which belongs to the prompt's time. */
function printCounts(
  { promptTokens, newTokens, promptMilliseconds, milliseconds }: GenerationReport,
  terminal: Terminal,
): void {
  const rate = (tokens: number, milliseconds: number) =>
    ((1000 * tokens) / Math.max(milliseconds, 1e-3)).toFixed(3);
  terminal.note(`Prompt: ${promptTokens} tokens, ${rate(promptTokens, promptMilliseconds)} tokens-per-sec`);
  const rest = rate(Math.max(0, newTokens - 1), milliseconds - promptMilliseconds);
  terminal.note(`Generation: ${newTokens} tokens, ${rest} tokens-per-sec`);
}
