// Reads broken inputs and tells of each that neither is accepted rightly nor refused with a remedy:
//   node build.mjs --run scripts/fuzz.ts TARGET|all [--seconds N] [--count N] [--seed N]
// An input is replayed by its seed: --seed N --count 1. docs/fuzzing.md says more.

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { type ChildMessage, campaign, type Result } from "./fuzz/campaign.ts";
import { type Finding, runChild, signature, type Work } from "./fuzz/child.ts";
import { TARGETS } from "./fuzz/targets.ts";

const FOUND = ".cache/fuzz";

/** As a child process: reads inputs, and tells the parent. */
async function child(work: Work): Promise<void> {
  const send = (message: ChildMessage) => process.send?.(message);
  const target = TARGETS[work.target];
  if (target === undefined) throw new Error(`no target ${work.target}`);
  const done = await runChild(work, target, (finding) => send({ finding }));
  process.send?.({ done } satisfies ChildMessage, () => process.exit(0));
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: "string" },
      count: { type: "string" },
      seed: { type: "string", default: "1" },
    },
  });
  const [wanted = ""] = positionals;
  const names = wanted === "all" ? Object.keys(TARGETS) : [wanted];
  const isKnown = names.every((name) => Object.hasOwn(TARGETS, name));
  const [first, count, seconds] = [values.seed, values.count, values.seconds].map(wholeNumber);
  if (!isKnown || first === undefined || (count ?? seconds) === undefined) {
    console.error(
      `usage: fuzz.ts TARGET|all --seconds N|--count N [--seed N]; targets: ${Object.keys(TARGETS).join(", ")}`,
    );
    process.exitCode = 2;
    return;
  }
  const results: Result[] = [];
  for (const [i, name] of names.entries()) {
    const left = seconds === undefined ? Number.POSITIVE_INFINITY : (1000 * seconds) / names.length;
    const until = Math.min(Date.now() + left, Number.MAX_SAFE_INTEGER);
    const seen = new Map<string, number>();
    const tell = (finding: Finding) => report(finding, seen);
    results.push(
      await campaign(name, { first, count: count ?? Number.MAX_SAFE_INTEGER - first, until }, tell),
    );
    console.log(summary(results[i] as Result, seen));
  }
  const unclean = results.reduce((sum, { findings }) => sum + findings.length, 0);
  const inputs = results.reduce((sum, result) => sum + result.inputs, 0);
  if (names.length > 1) console.log(`${inputs} inputs, ${unclean} did not end cleanly`);
  process.exitCode = unclean > 0 ? 1 : 0;
}

function wholeNumber(text: string | undefined): number | undefined {
  const number = Number(text);
  return text !== undefined && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

/** Of each fault the first input is shown and kept. */
function report(finding: Finding, seen: Map<string, number>): void {
  const key = signature(finding);
  const times = (seen.get(key) ?? 0) + 1;
  seen.set(key, times);
  if (times > 1) return;
  const { target, seed, kind, detail, files = {} } = finding;
  console.log(`\n${target} --seed ${seed} --count 1: ${kind}\n${detail}`);
  for (const [name, content] of Object.entries(files)) {
    const path = join(FOUND, `${target}-${seed}`, name);
    mkdirSync(dirname(path), { recursive: true });
    const bytes = Buffer.from(content, "base64");
    writeFileSync(path, bytes);
    console.log(`  ${path} (${bytes.length} bytes) ${JSON.stringify(bytes.toString("utf8").slice(0, 300))}`);
  }
}

function summary(
  { target, inputs, accepted, refused, seconds, findings }: Result,
  seen: Map<string, number>,
): string {
  const rate = Math.round(inputs / seconds);
  const ends = `${accepted} accepted, ${refused} refused, ${findings.length} not clean`;
  const faults = [...seen].map(([key, times]) => `  ${times} × ${key}`);
  return [`${target}: ${inputs} inputs in ${seconds.toFixed(1)} s (${rate}/s): ${ends}`, ...faults].join(
    "\n",
  );
}

const [mode, work] = process.argv.slice(2);
if (mode === "--child") await child(JSON.parse(work as string) as Work);
else await main();
