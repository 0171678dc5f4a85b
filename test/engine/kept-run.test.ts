import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { EngineTrainOptions } from "../../src/engine/protocol.ts";
import { errorOf } from "../io/helpers.ts";
import { temporaryFolder } from "../platform/environment.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { openNodeEngine } from "./node-engine.ts";

const ROWS = ["one red lamp", "two blue cups", "three green hats"].map((text) => ({ text }));
const OPTIONS = { maxSteps: 6, batchSize: 2, learningRate: 1e-2, seed: 1 };

/** An engine as a program has it that has just begun. */
async function begin(r = 2) {
  const engine = await openNodeEngine();
  const model = await engine.loadModel(BUNDLED_MODEL);
  const adapter = await engine.attach(model, { method: "lora", r, dropout: 0.1, targetModules: ["q_proj"] });
  const train = async (options: EngineTrainOptions, until = Number.POSITIVE_INFINITY) => {
    const steps: [step: number, loss: number][] = [];
    for await (const { step, loss } of engine.train(model, adapter, ROWS, { ...OPTIONS, ...options })) {
      steps.push([step, loss]);
      if (step >= until) break;
    }
    return steps;
  };
  const bytes = async () => {
    const files = await engine.adapterFiles(adapter);
    return new Uint8Array((await files.get("adapter_model.safetensors")?.arrayBuffer()) ?? []);
  };
  return { engine, model, adapter, train, bytes };
}

test("a run that is kept goes on to the bytes of one that nobody disturbed", async () => {
  const whole = await begin();
  const expected = await whole.train({});
  const keep = { folder: join(temporaryFolder(), "run"), seconds: 0 };
  const first = await begin();
  const before = await first.train({ keep }, 2);
  expect(readdirSync(keep.folder).filter((name) => name.startsWith("checkpoint"))).toHaveLength(1);
  mkdirSync(join(keep.folder, "checkpoint-900")); // one that was cut off
  writeFileSync(join(keep.folder, "checkpoint-900/state.json"), "{}");
  const second = await begin();
  const after = await second.train({ keep });
  expect(after[0]?.[0]).toBeGreaterThan(2);
  expect(after).toEqual(expected.slice(-after.length));
  expect(before).toEqual(expected.slice(0, before.length));
  expect(await second.bytes()).toEqual(await whole.bytes());
  const over = await begin();
  expect(await over.train({ keep })).toEqual([]); // it had come to its end
  expect(await over.bytes()).toEqual(await whole.bytes());
});

test("another run is told that the folder is taken, and one of something else what is other", async () => {
  const keep = { folder: join(temporaryFolder(), "run") };
  const first = await begin();
  const run = first.engine.train(first.model, first.adapter, ROWS, { ...OPTIONS, maxSteps: 500, keep });
  for await (const { step } of run) {
    if (step < 2) continue;
    const second = await begin();
    expect(String(await errorOf(() => second.train({ keep })))).toMatch(
      /another tab or program[\s\S]*another folder/,
    );
    break;
  }
  const other = await begin(4);
  const error = String(await errorOf(() => other.train({ maxSteps: 500, learningRate: 2e-2, keep })));
  expect(error).toMatch(/learningRate was 0\.01, and is 0\.02/);
  expect(error).toMatch(/adapter was .*"r":2.*and is .*"r":4/);
});

test("where a state cannot be kept the run goes on, and that is told", async () => {
  const folder = join(temporaryFolder(), "run");
  const { train } = await begin();
  const warnings: string[] = [];
  const steps = await train({
    keep: { folder, seconds: 0 },
    onWarning: (line) => warnings.push(line),
    onData: () => writeFileSync(join(folder, "checkpoint-1"), ""), // in the place of a folder
  });
  expect(steps).toHaveLength(6);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/not saved, the run goes on/);
});
