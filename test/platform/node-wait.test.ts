import { expect, test } from "vitest";
import { waitAsleep } from "../../src/platform/node-wait.ts";

const after = <T>(milliseconds: number, value: T) =>
  new Promise<T>((resolve) => setTimeout(resolve, milliseconds, value));

/** Turns of the event loop until `pending` is settled. */
async function turnsDuring(pending: Promise<unknown>): Promise<number> {
  let turns = 0;
  let isOver = false;
  const turn = () => {
    if (isOver) return;
    turns++;
    setImmediate(turn);
  };
  turn();
  await pending.catch(() => {});
  isOver = true;
  return turns;
}

test("gives what was waited for, also where it fails", async () => {
  expect(await waitAsleep(after(1, "done"))).toBe("done");
  await expect(waitAsleep(Promise.reject(new Error("lost")))).rejects.toThrow("lost");
});

test("an event loop that polls in every turn has few turns while something is waited for", async () => {
  const asleep = await turnsDuring(Promise.all([waitAsleep(after(60, 0)), waitAsleep(after(20, 0))]));
  expect(asleep).toBeLessThan(1000);
});

/** How long each nap was meant to be, ms, while `body` runs. */
async function napsDuring(body: () => Promise<unknown>): Promise<number[]> {
  const sleep = Atomics.wait;
  const naps: number[] = [];
  Atomics.wait = ((...args: Parameters<typeof sleep>) => {
    naps.push(args[3] as number);
    return sleep(...args);
  }) as typeof sleep;
  try {
    await body();
  } finally {
    Atomics.wait = sleep;
  }
  return naps;
}

test.skipIf(process.platform === "win32")(
  "naps grow with the wait, up to a millisecond; beside a GPU what is too short is polled through",
  async () => {
    const onCpu = await napsDuring(() => waitAsleep(after(40, 0)));
    expect(Math.min(...onCpu)).toBeLessThan(0.06);
    expect(Math.max(...onCpu)).toBe(1);
    const elsewhere = await napsDuring(() => waitAsleep(after(400, 0), false));
    expect(elsewhere.length).toBeGreaterThan(0);
    expect(Math.min(...elsewhere)).toBeGreaterThanOrEqual(0.06);
  },
);

test("nobody sleeps any more once all is settled", async () => {
  const failed = waitAsleep(after(5, 0).then(() => Promise.reject(new Error("lost"))));
  await Promise.allSettled([waitAsleep(after(10, 0)), failed]);
  expect(await napsDuring(() => turnsDuring(after(20, 0)))).toEqual([]);
});

test("waits that follow each other in one turn do not add up: one nap a turn", async () => {
  let turns = 0;
  const naps = await napsDuring(async () => {
    for (let i = 0; i < 50; i++) await waitAsleep(Promise.resolve(i));
    turns = await turnsDuring(waitAsleep(after(20, 0)));
  });
  expect(naps.length).toBeGreaterThan(0);
  expect(naps.length).toBeLessThanOrEqual(turns + 1);
});
