import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { type ChildMessage, type Confirmed, campaign, STUCK_MS } from "./campaign.ts";
import { type Finding, runChild, signature, type Work } from "./child.ts";
import type { Target } from "./target.ts";

const FOUND = ".cache/fuzz";
const CHILD = "--child";

type Targets = Readonly<Record<string, Target>>;

/**
 * The command line of the fuzzer. The program that calls this is run again for each child process.
 * @param stuckMs a child that stays at one input for as long is stopped
 * @returns the exit code: 1 where an input did not end cleanly
 */
export async function runFuzzer(
  targets: Targets,
  words: readonly string[],
  { stuckMs = STUCK_MS } = {},
): Promise<number> {
  const [mode, work] = words;
  if (mode === CHILD) return runAsChild(targets, JSON.parse(work as string) as Work);
  const request = readWords(targets, words);
  if (request === undefined) {
    const names = Object.keys(targets).join(", ");
    console.error(`usage: fuzz.ts TARGET|all --seconds N|--count N [--seed N]; targets: ${names}`);
    return 2;
  }
  let [inputs, unclean] = [0, 0];
  for (const name of request.names) {
    const until = Date.now() + (1000 * request.seconds) / request.names.length;
    const tell = reporter();
    const result = await campaign(name, { ...request, until }, { tell, stuckMs, arguments: [CHILD] });
    console.log(summary(result));
    inputs += result.inputs;
    unclean += result.findings.length;
  }
  if (request.names.length > 1) console.log(`${inputs} inputs, ${unclean} did not end cleanly`);
  return unclean > 0 ? 1 : 0;
}

/** As a child process: reads inputs, and tells the parent. */
async function runAsChild(targets: Targets, work: Work): Promise<number> {
  const send = (message: ChildMessage) =>
    new Promise<void>((resolve) => process.send?.(message, () => resolve()));
  const target = targets[work.target];
  if (target === undefined) throw new Error(`no target ${work.target}`);
  const done = await runChild(work, target, (finding) => void send({ finding }));
  await send({ done });
  process.disconnect();
  return 0;
}

interface Request {
  readonly names: readonly string[];
  readonly first: number;
  readonly count: number;
  readonly seconds: number;
}

function readWords(targets: Targets, words: readonly string[]): Request | undefined {
  const { values, positionals } = parseArgs({
    args: [...words],
    allowPositionals: true,
    options: {
      seconds: { type: "string" },
      count: { type: "string" },
      seed: { type: "string", default: "1" },
    },
  });
  const [wanted = ""] = positionals;
  const names = wanted === "all" ? Object.keys(targets) : [wanted];
  const [first, count, seconds] = [values.seed, values.count, values.seconds].map(wholeNumber);
  const isEnough = first !== undefined && (count ?? seconds) !== undefined;
  if (!isEnough || !names.every((name) => Object.hasOwn(targets, name))) return undefined;
  return { names, first, count: count ?? 2 ** 40, seconds: seconds ?? 10 ** 9 };
}

function wholeNumber(text: string | undefined): number | undefined {
  const number = Number(text);
  return text !== undefined && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

/** Tells of the first input of each fault, and keeps its files. */
function reporter(): (finding: Finding) => void {
  const seen = new Set<string>();
  return (finding) => {
    if (seen.has(signature(finding))) return;
    seen.add(signature(finding));
    const { target, seed, kind, detail, files = {} } = finding;
    console.log(`\n${target} --seed ${seed} --count 1: ${kind}\n${detail}`);
    for (const [name, content] of Object.entries(files)) {
      const path = join(FOUND, `${target}-${seed}`, name);
      mkdirSync(dirname(path), { recursive: true });
      const bytes = Buffer.from(content, "base64");
      writeFileSync(path, bytes);
      console.log(
        `  ${path} (${bytes.length} bytes) ${JSON.stringify(bytes.toString("utf8").slice(0, 300))}`,
      );
    }
  };
}

function summary({ target, inputs, accepted, refused, seconds, findings, withdrawn }: Confirmed): string {
  const rate = Math.round(inputs / seconds);
  const ends = `${accepted} accepted, ${refused} refused, ${findings.length} not clean`;
  const times = new Map<string, number>();
  for (const finding of findings) times.set(signature(finding), (times.get(signature(finding)) ?? 0) + 1);
  return [
    `${target}: ${inputs} inputs in ${seconds.toFixed(1)} s (${rate}/s): ${ends}`,
    ...[...times].map(([key, count]) => `  ${count} × ${key}`),
    ...(withdrawn > 0 ? [`  ${withdrawn} clean when run alone`] : []),
  ].join("\n");
}
