import { createInterface } from "node:readline";
import { ECHO_MILLISECONDS } from "../interrupt.ts";

/** What the user types, or what a pipe brings. */
export interface Lines extends AsyncIterable<string> {
  /** Somebody is there who sees a prompt. */
  readonly isTyped: boolean;
  /** Shows that a line is awaited. */
  prompt(): void;
  /** No line comes any more. */
  close(): void;
}

/**
 * Lines of standard input. What is typed is echoed to standard error, so that standard output has the answers alone.
 * @param onInterrupt called at Ctrl-C
 */
export function readLines(
  onInterrupt: () => void,
  { stdin, stderr }: Pick<NodeJS.Process, "stdin" | "stderr"> = process,
): Lines {
  const isTyped = stdin.isTTY === true && stderr.isTTY === true;
  const reader = createInterface({
    input: stdin,
    ...(isTyped && { output: stderr, prompt: "> " }),
    terminal: isTyped,
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  let isOpen = true;
  let signalledAt = Number.NEGATIVE_INFINITY;
  const onSignal = () => {
    const at = performance.now();
    // npm and npx pass on what the terminal has sent to every process.
    if (at - signalledAt > ECHO_MILLISECONDS) onInterrupt();
    signalledAt = at;
  };
  process.on("SIGINT", onSignal);
  reader.on("SIGINT", onInterrupt); // a terminal that reads keys sends no signal
  reader.on("close", () => {
    isOpen = false;
    stdin.pause();
  });
  const arriving = reader[Symbol.asyncIterator](); // at once: a line before it would be lost
  return {
    isTyped,
    prompt() {
      if (isTyped && isOpen) reader.prompt();
    },
    close() {
      process.off("SIGINT", onSignal);
      reader.close();
    },
    async *[Symbol.asyncIterator]() {
      let isFirst = true;
      for await (const line of arriving) {
        yield isFirst ? line.replace(/^\ufeff/, "") : line; // a byte-order mark
        isFirst = false;
      }
    },
  };
}
