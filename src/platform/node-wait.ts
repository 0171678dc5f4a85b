/** How a wait is slept through: the end is noticed at most `share` of the wait too late. */
interface Rhythm {
  share: number;
  /** Where the share is shorter than this, the thread polls instead. */
  shortest: number;
}

const LONGEST_MS = 1;
/** What an operating system sleeps at least: a tick of its timer in Windows, elsewhere what waking up takes. */
const GRAIN_MS = process.platform === "win32" ? 16 : 0.06;
/** Every moment of polling takes a core from a device that computes on the CPU. */
const ON_CPU: Rhythm = { share: 1 / 16, shortest: process.platform === "win32" ? GRAIN_MS : 0 };
/** Beside a GPU it costs power alone, and being late costs time. */
const ELSEWHERE: Rhythm = { share: 1 / 64, shortest: GRAIN_MS };

const never = new Int32Array(new SharedArrayBuffer(4));
let waits = 0;
let since = 0;
let rhythm = ON_CPU;
/** Whether a nap is due: never two in one turn, also where a wait begins in the turn in which the last one ended. */
let isDue = false;

/**
 * Waits for what a device does and lets this thread sleep meanwhile. Dawn's Node binding asks for news in every turn of the
 * event loop, which then never rests: a software device of two cores loses one of them to it, and 512³ products took
 * 1.7 times as long on lavapipe.
 * @param onCpu the device computes on the CPU
 */
export async function waitAsleep<T>(pending: Promise<T>, onCpu = true): Promise<T> {
  if (waits++ === 0) {
    since = performance.now();
    rhythm = onCpu ? ON_CPU : ELSEWHERE;
  }
  lieDown();
  try {
    return await pending;
  } finally {
    waits--;
  }
}

function lieDown(): void {
  if (isDue) return;
  isDue = true;
  setImmediate(nap);
}

/** Sleeps for a moment, once a turn of the event loop. */
function nap(): void {
  isDue = false;
  if (waits === 0) return;
  const length = rhythm.share * (performance.now() - since);
  if (length >= rhythm.shortest) Atomics.wait(never, 0, 0, Math.min(LONGEST_MS, length));
  lieDown();
}
