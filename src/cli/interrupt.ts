import type { FileContent, FolderWriter, Superseded } from "../io/files/files.ts";

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129, SIGQUIT: 131 } as const; // 128 + the signal's number
/** npm and npx pass on the Ctrl-C that the terminal has sent to every process: it arrives twice. */
export const ECHO_MILLISECONDS = 1000;

/** Whether the user, or the machine's owner, wants the process to end. */
export interface Interrupt {
  /** The exit code to end with, once a signal came. */
  readonly exitCode: number | undefined;
  /** Resolves when a signal comes. */
  readonly came: Promise<void>;
  /** Leaves signals to the system again. */
  release(): void;
}

/**
 * Takes Ctrl-C, Ctrl-\, SIGTERM and the end of the terminal as a wish to stop soon; a second one stops at once.
 * @param onFirst called at the first one
 */
export function watchInterrupt(onFirst: () => void): Interrupt {
  let exitCode: number | undefined;
  let firstAt = 0;
  let tell = () => {};
  const came = new Promise<void>((resolve) => {
    tell = resolve;
  });
  const signals = Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[];
  const onSignal = (signal: keyof typeof EXIT_CODES) => {
    if (exitCode !== undefined) {
      if (performance.now() - firstAt > ECHO_MILLISECONDS) process.exit(exitCode);
      return;
    }
    exitCode = EXIT_CODES[signal];
    firstAt = performance.now();
    tell();
    onFirst();
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    get exitCode() {
      return exitCode;
    },
    came,
    release() {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

/** Errors that nobody caught. */
export interface Uncaught {
  /** @throws the first one */
  check(): void;
  /** Leaves them to the system again, which ends the process. */
  release(): void;
}

/** Keeps an error that nobody catches from ending the process at once: who is at work checks, and ends in order. */
export function watchUncaught(): Uncaught {
  let first: { error: unknown } | undefined;
  const onUncaught = (error: unknown) => {
    first ??= { error };
  };
  process.on("uncaughtException", onUncaught);
  return {
    check() {
      if (first) throw first.error;
    },
    release: () => process.off("uncaughtException", onUncaught),
  };
}

/** Waits for a task that may be abandoned: its end, or a signal. */
export async function unlessInterrupted<T>(
  task: Promise<T>,
  { came }: Pick<Interrupt, "came">,
): Promise<T | undefined> {
  task.catch(() => {}); // nobody is told of what an abandoned one meets
  return Promise.race([task, came.then(() => undefined)]);
}

/** Ends the writing of files. */
class Interrupted extends Error {}

/**
 * Writes large files so that a signal stops it between two pieces, and the writer removes what it has begun.
 * @returns the names of the superseded files, which are gone; undefined where the files were not written
 */
export async function writeUnlessInterrupted(
  writer: FolderWriter,
  files: ReadonlyMap<string, FileContent>,
  interrupt: Pick<Interrupt, "exitCode">,
  superseded?: Superseded,
): Promise<readonly string[] | undefined> {
  const stoppable = [...files].map(([name, content]) => {
    const isWhole = typeof content === "string" || content instanceof Uint8Array;
    return [name, isWhole ? content : untilInterrupted(content, interrupt)] as const;
  });
  try {
    return await writer.write(new Map(stoppable), superseded);
  } catch (error) {
    if (error instanceof Interrupted) return undefined;
    throw error;
  }
}

async function* untilInterrupted(
  content: AsyncIterable<Uint8Array>,
  interrupt: Pick<Interrupt, "exitCode">,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of content) {
    if (interrupt.exitCode !== undefined) throw new Interrupted();
    yield chunk;
  }
}
