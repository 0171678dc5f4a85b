import { beforeAll, describe, expect, test } from "vitest";
import { attach } from "../../../src/adapters/adapter.ts";
import { lora } from "../../../src/adapters/lora/lora.ts";
import type { RunState } from "../../../src/io/formats/run-state.ts";
import type { Model } from "../../../src/load/model.ts";
import { meanLoss } from "../../../src/train/evaluate.ts";
import type { Objective } from "../../../src/train/objective.ts";
import { cpo } from "../../../src/train/preferences/cpo.ts";
import { type DpoOptions, dpo } from "../../../src/train/preferences/dpo.ts";
import { kto } from "../../../src/train/preferences/kto.ts";
import { orpo } from "../../../src/train/preferences/orpo.ts";
import { rewardModelling } from "../../../src/train/preferences/reward.ts";
import type { TrainState } from "../../../src/train/state.ts";
import { trainObjective } from "../../../src/train/trainer.ts";
import { fixturePath, openTestModel } from "../../support/fixtures.ts";

let model: Model;

beforeAll(async () => {
  model = await openTestModel(fixturePath("llama-gqa"));
});

const answer = (seed: number, length: number) => {
  const inputIds = Array.from({ length }, (_, i) => 3 + ((seed * 31 + i * 17) % 90));
  return { inputIds, labels: inputIds.map((id, i) => (i < 3 ? -100 : id)) };
};
const pairs = [1, 2, 3, 4, 5].map((i) => ({ chosen: answer(i, 6 + i), rejected: answer(10 + i, 12 - i) }));
const judged = pairs.map(({ chosen, rejected }, i) =>
  i % 2 ? { ...chosen, isDesirable: true } : { ...rejected, isDesirable: false },
);

const objectives: [name: string, make: (model: Model) => Objective<never>][] = [
  ["dpo", (model) => dpo(model, { disableDropout: false }) as unknown as Objective<never>],
  ["kto", (model) => kto(model) as unknown as Objective<never>],
  ["orpo", (model) => orpo(model) as unknown as Objective<never>],
];

test.each(objectives)(
  "%s goes on from a state to the same bytes, and an evaluation between changes nothing",
  async (name, make) => {
    const items = (name === "kto" ? judged : pairs) as unknown as readonly never[];
    const run = async (resume?: RunState, captureAt = 0) => {
      const own = model.withAdapters([]);
      const method = lora({ r: 2, dropout: 0.2, targetModules: ["q_proj", "down_proj"] });
      const adapter = attach(own, method, { seed: 3 });
      let live: TrainState | undefined;
      let state: RunState | undefined;
      const options = {
        ...{ batchSize: 2, maxSteps: 4, learningRate: 1e-2, gradientAccumulationSteps: 2, seed: 7 },
        onStart: (started: TrainState) => {
          live = started;
        },
        settleAfter: (step: number) => step === captureAt,
        ...(resume && { resume }),
      };
      const metrics: unknown[] = [];
      for await (const step of trainObjective(make(own), adapter.parameters, items, options)) {
        metrics.push(step.metrics);
        if (step.step !== captureAt) continue;
        await meanLoss(make(own), items, { batchSize: 2 });
        state = await live?.capture();
      }
      const bytes = await adapter.parameters.flat.read();
      adapter.release();
      return { bytes, state, metrics };
    };
    const whole = await run();
    const broken = await run(undefined, 2);
    expect(broken.bytes).toEqual(whole.bytes);
    const resumed = await run(broken.state);
    expect(resumed.bytes).toEqual(whole.bytes);
    expect(resumed.metrics).toEqual(whole.metrics.slice(2));
  },
);

describe("what cannot be learnt from is refused by name", () => {
  const badPairs: [object, RegExp][] = [
    [{ chosen: answer(1, 5) }, /row 1 has no rejected, wanted inputIds and labels/],
    [
      { chosen: { inputIds: [1, 200], labels: [-100, 5] }, rejected: answer(1, 5) },
      /inputIds\[1\] 200.*\(chosen\)/,
    ],
    [
      { chosen: answer(1, 5), rejected: answer(1, 3) },
      /row 1 has no label in rejected, so that there is no answer/,
    ],
    [
      { chosen: { inputIds: [3, 4, 5], labels: [-100, 4, -100] }, rejected: answer(1, 5) },
      /labels in chosen that do not go on to its end/,
    ],
  ];
  test.each(badPairs)("a pair: %j", (pair, message) => {
    expect(() => dpo(model).collate([pair as never], undefined as never)).toThrow(message);
  });

  test("an answer without a verdict", () => {
    const items = [{ ...answer(1, 5), isDesirable: "yes" as never }];
    expect(() => kto(model).collate(items, undefined as never)).toThrow(
      /isDesirable "yes", wanted true or false/,
    );
  });

  const options: [DpoOptions, RegExp][] = [
    [{ lossType: "sigmod" as never }, /lossType is "sigmod", wanted one of sigmoid/],
    [{ lossType: [] }, /names no loss/],
    [{ lossType: ["ipo", "ipo"] }, /ipo twice/],
    [{ lossType: ["ipo", "sft"], lossWeights: [1] }, /1 lossWeights for 2 losses/],
    [{ lossWeights: [0] }, /all lossWeights are 0/],
    [{ labelSmoothing: 0.1 }, /labelSmoothing means nothing for sigmoid/],
    [{ lossType: "exo_pair" }, /takes the logarithm of labelSmoothing/],
    [{ beta: 0 }, /beta is 0, wanted a number above 0/],
    [{ reference: 3 as never }, /reference is 3, wanted a language model/],
  ];
  test.each(options)("options %j", (given, message) => {
    expect(() => dpo(model, given)).toThrow(message);
  });

  test("packing, halves of a batch whose answers are compared, and a head of another size", async () => {
    const own = model.withAdapters([]);
    const adapter = attach(own, lora({ r: 2 }));
    const packed = trainObjective(dpo(own), adapter.parameters, pairs, { packing: true, maxLength: 64 });
    await expect(packed.next()).rejects.toThrow(/packing|share a row/);
    expect(cpo(own).comparesItems).toBe(true);
    expect(cpo(own, { lossType: "simpo", cpoAlpha: 0 }).comparesItems).toBeUndefined();
    expect(kto(own, { lossType: "apo_zero_unpaired" }).comparesItems).toBeUndefined();
    const classifier = { ...own, logits: own.logits, labels: ["a", "b"] } as never;
    expect(() => rewardModelling(classifier)).toThrow(/the head has 2 scores, and a reward is one/);
    adapter.release();
  });
});
