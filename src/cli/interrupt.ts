import type { FileContent, FolderWriter, Superseded } from "../io/files/files.ts";

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const; // 128 + the signal's number
/** npm and npx pass on the Ctrl-C that the terminal has sent to every process: it arrives twice. */
const ECHO_MILLISECONDS = 1000;

/** Whether the user, or the machine's owner, wants the process to end. */
export interface Interrupt {
  /** The exit code to end with, once a signal came. */
  readonly exitCode: number | undefined;
  /** Leaves signals to the system again. */
  release(): void;
}

/**
 * Takes Ctrl-C and SIGTERM as a wish to stop soon; a second one stops at once.
 * @param onFirst called at the first one
 */
export function watchInterrupt(onFirst: () => void): Interrupt {
  let exitCode: number | undefined;
  let firstAt = 0;
  const signals = Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[];
  const onSignal = (signal: keyof typeof EXIT_CODES) => {
    if (exitCode !== undefined) {
      if (performance.now() - firstAt > ECHO_MILLISECONDS) process.exit(exitCode);
      return;
    }
    exitCode = EXIT_CODES[signal];
    firstAt = performance.now();
    onFirst();
  };
  for (const signal of signals) process.on(signal, onSignal);
  return {
    get exitCode() {
      return exitCode;
    },
    release() {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
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
