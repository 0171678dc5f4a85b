import { text as readAll } from "node:stream/consumers";
import { type ChatExample, checkChat } from "../../data/chat/chat-rows.ts";
import type { Message } from "../../data/chat/messages.ts";
import { parseJson } from "../../io/json/parse.ts";
import { readTextFile } from "../../platform/node-text.ts";
import { generate } from "../../train/text.ts";
import { fail } from "../../util/fail.ts";
import { type Counts, countTokens, describeSampling, generateOptions } from "../answer.ts";
import { withTemplateFile } from "../chat-template.ts";
import { adapterReference, openCliAdapter, openCliModel } from "../open.ts";
import type { Settled } from "../settings.ts";
import type { GENERATE_OPTIONS } from "../tables/generate.ts";
import type { Terminal } from "../terminal.ts";

/**
 * `webgpu-lora generate`: the text goes to standard output as it comes, everything else to standard error.
 * @returns the exit code
 */
export async function runGenerate(
  settled: Settled<typeof GENERATE_OPTIONS>,
  terminal: Terminal,
): Promise<number> {
  const { settings } = settled;
  const prompt = await readPrompt(settings);
  const note = (line: string) => terminal.note(line);
  const adapter = adapterReference(settings.adapter_path, settings);
  const { model: base } = await openCliModel(settings, note);
  const { model } = adapter === undefined ? { model: base } : await openCliAdapter(base, adapter, note);
  const templates = await withTemplateFile(model, settings.chat_template);
  const options = generateOptions(settled);
  const sampling = describeSampling(model.generation, options);
  if (sampling !== undefined) note(sampling);
  const { counted, counts } = countTokens({ ...model, ...templates });
  const started = performance.now();
  for await (const piece of generate(counted, prompt, options)) {
    terminal.write(piece);
    if (terminal.closed) return 0;
  }
  terminal.write("\n");
  printCounts(counts, started, terminal);
  terminal.note(`Peak memory: ${(model.device.memory.stats.peak / 1e9).toFixed(3)} GB`);
  return 0;
}

/** @throws LoraError unless there is a prompt or a chat, and not both */
export function checkGenerateSettings({ settings }: Settled<typeof GENERATE_OPTIONS>): void {
  const { prompt, messages } = settings;
  if (prompt === undefined && messages === undefined) {
    fail("generate", "prompt is missing", "give --prompt TEXT, or a chat with --messages FILE");
  }
  if (prompt !== undefined && messages !== undefined) {
    fail("generate", "prompt and messages are both given", "leave out --prompt or --messages");
  }
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
function printCounts({ prompt, generated, firstAt }: Counts, started: number, terminal: Terminal): void {
  const rate = (tokens: number, milliseconds: number) =>
    ((1000 * tokens) / Math.max(milliseconds, 1e-3)).toFixed(3);
  const end = performance.now();
  const read = generated > 0 ? firstAt : end;
  terminal.note(`Prompt: ${prompt} tokens, ${rate(prompt, read - started)} tokens-per-sec`);
  terminal.note(
    `Generation: ${generated} tokens, ${rate(Math.max(0, generated - 1), end - read)} tokens-per-sec`,
  );
}
