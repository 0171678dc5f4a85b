/** Longest nap, ms: what other work of the event loop may have to wait for its turn. */
const LONGEST_MS = 1;
/** A nap lasts this share of the wait so far: the end is noticed at most this much too late. */
const SHARE = 1 / 16;

const never = new Int32Array(new SharedArrayBuffer(4));
let waits = 0;
let since = 0;
/** Whether a nap is due: never two in one turn, also where a wait begins in the turn in which the last one ended. */
let isDue = false;

/**
 * Waits for what a device does and lets this thread sleep meanwhile. Dawn's Node binding asks for news in every turn of the
 * event loop, which then never rests: a software device of two cores loses one of them to it (512³ products took 1.7
 * times as long on lavapipe), beside a GPU it costs only power.
 */
export async function waitAsleep<T>(pending: Promise<T>): Promise<T> {
  if (waits++ === 0) since = performance.now();
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
  Atomics.wait(never, 0, 0, Math.min(LONGEST_MS, SHARE * (performance.now() - since)));
  lieDown();
}
