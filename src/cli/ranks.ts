import { differences, type RunNotes } from "../io/formats/run-state.ts";
import { openTorchPeers, shareOf, type TorchPeers } from "../platform/node-torch-peers.ts";
import type { Peers, WireType } from "../train/peers.ts";
import { smallest } from "../util/arrays.ts";
import { fail, failAll, messageOf, Problems } from "../util/fail.ts";
import type { Terminal } from "./terminal.ts";

/** What gradients travel as: accelerate's names of its hooks. */
export const COMM_HOOKS = ["no", "fp16", "bf16"] as const;
/** What they are called elsewhere. */
export const WIRE_OF_HOOK: Readonly<Record<(typeof COMM_HOOKS)[number], WireType>> = {
  no: "f32",
  fp16: "f16",
  bf16: "bf16",
};

/**
 * Runs a command as one of the processes that torchrun has started, or on its own where there are no others. Rank 0 alone
 * writes to the terminal; the others say what goes wrong with them.
 * @param run given the others, if there are any; its error ends them all
 */
export async function amongRanks(
  terminal: Terminal,
  timeoutSeconds: number,
  run: (terminal: Terminal, peers: Peers | undefined) => Promise<number>,
): Promise<number> {
  const share = shareOf(process.env);
  if (!share) return run(terminal, undefined);
  const own = share.rank === 0 ? terminal : quietTerminal(terminal, `rank ${share.rank}: `);
  const peers: TorchPeers = await openTorchPeers(share, timeoutSeconds);
  try {
    if (share.rank === 0) terminal.print(`${share.size} processes train together; this is rank 0.`);
    const exitCode = await run(own, peers);
    await peers.close();
    return exitCode;
  } catch (error) {
    await peers.close(messageOf(error));
    throw error;
  }
}

/** A terminal of which only standard error is left. */
function quietTerminal(terminal: Terminal, prefix: string): Terminal {
  const nothing = () => {};
  return {
    ...{ isScreen: false, closed: terminal.closed, loss: terminal.loss, flush: () => terminal.flush() },
    ...{ write: nothing, print: nothing, paint: nothing, confirm: async () => undefined },
    note: (line) => terminal.note(`${prefix}${line}`),
  };
}

/**
 * The rows of a micro-batch that all ranks take: what a resumed run had, else what fits on the smallest device.
 * @param rows what this rank would take
 * @param isSettled rank 0 has it from a run that goes on
 */
export async function agreedBatch(peers: Peers, rows: number, isSettled: boolean): Promise<number> {
  const all = await peers.gather(JSON.stringify({ rows, isSettled }));
  const told = all.map((text): { rows: number; isSettled: boolean } => JSON.parse(text));
  return told[0]?.isSettled ? told[0].rows : smallest(told.map(({ rows }) => rows));
}

/**
 * Compares what the ranks were asked for, and what they have read.
 * @throws LoraError on all of them where one is different from rank 0; rank 0 tells all differences
 */
export async function requireSameRun(peers: Peers, notes: Omit<RunNotes, "best">): Promise<void> {
  const { settings, identity, versions } = notes;
  const own = { settings, identity, versions: { program: versions["webgpu-lora"] } };
  const all = (await peers.gather(JSON.stringify(own))).map((text): RunNotes => JSON.parse(text));
  const [first, ...others] = all as [RunNotes, ...RunNotes[]];
  const problems = others.flatMap((other, i) => {
    const changed = differences(withVersions(first), withVersions(other));
    return changed.map(
      (difference) => `rank ${i + 1}: ${difference.replace(/, and is /, " on rank 0, and is ")}`,
    );
  });
  if (problems.length === 0) return;
  if (peers.rank > 0) fail("ranks", "they are not of one run", "rank 0 tells what is different");
  failAll("ranks", new Problems(problems), "start all with the same program, settings, model and data");
}

/** Versions are compared as settings are. */
const withVersions = ({ settings, versions, ...notes }: RunNotes) => ({
  ...notes,
  versions,
  settings: { ...settings, ...versions },
});
