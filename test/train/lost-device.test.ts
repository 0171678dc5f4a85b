import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { buildLosingDriver } from "../../scripts/lost-device/driver.ts";
import { type Loss, lostRun, moments, wholeRun } from "../../scripts/lost-device/moments.ts";
import { adalora } from "../../src/adapters/adalora/adalora.ts";
import { attach } from "../../src/adapters/adapter.ts";
import { startLora } from "../../src/adapters/lora/initial/start-lora.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import type { Method } from "../../src/adapters/method.ts";
import { pTuning } from "../../src/adapters/prompts/p-tuning.ts";
import { prefixTuning } from "../../src/adapters/prompts/prefix-tuning.ts";
import { vera } from "../../src/adapters/vera/vera.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { FileContent } from "../../src/io/files/files.ts";
import { adapterFiles } from "../../src/load/adapter.ts";
import { type Model, openModel } from "../../src/load/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { trainSequences } from "../../src/train/trainer.ts";
import { fixturePath, type Golden, goldenSequences, readJsonFile } from "../support/fixtures.ts";

const folder = fixturePath("llama-gqa");
const sequences = goldenSequences(readJsonFile<Golden>(folder, "golden.json"));
const subject = { folder, sequences };
const devices: Device[] = [];
afterEach(() => {
  vi.restoreAllMocks();
  for (const device of devices.splice(0)) device.close();
});

async function openAdapter() {
  const device = await openNodeDevice();
  devices.push(device);
  const model = await openModel(folderFiles(folder), device);
  const adapter = attach(model, lora({ r: 4, alpha: 8, targetModules: ["q_proj", "down_proj"] }), {
    seed: 3,
  });
  return { device, model, adapter };
}

/** Loses the device at moments of every phase of a run. */
async function expectKept(count: number, loss: Loss): Promise<void> {
  const whole = await wholeRun(subject);
  for (const at of moments(whole, count)) {
    const { phase, problems } = await lostRun(subject, whole, at, loss);
    expect(problems, `call ${at}, ${phase}`).toEqual([]);
  }
}

describe("where the device is lost", () => {
  test("by device.destroy(), at any moment, the adapter of a finished step can be saved", async () => {
    await expectKept(6, { lose: ({ gpu }) => gpu.destroy() });
  });

  test("by its driver, too", async ({ skip }) => {
    const place = await mkdtemp(join(tmpdir(), "webgpu-lora-driver-"));
    const { VK_ICD_FILENAMES, VK_DRIVER_FILES, WEBGPU_LORA_ADAPTER } = process.env;
    try {
      const built = buildLosingDriver(place);
      if (!built) return skip("lavapipe and a C compiler are needed");
      Object.assign(process.env, built.environment);
      await expectKept(6, { lose: built.driver.lose, after: built.driver.recover });
    } finally {
      for (const [name, value] of Object.entries({
        VK_ICD_FILENAMES,
        VK_DRIVER_FILES,
        WEBGPU_LORA_ADAPTER,
      })) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
      rmSync(place, { recursive: true });
    }
  });

  test("the error says until which step the adapter can be saved", async () => {
    const { device, model, adapter } = await openAdapter();
    const run = async () => {
      for await (const { step } of trainSequences(model, adapter.parameters, sequences, { maxSteps: 9 })) {
        if (step !== 4) continue;
        await adapterFiles(adapter); // read from the device, it is the newest copy
        device.gpu.destroy();
      }
    };
    await expect(run()).rejects.toMatchObject({
      kind: "device-lost",
      message: expect.stringMatching(/lost[\s\S]*→ what was learnt until step 4 can be saved/),
    });
    expect(adapter.parameters.mirror?.newest?.step).toBe(4);
  });
});

