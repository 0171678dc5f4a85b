// Kills processes (SIGKILL) at random moments while they save, merge, train or download, and checks what they leave: the
// whole former state or the whole new one, or, for programs that know nothing of our saves, a folder without its
// configuration, which our own reader then undoes; and nothing more after the next start.
//   node build.mjs --run scripts/kills.ts [SUBJECT …] [--kills N] [--seed N] [--cli FILE]
// SUBJECT: adapter, weights, model, checkpoints, download; train, merge, resume and resume-long (500 steps) run dist/cli.js on models/demo (npm run build).
import { parseArgs } from "node:util";
import { claimOutputFolder } from "../src/cli/output-folder.ts";
import { nodeByteCache } from "../src/platform/node-cache/byte-cache.ts";
import { campaign, type Tally } from "./kills/campaign.ts";
import { mergeSubject, trainSubject } from "./kills/commands.ts";
import { downloadForEver, downloadSubject } from "./kills/download.ts";
import { LONG, resumeSubject } from "./kills/resume.ts";
import { SAVING, saveForEver, savingSubject } from "./kills/saves.ts";
import type { Subject } from "./kills/subject.ts";

/** This script, bundled. */
const PROGRAM = process.argv[1] as string;

const SUBJECTS: Readonly<Record<string, (cli: string) => Subject>> = {
  ...Object.fromEntries(SAVING.map((name) => [name, () => savingSubject(name, [PROGRAM])])),
  download: () => downloadSubject([PROGRAM]),
  train: () => ({ ...trainSubject(), startWords }),
  merge: () => ({ ...mergeSubject(), startWords }),
  resume: (cli) => ({ ...resumeSubject(cli), startWords }),
  "resume-long": (cli) => ({ ...resumeSubject(cli, LONG), startWords }),
};

/** The words after `node` of a start in a folder, which clears up there. */
function startWords(folder: string): string[] {
  return [PROGRAM, "--child", "start", folder];
}

async function child([name = "", folder = "", first = "0", url = ""]: readonly string[]): Promise<void> {
  if (name === "start") claimOutputFolder(folder, { checkpoints: true });
  else if (name === "cache") await nodeByteCache(folder).open("");
  else if (name === "download") await downloadForEver(folder, url, Number(first));
  else await saveForEver(name, folder, Number(first));
  process.exit(0);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      kills: { type: "string", default: "50" },
      seed: { type: "string", default: "1" },
      cli: { type: "string", default: "dist/cli.js" },
      child: { type: "boolean", default: false },
    },
  });
  if (values.child) return child(positionals);
  const names = positionals.length > 0 ? positionals : Object.keys(SUBJECTS);
  const [kills, seed] = [Number(values.kills), Number(values.seed)];
  const isKnown = names.every((name) => Object.hasOwn(SUBJECTS, name));
  if (!isKnown || !(kills >= 1) || !Number.isSafeInteger(seed)) {
    console.error(
      `usage: kills.ts [SUBJECT …] [--kills N] [--seed N]; subjects: ${Object.keys(SUBJECTS).join(", ")}`,
    );
    process.exitCode = 2;
    return;
  }
  for (const name of names) {
    const began = performance.now();
    const subject = (SUBJECTS[name] as (cli: string) => Subject)(values.cli);
    const tally = await campaign(subject, { kills, seed, lastStart: startWords });
    console.log(`${summary(name, tally)}; ${((performance.now() - began) / 1000).toFixed(0)} s`);
  }
}

function summary(name: string, { kills, verdicts, leftovers, withLeftovers, ended }: Tally): string {
  const states = `${verdicts.old} old, ${verdicts.new} new, ${verdicts.refused} not to be read by others`;
  const alive = ended > 0 ? `; ${ended} had ended before` : "";
  return `${name}: ${kills} kills: ${states}, none mixed; ${withLeftovers} left ${leftovers} files and folders, all gone after the next start${alive}`;
}

await main();
