// What OFT does beside the contract.
import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { blocksAt, oft } from "../../src/adapters/oft/oft.ts";
import { OFT } from "../../src/adapters/oft/oft-codec.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { fixturePath, openTestModel, readJsonFile } from "../support/fixtures.ts";

interface Golden {
  readonly input_ids: number[][];
  readonly labels: number[][];
  readonly lengths: number[];
  readonly losses: number[];
}

test("COFT's ten steps have PEFT's losses, and leave no rotation beyond the bound", async () => {
  const folder = fixturePath("methods/oft-coft");
  const golden = readJsonFile<Golden>(folder, "golden.json");
  const sequences = golden.lengths.map((length, row) => ({
    inputIds: golden.input_ids[row]!.slice(0, length),
    labels: golden.labels[row]!.slice(0, length),
  }));
  const model = await openTestModel(fixturePath("llama-gqa"));
  const adapter = await loadAdapter(model, folderFiles(folder));
  const schedule = { learningRate: 5e-3, schedule: "linear", warmupSteps: 3, weightDecay: 0.01 } as const;
  const options = { maxSteps: 10, batchSize: 3, maxGradNorm: 1, shuffle: false, ...schedule };
  const losses: number[] = [];
  for await (const { loss } of trainSequences(model, adapter.parameters, sequences, options))
    losses.push(loss);
  for (const [i, loss] of losses.entries()) expect(Math.abs(loss - golden.losses[i]!)).toBeLessThan(1e-4);
  for (const { tensors } of adapter.sites) {
    const [blocks = 1, elements = 1] = tensors.oft_R!.shape;
    const values = await tensors.oft_R!.read();
    for (let k = 0; k < blocks; k++) {
      const norm = Math.SQRT2 * Math.hypot(...values.slice(k * elements, (k + 1) * elements));
      expect(norm).toBeLessThan((0.3 / Math.sqrt(blocks)) * 1.0001);
    }
  }
});

describe("blocks that do not divide a layer's inputs", () => {
  // As PEFT's adjust_oft_parameters has it.
  test.each([
    [32, { r: 0, oftBlockSize: 5 }, { blocks: 8, size: 4 }],
    [32, { r: 0, oftBlockSize: 64 }, { blocks: 1, size: 32 }],
    [48, { r: 0, oftBlockSize: 7 }, { blocks: 8, size: 6 }],
    [48, { r: 5, oftBlockSize: 0 }, { blocks: 4, size: 12 }],
    [48, { r: 4, oftBlockSize: 0 }, { blocks: 4, size: 12 }],
  ])("%i inputs, %j", (inputs, options, wanted) => expect(blocksAt(inputs, options)).toEqual(wanted));

  test("are told", async () => {
    const model = await openTestModel(fixturePath("llama-gqa"));
    const adapter = attach(model, oft({ oftBlockSize: 5, targetModules: ["layers.0.self_attn.q_proj"] }));
    expect(OFT.remarks!(adapter)).toEqual([
      expect.stringMatching(/oft_block_size 5 does not divide .*q_proj \(8 blocks of 4\)/),
    ]);
  });
});

test("both of blocks and their size, or neither, are refused", () => {
  expect(() => oft({ r: 2, oftBlockSize: 4 })).toThrow(/r is 2 and oftBlockSize 4/);
  expect(() => oft({ oftBlockSize: 0 })).toThrow(/r is 0 and oftBlockSize 0\n.*give one of them/);
});
