import { expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { Parameters } from "../../src/nn/parameters.ts";
import { Run } from "../../src/train/run.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import {
  entriesUntil,
  entryLine,
  evaluationEntry,
  type LogEntry,
  readEntries,
  stepEntry,
} from "../../src/train/watch/log-entry.ts";
import { observeAll, type UpdateNorms } from "../../src/train/watch/observer.ts";
import { SpikeWatch } from "../../src/train/watch/spikes.ts";
import { UpdateWatch } from "../../src/train/watch/update-norms.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";
import { stepMetrics } from "../support/step-metrics.ts";

test("an entry has transformers' and TRL's names, and what else was measured; a broken line is left out and counted", () => {
  const measured = stepMetrics(3, {
    loss: Number.NaN,
    metrics: { "rewards/chosen": 0.5 },
    skipped: true,
    fault: "why",
  });
  const step = stepEntry(measured, [{ step: 3, kind: "loss-spike", message: "high" }]);
  const evaluation = evaluationEntry({
    step: 3,
    passes: 0.6,
    loss: 2,
    seconds: 1,
    metrics: { accuracy: 0.5 },
    summary: "accuracy 0.5000",
  });
  const text = [step, evaluation].map(entryLine).join("");
  const { entries, broken } = readEntries(`${text}{"step":4,"epo\n\n{"step":5,"epoch":1,"loss":{}}\n`);
  expect(broken).toEqual([3, 5]);
  expect(entries).toEqual([
    {
      ...{ step: 3, epoch: 0.6, loss: null, grad_norm: 1, learning_rate: 1e-5, num_tokens: 36 },
      ...{ tokens_per_second: 24, step_time: 0.5, peak_memory: 27.003, "rewards/chosen": 0.5 },
      ...{ skipped: true, fault: "why", warnings: ["high"], rows: ["rows.jsonl:1"] },
    },
    {
      step: 3,
      epoch: 0.6,
      eval_loss: 2,
      eval_accuracy: 0.5,
      eval_summary: "accuracy 0.5000",
      eval_runtime: 1,
    },
  ]);
  expect(entriesUntil([...entries, { step: 4, epoch: 1 }], 3)).toEqual(entries);
});

/** What is said of losses and norms, step by step. */
function watch(steps: readonly { loss?: number; gradNorm?: number }[]): string[] {
  const spikes = new SpikeWatch();
  return steps.flatMap((step, i) => {
    const rows = Array.from({ length: 10 }, (_, row) => `rows.jsonl:${10 * i + row}`);
    return spikes
      .add({ ...stepMetrics(i + 1), ...step, rows })
      .map(({ kind, message }) => `${kind}: ${message}`);
  });
}

const noise = (i: number) => Math.sin(12.9898 * i) * 0.3;

test("a loss far above those before is a spike, told with its rows; noise and a rise by and by are none", () => {
  const calm = Array.from({ length: 200 }, (_, i) => ({ loss: 2 - i / 200 + noise(i) }));
  expect(watch(calm)).toEqual([]);
  const spiky = calm.map(({ loss }, i) => ({ loss: i === 60 || i === 61 ? 9 : loss }));
  const told = watch(spiky);
  expect(told).toEqual([
    expect.stringMatching(
      /^loss-spike: step 61: the loss is 9\.00, and was about 1\.\d+ before; its rows: rows\.jsonl:600, /,
    ),
  ]);
  expect(told[0]).toMatch(/rows\.jsonl:607 and 2 more$/);
  expect(watch(calm.slice(0, 10).concat({ loss: 99 }))).toEqual([]); // nothing to compare with yet
  expect(watch(calm.map(({ loss }, i) => ({ loss: i === 5 ? Number.NaN : loss })))).toEqual([]);
});

