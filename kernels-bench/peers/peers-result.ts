// What `npm run bench:peers` stores and prints.
import { digits, formatTable } from "../table.ts";
import type { DecodingContest } from "./decoding.ts";
import type { Contest, Entry } from "./duel.ts";

/** Version of the format; a change that an older reader would misread raises it. */
export const PEERS_VERSION = 1;

/** The first training step in a fresh process without any shader cache. */
export interface ColdStep {
  readonly engine: string;
  readonly seconds?: number;
  readonly failure?: string;
}

/** A whole comparison. */
export interface PeersReport {
  readonly format: "webgpu-lora peers";
  readonly version: typeof PEERS_VERSION;
  readonly package: string;
  readonly date: string;
  readonly runtime: string;
  readonly device: string;
  readonly software: boolean;
  /** Rounds of A B A B … that each median is over. */
  readonly rounds: number;
  /** The peers' waits slept like ours; otherwise each engine waits as it does by itself. */
  readonly rest?: boolean;
  readonly contests: readonly Contest[];
  readonly cold: readonly ColdStep[];
  /** Where decoding took part. */
  readonly decoding?: DecodingContest;
}

/** The comparison as text: a table for each work, then the first steps. */
export function formatPeers({ contests, cold }: Pick<PeersReport, "contests" | "cold">): string[] {
  return [
    ...contests.flatMap((contest) => ["", ...formatContest(contest)]),
    ...(cold.length > 0 ? ["", ...formatCold(cold)] : []),
  ];
}

const HEADINGS = [
  "  engine",
  "median ms",
  "quartiles",
  "× ours",
  "difference",
  "dispatches",
  "submits",
  "JS µs each",
];

/** One work: times, how many times ours each is, and how far the outputs differ. */
export function formatContest({ work, entries }: Contest): string[] {
  const timed = entries.filter(({ failure }) => failure === undefined);
  const rows = timed.map((entry) => [`  ${entry.engine} ${entry.version}`, ...cellsOf(entry)]);
  const failures = entries.filter((entry) => !timed.includes(entry));
  return [
    work,
    ...formatTable([HEADINGS, ...rows], ["left", ...HEADINGS.slice(1).map(() => "right" as const)]),
    ...failures.map(({ engine, version, failure }) => `  ${engine} ${version} was not timed: ${failure}`),
  ];
}

function cellsOf({ median = 0, lower = 0, upper = 0, ratio = 0, difference = 0, ...calls }: Entry): string[] {
  const { dispatches, submits, hostMicroseconds } = calls;
  return [
    digits(median),
    `${digits(lower)} … ${digits(upper)}`,
    ratio.toFixed(2),
    difference.toExponential(0),
    dispatches === undefined ? "" : String(dispatches),
    submits === undefined ? "" : String(submits),
    hostMicroseconds === undefined ? "" : digits(hostMicroseconds),
  ];
}

function formatCold(cold: readonly ColdStep[]): string[] {
  const rows = cold.map(({ engine, seconds, failure }) => [
    `  ${engine}`,
    seconds === undefined ? `failed: ${failure}` : `${seconds.toFixed(1)} s`,
  ]);
  return ["first training step, no shader cached", ...formatTable(rows, ["left", "right"])];
}
