/** How long a server may be silent, in milliseconds. */
export interface TimeLimits {
  /** Until an answer begins. */
  readonly answer: number;
  /** Between two pieces of a body. */
  readonly stall: number;
}

/** Generous: what is slow but alive is waited for. */
export const TIME_LIMITS: TimeLimits = { answer: 30_000, stall: 30_000 };

/**
 * What `task` gives, unless it takes longer.
 * @param what did not happen, for the message
 * @param giveUp ends the task
 */
export async function inTime<T>(
  task: Promise<T>,
  milliseconds: number,
  what: string,
  giveUp: () => unknown,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${what} for ${milliseconds / 1000} s`));
      giveUp();
    }, milliseconds);
  });
  try {
    return await Promise.race([task, late]);
  } finally {
    clearTimeout(timer);
  }
}
