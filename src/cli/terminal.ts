/** Where a command writes: results to standard output, what is beside the point to standard error. */
export interface Terminal {
  /** Standard output is a screen, not a pipe or a file. */
  readonly isScreen: boolean;
  /** Whoever read standard output has gone: nothing more arrives. */
  readonly closed: boolean;
  /** Writes text as it is. */
  write(text: string): void;
  /** Writes a line to standard output. */
  print(line: string): void;
  /** Writes a line to standard error. */
  note(line: string): void;
  /** Resolves when all that was written has left the process: `process.exit` would cut a pipe short. */
  flush(): Promise<void>;
}

/** The process's own terminal. */
export function processTerminal(): Terminal {
  const { stdout, stderr } = process;
  let closed = false;
  // `webgpu-lora … | head` closes the pipe; a training run goes on and saves all the same.
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    closed = true;
  });
  const write = (text: string) => {
    if (!closed) stdout.write(text);
  };
  return {
    isScreen: stdout.isTTY === true,
    get closed() {
      return closed;
    },
    write,
    print: (line) => write(`${line}\n`),
    note: (line) => stderr.write(`${line}\n`),
    flush: async () => {
      if (!closed) await drained(stdout);
      await drained(stderr);
    },
  };
}

function drained(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write("", () => resolve());
  });
}
