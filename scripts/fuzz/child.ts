import { closeSync, openSync, writeSync } from "node:fs";
import { minimise } from "./minimise.ts";
import {
  described,
  type Ending,
  ending,
  type InputFiles,
  inputOf,
  MOST_BYTES,
  type Target,
  type Unclean,
} from "./target.ts";

/** What a child process has to do. */
export interface Work {
  readonly target: string;
  /** Seeds from here on. */
  readonly first: number;
  readonly count: number;
  /** It ends at this time, ms since 1970. */
  readonly until: number;
  /** File in which it notes where it is. */
  readonly progress: string;
}

/** An input that did not end cleanly, as a child tells of it. */
export interface Finding extends Unclean {
  readonly target: string;
  readonly seed: number;
  /** Files by name, base64; smaller than the input of the seed where that was cheap. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Where a child is: the seed that it is at, and how many inputs were accepted and refused before. */
export interface Progress {
  readonly seed: number;
  readonly accepted: number;
  readonly refused: number;
}

/** Inputs between two looks at the memory, which take long. */
const LOOKS = 32;

/** Runs inputs one after another. What kills or stops this process is noticed by the one that started it. */
export async function runChild(
  { target: name, first, count, until, progress }: Work,
  target: Target,
  tell: (finding: Finding) => void,
): Promise<Progress> {
  const file = openSync(progress, "r+");
  const state = new Float64Array(3);
  const told = new Set<string>();
  const unheard = watchRejections();
  const needsMuch = watchMemory();
  let [seed, accepted, refused] = [first, 0, 0];
  while (seed < first + count && Date.now() < until) {
    state.set([seed, accepted, refused]);
    writeSync(file, new Uint8Array(state.buffer), 0, state.byteLength, 0);
    const input = inputOf(name, target, seed);
    const own = await ending(target, input);
    const found = (await unheard()) ?? own;
    if (found === "accepted") accepted++;
    else if (found === "refused") refused++;
    else if (found.kind !== "slow" || !needsMuch()) {
      // What needs much memory is slow for that, and told below.
      const key = signature(found);
      const files = told.has(key) ? undefined : filesOf(await reduced(target, input, found));
      told.add(key);
      tell({ ...found, target: name, seed, ...(files && { files }) });
    }
    seed++;
    const isLook = (seed - first) % LOOKS === 0 || seed === first + count;
    if (!isLook || !needsMuch()) continue;
    // One of these; each will be read alone. What was needed once stays counted: this process ends.
    const detail = `the process needs more than ${MOST_BYTES} bytes beyond what it began with`;
    for (let back = Math.min(LOOKS, seed - first); back > 0; back--)
      tell({ kind: "memory", detail, target: name, seed: seed - back });
    break;
  }
  closeSync(file);
  return { seed, accepted, refused };
}

/** Gives what promises failed with that nobody awaited, since it was last asked. */
function watchRejections(): () => Promise<Unclean | undefined> {
  let unheard: Unclean | undefined;
  process.on("unhandledRejection", (error) => {
    unheard ??= { kind: "rejection", detail: described(error) };
  });
  return async () => {
    await new Promise(setImmediate); // rejections are told, and messages sent
    const found = unheard;
    unheard = undefined;
    return found;
  };
}

/** Whether the process has needed too much beyond what it began with. */
function watchMemory(): () => boolean {
  const needed = () => process.resourceUsage().maxRSS * 1024;
  const atRest = needed();
  return () => needed() > atRest + MOST_BYTES;
}

/** A smaller input of the same fault, where its message does not say enough. */
async function reduced(target: Target, input: InputFiles, found: Unclean): Promise<InputFiles> {
  if (found.kind !== "wrong error" && found.kind !== "wrongly accepted") return input;
  return minimise(input, isSame(target, found));
}

function filesOf(input: InputFiles): Record<string, string> {
  return Object.fromEntries([...input].map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")]));
}

/** What findings of one fault have in common: the kind, the message without what is the input's own, and the place. */
export function signature({ kind, detail }: Unclean): string {
  const lines = detail.split("\n");
  const place = lines.find((line) => /^\s+at .*\/src\//.test(line)) ?? "";
  const message = (place === "" ? lines.at(-1) : lines[0]) ?? "";
  const plain = message
    .replace(/(?<= is ).*(?=, (?:expected|wanted) )/, "…")
    .replace(/"(?:[^"\\]|\\.)*"|\[[^\]]*\]|\{[^}]*\}|[\w-]*[./_\d][\w./-]*/g, "…");
  return `${kind}: ${plain.trim().slice(0, 80)} ${place.trim().replace(/:\d+\)?$/, "")}`.trim();
}

function isSame(target: Target, found: Unclean): (input: InputFiles) => Promise<boolean> {
  return async (input) => {
    const other: Ending = await ending(target, input);
    return typeof other === "object" && signature(other) === signature(found);
  };
}
