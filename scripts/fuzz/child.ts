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

export const PROGRESS_BYTES = 24;

/** Runs inputs one after another. What kills or stops this process is noticed by the one that started it. */
export async function runChild(
  work: Work,
  target: Target,
  tell: (finding: Finding) => void,
): Promise<Progress> {
  const { first, count, until, progress } = work;
  const file = openSync(progress, "r+");
  const state = new Float64Array(PROGRESS_BYTES / 8);
  const told = new Set<string>();
  let seed = first;
  let [accepted, refused] = [0, 0];
  const note = (found: Unclean, input?: InputFiles) => {
    const files =
      input &&
      Object.fromEntries([...input].map(([name, bytes]) => [name, Buffer.from(bytes).toString("base64")]));
    tell({ ...found, target: work.target, seed, ...(files && { files }) });
  };
  process.on("unhandledRejection", (error) => note({ kind: "rejection", detail: described(error) }));
  const atRest = process.resourceUsage().maxRSS * 1024;
  for (; seed < first + count && Date.now() < until; seed++) {
    state.set([seed, accepted, refused]);
    writeSync(file, new Uint8Array(state.buffer), 0, PROGRESS_BYTES, 0);
    const input = inputOf(work.target, target, seed);
    const found = await ending(target, input);
    if (found === "accepted") accepted++;
    else if (found === "refused") refused++;
    else note(found, told.has(signature(found)) ? undefined : await minimise(input, isSame(target, found)));
    if (typeof found === "object") told.add(signature(found));
    if (process.resourceUsage().maxRSS * 1024 > atRest + MOST_BYTES) {
      note({
        kind: "memory",
        detail: `the process needs more than ${MOST_BYTES} bytes beyond what it began with`,
      });
      seed++;
      break;
    }
    if (seed % 256 === 0) await new Promise(setImmediate); // messages are sent then
  }
  closeSync(file);
  return { seed, accepted, refused };
}

/** What findings of one fault have in common. */
export function signature({ kind, detail }: Unclean): string {
  const [message = "", place = ""] = detail.split("\n");
  return `${kind}: ${message
    .replace(/"(?:[^"\\]|\\.)*"/g, '"…"')
    .replace(/\d+/g, "#")
    .slice(0, 80)} ${place.trim().replace(/:\d+\)?$/, "")}`;
}

function isSame(target: Target, found: Unclean): (input: InputFiles) => Promise<boolean> {
  return async (input) => {
    const other: Ending = await ending(target, input);
    return typeof other === "object" && signature(other) === signature(found);
  };
}
