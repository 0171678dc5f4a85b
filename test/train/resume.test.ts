import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { tokenMasker } from "../../src/data/tokenize/encode-task.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { type RunState, readRunState, runStateFiles } from "../../src/io/formats/run-state.ts";
import { requireTask } from "../../src/models/model.ts";
import { evaluate } from "../../src/train/evaluate.ts";
import { languageModelling } from "../../src/train/language-modelling.ts";
import { maskedLanguageModelling } from "../../src/train/masked-language-modelling.ts";
import type { Counted, Objective } from "../../src/train/objective.ts";
import { OPTIMIZERS } from "../../src/train/optimizers/registry.ts";
import type { TrainState } from "../../src/train/state.ts";
import { trainObjective } from "../../src/train/trainer.ts";
import type { TrainerOptions } from "../../src/train/trainer-options.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";
import { openTestTask } from "../support/task-fixtures.ts";

const folder = fixturePath("llama-gqa");
const rows = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));
const sequences = [
  ...rows,
  ...rows.map(({ inputIds, labels }) => ({ inputIds: inputIds.slice(2), labels: labels.slice(2) })),
];
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const NOTES = { settings: { seed: 3 }, identity: { base: "b" }, versions: {}, best: { loss: 1.5, step: 2 } };

/** Through the two files. */
async function written(state: RunState): Promise<RunState> {
  const files = [...runStateFiles(state, NOTES, sha256)].map(([name, content]) => {
    return [
      name,
      typeof content === "string" ? new TextEncoder().encode(content) : (content as Uint8Array),
    ] as const;
  });
  const { state: read, notes } = await readRunState(memoryFiles("state", new Map(files)), sha256);
  expect(notes).toEqual(NOTES);
  return read;
}

interface Subject {
  dropout?: number;
  /** A state is captured behind these steps. */
  captureAt?: readonly number[];
  resume?: RunState;
}

const DEFAULTS = { batchSize: 1, learningRate: 1e-2, maxSteps: 7, seed: 5 };

/** Trains a fresh adapter of a language model; the parameters at the end, and the captured states. */
async function run(options: TrainerOptions, { dropout = 0.1, captureAt = [], resume }: Subject = {}) {
  const model = await openTestModel(folder);
  const adapter = attach(model, lora({ r: 2, dropout, targetModules: ["q_proj", "down_proj"] }), { seed: 3 });
  const between = () => evaluate(model, rows);
  const result = await steps(languageModelling(model), adapter.parameters, sequences, options, {
    captureAt,
    resume,
    between,
  });
  adapter.release();
  model.release();
  return result;
}

async function steps<Item, B extends Counted>(
  objective: Objective<Item, B>,
  parameters: Parameters<typeof trainObjective>[1],
  items: readonly Item[],
  options: TrainerOptions,
  {
    captureAt = [],
    resume,
    between,
  }: Pick<Subject, "captureAt"> & { resume?: RunState | undefined; between?: () => Promise<unknown> },
) {
  let live: TrainState | undefined;
  const states: RunState[] = [];
  const losses: number[] = [];
  const settings = {
    ...{ ...DEFAULTS, ...options },
    onStart: (state: TrainState) => {
      live = state;
    },
    settleAfter: (step: number) => captureAt.includes(step),
    ...(resume && { resume }),
  };
  for await (const { step, loss, trainedTerms } of trainObjective(objective, parameters, items, settings)) {
    losses.push(loss, trainedTerms);
    if (!captureAt.includes(step) || !live) continue;
    states.push(await written(await live.capture()));
    await between?.();
  }
  return { last: await parameters.flat.read(), states, losses };
}

const CASES: [string, TrainerOptions][] = [
  ["accumulating", { gradientAccumulationSteps: 2 }],
  ["packing", { packing: true, maxLength: 24 }],
  ["by length", { groupByLength: true, batchSize: 2, schedule: "cosine", warmupSteps: 3 }],
  [
    "with rates of LoRA+, NEFTune's noise and gradient checkpointing",
    { loraplusLrRatio: 4, neftuneNoiseAlpha: 5, gradientCheckpointing: true },
  ],
  ...OPTIMIZERS.map((optimizer): [string, TrainerOptions] => [optimizer, { optimizer, weightDecay: 0.1 }]),
];