test("a gradient that jumps and one that grows are told apart", () => {
  const at = (i: number) => ({ gradNorm: 1 + noise(i) });
  const steps = Array.from({ length: 150 }, (_, i) => at(i));
  expect(watch(steps)).toEqual([]);
  expect(watch(steps.map((step, i) => (i === 70 ? { gradNorm: 40 } : step)))).toEqual([
    expect.stringMatching(/^gradient-spike: step 71: the gradient's norm is 40\.0, and was about 1\.0/),
  ]);
  const growing = steps.map(({ gradNorm }, i) => ({ gradNorm: gradNorm * 1.03 ** i }));
  const rises = watch(growing);
  expect(rises.length).toBeGreaterThan(0);
  expect(rises.every((line) => line.startsWith("rising-gradient: "))).toBe(true);
  expect(rises[0]).toContain("the learning rate may be too high");
});

test("an observer that throws is told no more, and the others are", async () => {
  const [said, errors]: [string[], string[]] = [[], []];
  const broken = {
    onEvaluation() {
      throw new Error("no");
    },
  };
  const observer = observeAll(
    [broken, { onEvaluation: ({ step }) => void said.push(`evaluation ${step}`) }],
    (error) => errors.push(String(error)),
  );
  for (const step of [1, 2]) await observer.onEvaluation({ step, passes: 0, loss: 1, seconds: 1 });
  await observer.onSamples({ step: 1, samples: [] });
  expect(said).toEqual(["evaluation 1", "evaluation 2"]);
  expect(errors).toEqual(["Error: no"]);
});

test("a run tells its observer of steps, evaluations, and how far each layer has moved", async () => {
  const folder = fixturePath("llama-gqa");
  const sequences = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));
  const model = await openTestModel(folder);
  const { parameters } = attach(model, lora({ r: 2, targetModules: ["q_proj"] }), { seed: 3 });
  const entries: LogEntry[] = [];
  const looks: UpdateNorms[] = [];
  const run = new Run(
    (given) =>
      trainSequences(model, parameters, sequences, {
        maxSteps: 4,
        batchSize: 2,
        learningRate: 1e-2,
        ...given,
      }),
    {
      evalSteps: 2,
      evaluate: async () => ({ loss: 1, metrics: { accuracy: 0.5 } }),
      updateNormSteps: 2,
      observer: {
        onStep: (metrics) => void entries.push(stepEntry(metrics)),
        onEvaluation: (evaluation) => void entries.push(evaluationEntry(evaluation)),
        onUpdateNorms: (norms) => void looks.push(norms),
      },
    },
  );
  const before = await parameters.flat.read();
  await run.start();
  const after = await parameters.flat.read();
  expect(entries.map(({ step, eval_accuracy }) => [step, eval_accuracy])).toEqual(
    [[1], [2], [2, 0.5], [3], [4], [4, 0.5]].map(([step, accuracy]) => [step, accuracy]),
  );
  const perEpoch = Math.ceil(sequences.length / 2);
  expect(entries[0]?.epoch).toBe(1 / perEpoch);
  expect(looks.map(({ step, since }) => [step, since])).toEqual([
    [2, 0],
    [4, 2],
  ]);
  expect(Object.keys(looks[0]?.norms ?? {})).toEqual(["model.layers.0", "model.layers.1"]);
  const [look] = looks;
  for (const [layer, { count, squares }] of Object.entries(look?.changes ?? {})) {
    const sizes = parameters.entries
      .filter(({ name }) => name.startsWith(`${layer}.`))
      .map(({ tensor }) => tensor.size);
    expect(count).toBe(sizes.reduce((sum, size) => sum + size, 0));
    expect(squares).toBeCloseTo((look?.norms[layer] ?? 0) ** 2, 10);
  }
  // The way is at least as long as the straight line.
  const way = Math.hypot(...looks.map(({ norms }) => Math.hypot(...Object.values(norms))));
  const line = Math.hypot(...after.map((x, i) => x - (before[i] as number)));
  expect(way * Math.SQRT2).toBeGreaterThanOrEqual(line);
  expect(line).toBeGreaterThan(0);
});

/** Parameters of one layer, of which reads give these values. */
function parametersOf(values: number[] | Error): Parameters {
  const read = async () => {
    if (values instanceof Error) throw values;
    return Float32Array.from(values);
  };
  const tensor = { byteOffset: 0, size: 2, read };
  return {
    flat: tensor,
    entries: [{ name: "layers.0.q.lora_A", tensor }],
    stacks: [],
  } as unknown as Parameters;
}

test("how far layers have moved is known across a lost device, where the look before is on the host", async () => {
  const watch = new UpdateWatch({ parameters: parametersOf([1, 1]), step: 10 });
  await watch.follow({ parameters: parametersOf([4, 5]), step: 13 });
  expect(await watch.look(20)).toMatchObject({ step: 20, since: 10, norms: { "layers.0": 5 } });
  const lost = new UpdateWatch({ parameters: parametersOf(new Error("lost")), step: 10 });
  await lost.follow({ parameters: parametersOf([4, 5]), step: 13 });
  expect(await lost.look(20)).toMatchObject({ since: 13, norms: { "layers.0": 0 } });
});
