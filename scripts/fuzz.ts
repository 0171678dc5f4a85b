// Reads broken inputs and tells of each that neither is accepted rightly nor refused with a remedy:
//   node build.mjs --run scripts/fuzz.ts TARGET|all [--seconds N] [--count N] [--seed N]
// An input is replayed by its seed: --seed N --count 1. docs/fuzzing.md says more.

import { runFuzzer } from "./fuzz/main.ts";
import { TARGETS } from "./fuzz/targets.ts";

process.exitCode = await runFuzzer(TARGETS, process.argv.slice(2));
