import { beforeAll, describe, expect, test } from "vitest";
import { attach } from "../../../src/adapters/adapter.ts";
import { lora } from "../../../src/adapters/lora/lora.ts";
import type { Sequence } from "../../../src/data/sequence.ts";
import { loadAdapter } from "../../../src/load/adapter.ts";
import { type Model, openTaskModel } from "../../../src/load/model.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { meanLoss } from "../../../src/train/evaluate.ts";
import type { Objective } from "../../../src/train/objective.ts";
import { cpo } from "../../../src/train/preferences/cpo.ts";
import { dpo } from "../../../src/train/preferences/dpo.ts";
import { kto } from "../../../src/train/preferences/kto.ts";
import { orpo } from "../../../src/train/preferences/orpo.ts";
import { withReferenceScores } from "../../../src/train/preferences/reference.ts";
import { rewardModelling } from "../../../src/train/preferences/reward.ts";
import { trainObjective } from "../../../src/train/trainer.ts";
import { camelCase } from "../../../src/util/names.ts";
import { testDevice } from "../../support/device.ts";
import { fixturePath, openTestModel, readJsonFile, readTensors } from "../../support/fixtures.ts";

interface Row {
  prompt: number[];
  chosen: number[];
  rejected: number[];
  margin: number;
  label: boolean;
}
type Kind = "dpo" | "orpo" | "cpo" | "kto" | "reward" | "reward_margin";
interface Case {
  kind: Kind;
  options: Record<string, unknown>;
  loss: number;
  figures: Record<string, number>;
}
interface Curve {
  kind: Kind;
  options: Record<string, unknown>;
  reference: "base" | "copy";
  losses: number[];
}
interface Golden {
  settings: {
    steps: number;
    learning_rate: number;
    batch: number;
    accumulate: number;
    eos: number;
    score: number[];
  };
  rows: Row[];
  cases: Case[];
  curves: Curve[];
}

const golden = readJsonFile<Golden>(fixturePath("."), "preference-losses.json");
const { rows, settings } = golden;
const FOLDER = fixturePath("llama-gqa");
const adapterFiles = () => folderFiles(`${FOLDER}/adapter`);

function sequence(prompt: number[], answer: number[]): Sequence {
  const ids = [...answer, settings.eos];
  return { inputIds: [...prompt, ...ids], labels: [...prompt.map(() => -100), ...ids] };
}
const pairs = rows.map(({ prompt, chosen, rejected, margin }) => {
  return { chosen: sequence(prompt, chosen), rejected: sequence(prompt, rejected), margin };
});
const judged = rows.map(({ prompt, chosen, rejected, label }) => {
  return { ...sequence(prompt, label ? chosen : rejected), isDesirable: label };
});
const itemsOf = (kind: Kind): readonly unknown[] =>
  kind === "kto" ? judged : kind === "reward" ? pairs.map(({ margin: _, ...pair }) => pair) : pairs;

const inCamelCase = (options: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(options).map(([name, value]) => [camelCase(name), value]));

let model: Model;

beforeAll(async () => {
  model = await openTestModel(FOLDER);
});

/** The model with the fixture's adapter. */
async function withAdapter(name: string) {
  const own = model.withAdapters([]);
  const adapter = await loadAdapter(own, adapterFiles(), { name });
  return { model: own, adapter };
}

/** llama-gqa with a head of one score, LoRA as in the fixture's adapter, and the head that the script has made. */
async function rewardModel() {
  const options = { task: "sequence-classification", labels: ["reward"] } as const;
  const own = await openTaskModel(folderFiles(FOLDER), await testDevice(), options);
  const adapter = attach(own, lora({ r: 4, alpha: 8, targetModules: "all-linear" }));
  const weights = await readTensors(`${FOLDER}/adapter`, "adapter_model.safetensors");
  for (const { name, tensor } of adapter.parameters.entries) {
    const found = [...weights].find(([key]) => key.endsWith(name) || key.endsWith(`${name}.weight`));
    const values = found?.[1] ?? (name.includes("score") ? Float32Array.from(settings.score) : undefined);
    if (!values) throw new Error(`no values for ${name} among ${[...weights.keys()].slice(0, 3)}`);
    tensor.write(values);
  }
  return { model: own, adapter };
}

/** The objective with what is trained for it. */
async function open(kind: Kind, given: Record<string, unknown>, reference: "base" | "copy" = "base") {
  const options = inCamelCase(given);
  if (kind === "reward" || kind === "reward_margin") {
    const { model, adapter } = await rewardModel();
    return { objective: rewardModelling(model, options) as unknown as Objective<unknown>, adapter };
  }
  const { model: own, adapter } = await withAdapter("policy");
  const copy = reference === "copy" ? { reference: (await withAdapter("reference")).model } : {};
  const made = { dpo, orpo, cpo, kto }[kind](own, { ...options, ...copy });
  return { objective: made as unknown as Objective<unknown>, adapter };
}

/** ORPO's and CPO's trainers mean logits over prompts and padding, too. */
const isCompared = (kind: Kind) => (name: string) =>
  !((kind === "orpo" || kind === "cpo") && name.startsWith("logits/"));

describe.each(golden.cases)("$kind $options", ({ kind, options, loss, figures }) => {
  test("loss and figures of the first rows", async () => {
    const { objective } = await open(kind, options);
    const items = itemsOf(kind).slice(0, settings.batch);
    const found = await meanLoss(objective, items, { batchSize: settings.batch });
    expect([found.loss]).toBeClose([loss], 1e-5);
    const names = Object.keys(figures).filter(isCompared(kind));
    const metrics = found.metrics ?? {};
    if (figures.nll_loss !== 0) expect(Object.keys(metrics)).toEqual(expect.arrayContaining(names));
    expect(names.map((name) => metrics[name] ?? 0)).toBeClose(
      names.map((name) => figures[name]!),
      1e-5,
    );
  });
});

const trained = (curve: Curve) => ({
  maxSteps: settings.steps,
  batchSize: settings.batch,
  gradientAccumulationSteps: settings.accumulate,
  learningRate: settings.learning_rate,
  weightDecay: 0,
  maxGradNorm: 1,
  shuffle: false,
  ...(curve.kind === "cpo" && { gradientCheckpointing: true }),
});

describe.each(golden.curves)("ten steps of $kind $options against $reference", (curve) => {
  test("losses", async () => {
    const { objective, adapter } = await open(curve.kind, curve.options, curve.reference);
    const losses: number[] = [];
    const kls: number[] = [];
    const items = itemsOf(curve.kind);
    for await (const step of trainObjective(objective, adapter.parameters, items, trained(curve))) {
      losses.push(step.loss);
      kls.push(step.metrics?.kl ?? 0);
      expect(Object.keys(step.metrics ?? {}).length).toBeGreaterThan(4);
    }
    expect(losses).toBeClose(curve.losses, 1e-4);
    if (curve.kind === "kto") expect(Math.max(...kls)).toBeGreaterThan(0); // the divergence counts
  });
});

test("reference scores that are known beforehand, and rows without padding, come to the same", async () => {
  const [curve] = golden.curves as [Curve];
  const { model: own, adapter } = await withAdapter("policy");
  const objective = dpo(own, { ...inCamelCase(curve.options), paddingFree: true });
  const items = await withReferenceScores(objective, pairs, { batchSize: 3 });
  expect(items[0]?.reference?.chosen).toBeLessThan(-1);
  const losses: number[] = [];
  for await (const { loss } of trainObjective(objective, adapter.parameters, items, trained(curve)))
    losses.push(loss);
  expect(losses).toBeClose(curve.losses, 1e-4);
});
