// A device that was lost, and does not come back at once: as where a browser's process for graphics has crashed twice.
import { readdirSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import type { EngineRun } from "../../src/engine/engine.ts";
import type { LossNews } from "../../src/engine/protocol.ts";
import { type Device, LoraError, openDevice } from "../../src/index.node.ts";
import { errorOf } from "../io/helpers.ts";
import { temporaryFolder } from "../platform/environment.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { openNodeEngine } from "./node-engine.ts";

const ROWS = ["one red lamp", "two blue cups", "three green hats"].map((text) => ({ text }));
const METHOD = { method: "lora", r: 2, targetModules: ["q_proj"] };

/** A run whose device is lost behind its fourth step; the next ones that are asked for are not there. */
async function runWithoutDevice({ absent, comebackMs }: { absent: number; comebackMs?: number }) {
  const folder = temporaryFolder();
  const devices: Device[] = [];
  onTestFinished(() => devices.at(-1)?.close());
  let isLost = false;
  let asked = 0;
  const engine = await openNodeEngine({
    ...(comebackMs !== undefined && { comebackMs }),
    async openDevice(options) {
      if (isLost && ++asked <= absent) throw new LoraError("no-adapter", "openDevice", "there is none");
      devices.push(await openDevice(options));
      return devices.at(-1) as Device;
    },
  });
  const model = await engine.loadModel(BUNDLED_MODEL);
  const adapter = await engine.attach(model, METHOD, { seed: 3 });
  const news: LossNews[] = [];
  const kept: string[][] = [];
  const run = engine.train(model, adapter, ROWS, {
    ...{ maxSteps: 8, batchSize: 1, learningRate: 1e-2, keep: { folder, seconds: 1000 } },
    onLoss(loss) {
      news.push(loss);
      kept.push(readdirSync(folder).filter((name) => name.startsWith("checkpoint-")));
    },
  });
  const lose = () => {
    isLost = true;
    devices[0]?.gpu.destroy();
  };
  return { run, lose, news, kept };
}

async function stepsOf(run: EngineRun, lose: () => void): Promise<number[]> {
  const steps: number[] = [];
  for await (const { step } of run) {
    steps.push(step);
    if (step === 4) lose();
  }
  return steps;
}

test("a run waits for a device that is not there yet, and its state is kept meanwhile", async () => {
  const { run, lose, news, kept } = await runWithoutDevice({ absent: 2, comebackMs: 60_000 });
  expect(await stepsOf(run, lose)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect(news.map(({ waits, attempt }) => [waits, attempt])).toEqual([
    [false, 1],
    [true, 1],
  ]);
  expect(news[1]?.step).toBeGreaterThan(0);
  expect(kept[1]).toEqual([`checkpoint-${news[1]?.step}`]);
});

test("a run that waits can be stopped, and one whose platform does not wait ends", async () => {
  const patient = await runWithoutDevice({ absent: 1000, comebackMs: 60_000 });
  const error = errorOf(() => stepsOf(patient.run, patient.lose));
  await expect.poll(() => patient.news.at(-1)?.waits, { timeout: 60_000 }).toBe(true);
  patient.run.stop();
  expect(String(await error)).toMatch(/lost/);

  const other = await runWithoutDevice({ absent: 1000 });
  expect(String(await errorOf(() => stepsOf(other.run, other.lose)))).toMatch(/lost/);
  expect(other.news.some(({ waits }) => waits)).toBe(false);
});
