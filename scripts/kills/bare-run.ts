// A training run that is nothing else: a small model, a checkpoint behind every step, and it goes on from the newest one that it finds. It
// starts in a fraction of the time that the command line takes, so that it can be killed often.
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import {
  checkpointPath,
  findCheckpoint,
  pruneCheckpoints,
  readCheckpoint,
} from "../../src/cli/checkpoints.ts";
import { sha256 } from "../../src/cli/identity.ts";
import { claimOutputFolder } from "../../src/cli/output-folder.ts";
import type { Sequence } from "../../src/data/sequence.ts";
import { runStateFiles } from "../../src/io/formats/run-state.ts";
import { adapterFiles, isSupersededByAdapter } from "../../src/load/adapter.ts";
import { openModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { folderWriter } from "../../src/platform/node-folders/folder-writer.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { Run } from "../../src/train/run.ts";
import { trainSequences } from "../../src/train/trainer.ts";

const NOTES = { settings: {}, identity: {}, versions: {} };
const SEQUENCES: readonly Sequence[] = [3, 7, 11, 19, 23].map((first, i) => {
  const inputIds = Array.from({ length: 5 + i }, (_, at) => (first + 5 * at) % 60);
  return { inputIds, labels: inputIds };
});

/** Checkpoints that are kept. */
const KEPT = 3;

/**
 * Runs, or goes on, to the end; says each step that is saved.
 * @param model a folder
 * @param output where the checkpoints are
 * @param holdAfter steps that it saves before it waits to be killed; without it, it does not
 */
async function bareRun(model: string, output: string, maxSteps: number, holdAfter?: number): Promise<void> {
  claimOutputFolder(output, { checkpoints: true });
  const path = findCheckpoint("auto", output);
  const resume = path === undefined ? undefined : (await readCheckpoint(path)).state;
  const base = await openModel(folderFiles(model), await openNodeDevice());
  const adapter = attach(base, lora({ r: 2, dropout: 0.2 }), { seed: 3 });
  const options = { maxSteps, batchSize: 2, learningRate: 1e-2, seed: 5, ...(resume && { resume }) };
  let saved = 0;
  const run = new Run(
    (given) => trainSequences(base, adapter.parameters, SEQUENCES, { ...options, ...given }),
    {
      saveSteps: 1,
      async save(state) {
        const files = await adapterFiles(adapter);
        for (const [name, content] of runStateFiles(state, NOTES, sha256)) files.set(name, content);
        await folderWriter(checkpointPath(output, state.step)).write(files, isSupersededByAdapter);
        pruneCheckpoints(output, KEPT, undefined);
        process.stdout.write(`saved ${state.step}\n`);
        if (++saved === holdAfter) await new Promise(() => setInterval(() => {}, 1000));
      },
    },
  );
  await run.start();
  await folderWriter(output).write(await adapterFiles(adapter), isSupersededByAdapter);
}

const [model = "", output = "", steps, holdAfter] = process.argv.slice(2);
await bareRun(model, output, Number(steps), holdAfter === undefined ? undefined : Number(holdAfter));
process.exit(0);
