// A fuzzer whose inputs end in every way; fuzz-process.test.ts runs it.
import { runFuzzer } from "../../scripts/fuzz/main.ts";
import { MOST_BYTES, type Target } from "../../scripts/fuzz/target.ts";

/** A target of inputs that end in one of some ways, by their only byte. */
const endingIn = (...ends: readonly (() => void)[]): Target => ({
  make: (random) => new Map([["end", Uint8Array.of(random.integer(ends.length))]]),
  read: (input) => ends[input.get("end")?.[0] ?? 0]?.(),
});

const targets = {
  bad: endingIn(
    () => {},
    () => process.kill(process.pid, "SIGKILL"),
    () => void Buffer.alloc(1.15 * MOST_BYTES, 1), // hardly more: to fill much takes a busy machine so long that it is slow besides
    () => void Promise.reject(new Error("nobody hears this")),
  ),
  stuck: endingIn(() => {
    for (;;);
  }),
};

const words = process.argv.slice(2);
process.exitCode = await runFuzzer(targets, words, { stuckMs: words.includes("stuck") ? 1000 : 60_000 });
