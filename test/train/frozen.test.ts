import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { Tape } from "../../src/autograd/tape.ts";
import { scoped } from "../../src/gpu/tensor.ts";
import type { LoadedModel } from "../../src/load/model.ts";
import { isLinear } from "../../src/nn/linear.ts";
import { isLeaf, modules } from "../../src/nn/module.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { createRandom } from "../../src/util/random.ts";
import { fixturePath, type Golden, goldenSequences, readJsonFile, readTensors } from "../support/fixtures.ts";
import { openTestTask, type TaskGolden, taskCase } from "../support/task-fixtures.ts";

const fixtures = [
  "llama-gqa",
  "llama-tied",
  ...["families", "tasks"].flatMap((kind) => readdirSync(fixturePath(kind)).map((name) => `${kind}/${name}`)),
];

/** What a fixture's model is trained for, on its own rows. */
async function trainingOf(model: LoadedModel, folder: string) {
  if (model.task === "causal-lm" && !folder.includes("tasks/")) {
    const items = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));
    const objective = languageModelling(model);
    const batch = objective.collate(items, createRandom(0));
    return (tape: Tape) => objective.loss(batch, { tape, training: true, seed: 0 });
  }
  const golden = readJsonFile<TaskGolden>(folder, "golden.json");
  const tensors = await readTensors(folder, "golden.safetensors");
  const { objective, items } = taskCase(model, golden, tensors);
  const batch = objective.collate(items, createRandom(0));
  return (tape: Tape) => objective.loss(batch, { tape, training: true, seed: 0 });
}

/** Linear layers by the number of their block, the lowest block first; those of no block are left out. */
function linearsByBlock(model: LoadedModel): string[][] {
  const blocks = new Map<number, string[]>();
  for (const { path } of [...modules(model.root)].filter(isLinear)) {
    const number = /\.(\d+)\./.exec(path)?.[1];
    if (number !== undefined) blocks.set(Number(number), [...(blocks.get(Number(number)) ?? []), path]);
  }
  return [...blocks].sort(([a], [b]) => a - b).map(([, paths]) => paths);
}

test.each(fixtures)(
  "%s: nothing frozen wants a gradient, and backward stops at the lowest adapted block",
  async (name) => {
    const folder = fixturePath(name);
    const model = await openTestTask(folder);
    const lossOf = await trainingOf(model, folder);

    /** Number of operations that the backward pass of LoRA on these layers visits. */
    const visited = (targetModules: string[]): number => {
      const adapter = attach(model, lora({ r: 1, targetModules, modulesToSave: [] }));
      const tape = new Tape();
      for (const { tensor } of adapter.parameters.entries) tape.watch(tensor);
      let length = 0;
      scoped(model.device, () => {
        const loss = lossOf(tape);
        length = tape.length;
        tape.backward(loss);
        return undefined;
      });
      for (const module of modules(model.root)) {
        const tensors = isLeaf(module) ? Object.entries(module.tensors) : [];
        for (const [key, tensor] of tensors)
          expect(tape.tracks(tensor.words), `${module.path}.${key}`).toBe(false);
      }
      adapter.release();
      return length;
    };

    const blocks = linearsByBlock(model);
    expect(blocks.length).toBeGreaterThan(1);
    const counts = blocks.map(visited);
    // Each block more below the loss adds its own operations, and adapting the blocks above as well adds none.
    counts.slice(1).forEach((count, i) => {
      expect(count).toBeLessThan(counts[i]!);
    });
    expect(visited(blocks.flat())).toBe(counts[0]);
    model.release();
  },
);
