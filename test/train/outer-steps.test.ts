import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { RunState } from "../../src/io/formats/run-state.ts";
import type { Peers } from "../../src/train/peers.ts";
import type { TrainState } from "../../src/train/state.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";
import { localPeers } from "../support/local-peers.ts";

const folder = fixturePath("llama-gqa");
const rows = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));
/** Each row twice: two processes of batch 1 learn the same. */
const twice = rows.flatMap((row) => [row, row]);

interface Subject {
  readonly peers?: Peers;
  readonly data?: typeof rows;
  readonly capture?: (state: RunState) => void;
}

/** The parameters behind a run, and before it. */
async function run(options: TrainerOptions, { peers, data = twice, capture }: Subject = {}) {
  const model = await openTestModel(folder);
  const adapter = attach(model, lora({ r: 2, targetModules: ["q_proj", "down_proj"] }), { seed: 3 });
  const { flat } = adapter.parameters;
  let state: TrainState | undefined;
  const settings = {
    ...{ learningRate: 1e-2, batchSize: 1, maxSteps: 6, shuffle: false, schedule: "constant" as const },
    ...{ ...options, ...(peers && { peers }) },
    onStart: (begun: TrainState) => {
      state = begun;
    },
  };
  const start = await flat.read();
  for await (const { step } of trainSequences(model, adapter.parameters, data, settings))
    if (step === 4 && state) capture?.(await state.capture());
  const end = await flat.read();
  adapter.release();
  model.release();
  return { start, end };
}

const together = (options: TrainerOptions, subject: Subject = {}) =>
  Promise.all(localPeers(2).map((peers) => run(options, { ...subject, peers })));

function expectClose(got: Float32Array, wanted: Float32Array) {
  const difference = got.map((value, i) => value - (wanted[i] as number));
  expect(Math.hypot(...difference) / Math.hypot(...wanted)).toBeLessThan(1e-6);
}

describe("processes that step apart and meet", () => {
  test("with rate 1 and no momentum those that learn the same come to what one comes to", async () => {
    const alone = await run({}, { data: rows });
    const [first, second] = await together({ syncEvery: 4, outerLearningRate: 1, outerMomentum: 0 });
    expect(second?.end).toEqual(first?.end);
    expectClose(first!.end, alone.end);
  });

  test("the outer step is SGD's with Nesterov momentum, of the mean of what they have changed", async () => {
    const alone = await run({ maxSteps: 2 }, { data: rows });
    const [first] = await together({ maxSteps: 2, syncEvery: 2 });
    const wanted = alone.start.map(
      (value, i) => value + 0.7 * (1 + 0.9) * ((alone.end[i] as number) - value),
    );
    expectClose(first!.end, wanted);
  });

  test("processes that learn different rows have the same parameters where they meet", async () => {
    const [first, second] = await together({ syncEvery: 3, maxSteps: 5 }, { data: rows });
    expect(second?.end).toEqual(first?.end);
    expect(first?.end).not.toEqual(first?.start);
  });

  test("a state that was captured where they meet goes on to the same bytes, outer momentum and all", async () => {
    let state: RunState | undefined;
    const capture = (captured: RunState) => {
      state = captured;
    };
    const [whole] = await together({ syncEvery: 2 }, { capture });
    expect([...state!.tensors.keys()]).toContain("outer.momentum_buffer");
    const [resumed] = await together({ syncEvery: 2, resume: state! });
    expect(resumed?.end).toEqual(whole?.end);
  });
});