/** Methods whose files have what is not trained, or is computed. */
const WITH_FROZEN: Readonly<Record<string, (model: Model) => Promise<Method> | Method>> = {
  "VeRA's projections": () => vera({ r: 4, targetModules: ["q_proj"] }),
  "AdaLoRA's ranks": () =>
    adalora({ ...{ initR: 4, targetR: 1, tinit: 1, tfinal: 2, totalStep: 9 }, targetModules: ["q_proj"] }),
  "PiSSA's beginning": (model) =>
    startLora(model, lora({ r: 2, targetModules: ["q_proj"], initWeights: "pissa" })),
  "P-tuning's vectors": () =>
    pTuning({ numVirtualTokens: 2, encoderHiddenSize: 4, encoderReparameterizationType: "LSTM" }),
  "a projected prefix": () =>
    prefixTuning({ numVirtualTokens: 2, prefixProjection: true, encoderHiddenSize: 4 }),
};
test.each(Object.entries(WITH_FROZEN))("%s outlive the device", async (_, make) => {
  const device = await openNodeDevice();
  devices.push(device);
  const model = await openModel(folderFiles(folder), device);
  const adapter = attach(model, await make(model));
  let before = new Map<string, FileContent>();
  for await (const { step } of trainSequences(model, adapter.parameters, sequences, { maxSteps: 6 })) {
    if (step === 6) before = await adapterFiles(adapter);
  }
  device.gpu.destroy();
  const after = await adapterFiles(adapter);
  if (adapter.parameters.kept) expect([...after.keys()]).toEqual([...before.keys()]);
  else expect(after).toEqual(before);
});

test("a closed device is no lost one: nothing older is saved in silence", async () => {
  const { device, model, adapter } = await openAdapter();
  for await (const _ of trainSequences(model, adapter.parameters, sequences, { maxSteps: 2 }));
  device.close();
  await expect(adapterFiles(adapter)).rejects.toThrow(/was closed[\s\S]*before device\.close\(\)/);
});

describe("where there is no memory for a step", () => {
  /** Large buffers are more than the device has from now on. */
  function exhaust({ gpu }: Device): () => void {
    const create = gpu.createBuffer.bind(gpu);
    gpu.createBuffer = (descriptor) => {
      const isLarge = descriptor.size >= 1024;
      return create(isLarge ? { ...descriptor, size: 2 * gpu.limits.maxBufferSize } : descriptor);
    };
    return () => {
      gpu.createBuffer = create;
    };
  }

  test("the adapter is as after a finished step, and can be trained on", async () => {
    const { device, model, adapter } = await openAdapter();
    const { flat } = adapter.parameters;
    const states = [await flat.read()];
    const long = Array.from({ length: 32 }, (_, at) => (3 + 7 * at) % 40);
    const rows = [...sequences.slice(0, 1), { inputIds: long, labels: long }];
    const options = { batchSize: 1, shuffle: false, learningRate: 1e-2 };
    // The submission of the long row is refused. The update, in one of its own, would take the gradients of the step before.
    const update = Optimizer.prototype.step;
    vi.spyOn(Optimizer.prototype, "step").mockImplementation(function (this: Optimizer, ...given) {
      device.stream.flush();
      return update.apply(this, given);
    });
    let recover = () => {};
    const run = async () => {
      for await (const { step } of trainSequences(model, adapter.parameters, rows, options)) {
        states.push(await flat.read());
        if (step === 1) recover = exhaust(device);
      }
    };
    const error = await run().catch((reason: Error) => reason);
    recover();
    expect(error).toMatchObject({
      kind: "out-of-memory",
      message: expect.stringMatching(/use a smaller[\s\S]*→ what was learnt until step 1 can be saved/),
    });
    expect(await flat.read()).toEqual(states[1]);
    for await (const { skipped } of trainSequences(model, adapter.parameters, rows, options))
      expect(skipped).toBe(false);
  });

  test("of the copy itself, training goes on without it", async () => {
    const { device, model, adapter } = await openAdapter();
    const create = device.gpu.createBuffer.bind(device.gpu);
    const { flat } = adapter.parameters;
    device.gpu.createBuffer = (descriptor) => {
      const isCopy = descriptor.size >= flat.byteLength && descriptor.usage === (0x1 | 0x8);
      return create(isCopy ? { ...descriptor, size: 2 * device.limits.maxBufferSize } : descriptor);
    };
    for await (const _ of trainSequences(model, adapter.parameters, sequences, { maxSteps: 2 }));
    device.gpu.createBuffer = create;
    expect(adapter.parameters.mirror?.newest).toBeUndefined();
    expect((await adapterFiles(adapter)).size).toBe(2);
    expect(adapter.parameters.mirror?.newest?.step).toBe(2);
  });
});