describe("a run that goes on from a written state comes to the same bytes as one that was not broken", () => {
  test.each(CASES)("%s", async (_, options) => {
    const whole = await run(options);
    const broken = await run(options, { captureAt: [2, 5] });
    expect(broken.last).toEqual(whole.last); // capturing and evaluating change nothing
    for (const [i, step] of [2, 5].entries()) {
      const resume = broken.states[i] as RunState;
      expect(resume.step).toBe(step);
      const resumed = await run(options, { resume });
      expect(resumed.last).toEqual(whole.last);
      expect(resumed.losses).toEqual(whole.losses.slice(2 * step));
    }
  });

  test("masked language modelling, whose masks are drawn anew each time", async () => {
    const model = requireTask(await openTestTask(fixturePath("tasks/bert-masked")), "masked-lm");
    const mask = tokenMasker({ maskTokenId: 3, vocabSize: 30, special: [0] });
    const objective = maskedLanguageModelling(model, mask);
    const items = rows.map(({ inputIds }) => ({
      inputIds: inputIds.slice(0, 12).map((id) => id % 30),
      labels: [],
    }));
    const train = async (subject: Pick<Subject, "captureAt"> & { resume?: RunState }) => {
      const adapter = attach(model, lora({ r: 2, targetModules: ["query"] }), { seed: 3 });
      const result = await steps(objective, adapter.parameters, items, {}, subject);
      adapter.release();
      return result;
    };
    const whole = await train({ captureAt: [3] });
    const resumed = await train({ resume: whole.states[0] as RunState });
    expect(resumed.last).toEqual(whole.last);
    model.release();
  });
});

describe("a state is refused", () => {
  const refused = (resume: RunState, options: TrainerOptions = {}) => run(options, { resume });

  test("of another optimiser, or of other parameters", async () => {
    const { states } = await run({ maxSteps: 1 }, { captureAt: [1] });
    const state = states[0] as RunState;
    await expect(refused(state, { optimizer: "lion" })).rejects.toThrow(/optimiser was adamw, and is lion/);
    const parameters = { ...state.parameters, "q.lora_A": [2, 3] };
    await expect(refused({ ...state, parameters })).rejects.toThrow(
      /q\.lora_A was \[2,3\], and is not trained/,
    );
    const tensors = new Map(state.tensors);
    tensors.delete("optimizer.exp_avg");
    await expect(refused({ ...state, tensors })).rejects.toThrow(/optimizer\.exp_avg has no bytes/);
  });

  test("of another version, cut off, or changed", async () => {
    const { states } = await run({ maxSteps: 1 }, { captureAt: [1] });
    const files = new Map([...runStateFiles(states[0] as RunState, NOTES, sha256)]);
    const read = (changes: Record<string, string | Uint8Array | undefined>) => {
      const all = [...files, ...Object.entries(changes)].filter(([, content]) => content !== undefined);
      const bytes = all.map(([name, content]) => {
        return [name, typeof content === "string" ? new TextEncoder().encode(content) : content] as [
          string,
          Uint8Array,
        ];
      });
      const kept = new Map(bytes);
      for (const [name, content] of Object.entries(changes)) if (content === undefined) kept.delete(name);
      return readRunState(memoryFiles("state", kept), sha256);
    };
    const about = files.get("state.json") as string;
    const tensors = files.get("state.safetensors") as Uint8Array;
    await expect(read({ "state.json": about.replace('"version": 1', '"version": 2') })).rejects.toThrow(
      /version 2, and this program reads 1/,
    );
    await expect(read({ "state.json": about.replace('"step": 1', '"step": -1') })).rejects.toThrow(
      /step is -1/,
    );
    await expect(read({ "state.safetensors": tensors.slice(0, -4) })).rejects.toThrow(/not the one/);
    await expect(read({ "state.safetensors": tensors.with(tensors.length - 1, 1) })).rejects.toThrow(
      /not the one/,
    );
    await expect(read({ "state.safetensors": undefined })).rejects.toThrow(/state\.safetensors is missing/);
    await expect(read({ "state.json": "{" })).rejects.toThrow(/state\.json/);
  });
});
