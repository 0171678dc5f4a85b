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
 * @param onFirst told about the first one
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
