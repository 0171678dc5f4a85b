import { createInterface } from "node:readline/promises";
import { styleText } from "node:util";
import { printable, printableText } from "../util/printable.ts";

/** A part of a line, and its colour on a screen that has some. */
export interface PaintedText {
  readonly text: string;
  readonly colour?: "red" | "yellow" | "green" | "dim" | "bold";
}

/** Where a command writes: results to standard output, what is beside the point to standard error. */
export interface Terminal {
  /** Standard output is a screen, not a pipe or a file. */
  readonly isScreen: boolean;
  /** Whoever read standard output has gone: nothing more arrives. */
  readonly closed: boolean;
  /** Why some of standard output was lost, as where the disk under it is full; undefined where nothing was. */
  readonly loss: string | undefined;
  /** Writes what a model generates: to a screen without what it would obey, to a pipe or a file as it is. */
  write(text: string): void;
  /** Writes a line to standard output. Names in it come from files: what a screen would obey is escaped. */
  print(line: string): void;
  /** Writes a line of parts to standard output, as {@link Terminal.print} does: in colours, unless it is no screen or NO_COLOR is set. */
  paint(parts: readonly PaintedText[]): void;
  /** Writes a line to standard error, as {@link Terminal.print} does. */
  note(line: string): void;
  /** Asks a question that yes or no answers; undefined where nobody is there to be asked. */
  confirm(question: string): Promise<boolean | undefined>;
  /** Resolves when all that was written has left the process: `process.exit` would cut a pipe short. */
  flush(): Promise<void>;
}

/** The process's own terminal. */
export function processTerminal({
  stdout,
  stderr,
}: Pick<NodeJS.Process, "stdout" | "stderr"> = process): Terminal {
  const isScreen = stdout.isTTY === true;
  let closed = false;
  let loss: string | undefined;
  // Whatever becomes of the log, a training run goes on and saves. `webgpu-lora … | head` closes the pipe; a full disk may
  // have space again later.
  stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
    if (code === "EPIPE") closed = true;
    if (loss === undefined && !closed) stderr.write(`warning: standard output is lost: ${message}\n`);
    loss ??= message;
  });
  stderr.on("error", () => {}); // there is nowhere to tell it
  const write = (text: string) => {
    if (!closed) stdout.write(text);
  };
  return {
    isScreen,
    get closed() {
      return closed;
    },
    get loss() {
      return loss;
    },
    write: (text) => write(isScreen ? printableText(text) : text),
    print: (line) => write(`${printable(line)}\n`),
    paint: (parts) => write(`${parts.map(isScreen && stdout.hasColors() ? painted : unpainted).join("")}\n`),
    note: (line) => stderr.write(`${printable(line)}\n`),
    confirm: (question) => confirm(printable(question)),
    flush: async () => {
      if (!closed) await drained(stdout);
      await drained(stderr);
    },
  };
}

const unpainted = ({ text }: PaintedText) => printable(text);

function painted({ text, colour }: PaintedText): string {
  return colour === undefined ? printable(text) : styleText(colour, printable(text));
}

/** Prints a text of several lines. */
export function printLines(print: (line: string) => void, text: string): void {
  for (const line of text.split("\n")) print(line);
}

async function confirm(question: string): Promise<boolean | undefined> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY || !stderr.isTTY) return undefined;
  const reader = createInterface({ input: stdin, output: stderr });
  try {
    // The end of the input, by Ctrl-D, is no answer, which is a no.
    const end = new Promise<string>((resolve) => reader.once("close", () => resolve("")));
    return /^\s*y(es)?\s*$/i.test(await Promise.race([reader.question(`${question} [y/N] `), end]));
  } finally {
    reader.close();
  }
}

function drained(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write("", () => resolve());
  });
}
