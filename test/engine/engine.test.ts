import { readFileSync } from "node:fs";
import { expect, onTestFinished, test, vi } from "vitest";
import type { EnginePlatform } from "../../src/engine/platform.ts";
import type { EngineTrainOptions } from "../../src/engine/protocol.ts";
import {
  attach,
  blobFiles,
  convertAdapter,
  type Device,
  generate,
  LoraError,
  loadModel,
  lora,
  openDevice,
  type StepMetrics,
  train,
} from "../../src/index.node.ts";
import { errorOf } from "../io/helpers.ts";
import { testDevice } from "../support/device.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { openNodeEngine } from "./node-engine.ts";

const ROWS = ["one red lamp", "two blue cups", "three green hats", "four grey coats"].map((text) => ({
  prompt: "Once",
  completion: ` upon a time ${text}`,
}));
const METHOD = { method: "lora", r: 2, alpha: 4, dropout: 0.1, targetModules: ["q_proj"] };
const OPTIONS = { maxSteps: 4, batchSize: 2, learningRate: 1e-2, seed: 1 };

async function lossesOf(steps: AsyncIterable<StepMetrics>): Promise<number[]> {
  const losses: number[] = [];
  for await (const { loss } of steps) losses.push(loss);
  return losses;
}

async function textOf(pieces: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const piece of pieces) text += piece;
  return text;
}

/** The engine with the bundled model and a fresh adapter. */
async function open(changes: Partial<EnginePlatform> = {}) {
  const engine = await openNodeEngine(changes);
  const model = await engine.loadModel(BUNDLED_MODEL);
  const adapter = await engine.attach(model, METHOD, { seed: 3 });
  return { engine, model, adapter };
}

test("the engine trains, answers and saves as the library does", async () => {
  const { engine, model, adapter } = await open();
  const device = await testDevice();
  const plain = await loadModel(BUNDLED_MODEL, { device });
  const { method: _, ...given } = METHOD;
  const own = attach(plain, lora(given), { seed: 3 });
  expect(model.facts).toMatchObject({ name: BUNDLED_MODEL, defaultTargets: [...plain.defaultTargets] });
  expect(adapter.facts).toMatchObject({ type: "LORA", name: "default" });
  const reports: unknown[] = [];
  const run = engine.train(model, adapter, ROWS, { ...OPTIONS, onData: (report) => reports.push(report) });
  const expected = await lossesOf(train(plain, own, ROWS, OPTIONS));
  expect(await lossesOf(run)).toEqual(expected);
  expect(await run.ended).toEqual({ step: 4, stopped: false });
  expect(reports).toHaveLength(1);

  const asked = { maxNewTokens: 8 };
  const answers = [model, model.withAdapters([]), model.withAdapters([adapter])].map((each) =>
    textOf(engine.generate(each, "Once upon", asked)),
  );
  expect(await Promise.all(answers)).toEqual([
    await textOf(generate(plain, "Once upon", asked)),
    await textOf(generate(plain.withAdapters([]), "Once upon", asked)),
    await textOf(generate(plain, "Once upon", asked)),
  ]);
  expect((await engine.evaluate(model, ROWS)).loss).toBeLessThan(
    (await engine.evaluate(model.withAdapters([]), ROWS)).loss,
  );

  const files = await engine.adapterFiles(adapter);
  expect([...files.keys()]).toEqual(["adapter_config.json", "adapter_model.safetensors"]);
  const gguf = await engine.convertAdapter(adapter, { to: "gguf", ollamaFrom: "./base.gguf" });
  expect([...gguf.keys()]).toEqual(["adapter.gguf", "Modelfile"]);
  expect(await gguf.get("Modelfile")?.text()).toMatch(/^FROM \.\/base\.gguf\nADAPTER \.\/adapter\.gguf\n/);
  const base = async () => JSON.parse(readFileSync(`${BUNDLED_MODEL}/config.json`, "utf8"));
  const back = await convertAdapter(blobFiles("gguf", gguf), { to: "peft", baseConfig: base });
  expect(back.files.get("adapter_model.safetensors")).toEqual(
    new Uint8Array((await files.get("adapter_model.safetensors")?.arrayBuffer()) ?? []),
  );
  await expect(engine.convertAdapter(adapter, { to: "mlx", ollamaFrom: "a" })).rejects.toThrow(/for mlx/);
  await engine.enable(adapter, false);
  const again = await engine.loadAdapter(model, { label: "dropped", files }, { name: "again" });
  expect(await textOf(engine.generate(model, "Once upon", asked))).toBe(await answers[0]);
  await engine.release(again);
  own.release();
  plain.release();
});

test("what a run launches may be compiled before its first step, and is not compiled again", async () => {
  const devices: Device[] = [];
  onTestFinished(() => devices[0]?.close());
  const { engine, model, adapter } = await open({
    async openDevice(options) {
      devices.push(await openDevice(options));
      return devices[0]!;
    },
  });
  const { gpu } = devices[0]!;
  const told: string[] = [];
  const late = vi.spyOn(gpu, "createComputePipeline");
  const onCompile = (done: number, of: number) => told.push(`${done} of ${of}`);
  const losses = await lossesOf(engine.train(model, adapter, ROWS, { ...OPTIONS, onCompile }));
  const count = Number(/ of (\d+)/.exec(told[0] ?? "")?.[1]);
  expect(count).toBeGreaterThan(10);
  expect(told.at(-1)).toBe(`${count} of ${count}`);
  expect(late.mock.calls.map(([{ label }]) => label)).toEqual([]);
  await engine.release(adapter);
  const fresh = await engine.attach(model, METHOD, { seed: 3 });
  expect(losses).toEqual(await lossesOf(engine.train(model, fresh, ROWS, OPTIONS)));
});

test("rows come from files, too", async () => {
  const { engine, model, adapter } = await open();
  const text = ROWS.map((row) => JSON.stringify(row)).join("\n");
  const files = new Map([["rows.jsonl", new Blob([text])]]);
  const rows = { label: "dropped", files };
  const losses = await lossesOf(engine.train(model, adapter, rows, OPTIONS));
  await engine.release(adapter);
  const fresh = await engine.attach(model, METHOD, { seed: 3 });
  expect(losses).toEqual(await lossesOf(engine.train(model, fresh, ROWS, OPTIONS)));
});

test("a run is held, goes on and is stopped; a loop that is left stops it, too", async () => {
  const { engine, model, adapter } = await open();
  const options: EngineTrainOptions = { ...OPTIONS, maxSteps: 1000 };
  const run = engine.train(model, adapter, ROWS, options);
  const steps: number[] = [];
  for await (const { step } of run) {
    steps.push(step);
    if (step === 2) run.pause();
    if (step === 2) setTimeout(() => run.resume(), 50);
    if (step === 8) run.stop();
  }
  const { step, stopped } = await run.ended;
  expect({ step, stopped }).toEqual({ step: steps.length, stopped: true });
  expect(step).toBeLessThan(1000);

  const early = engine.train(model, adapter, ROWS, options);
  early.pause(); // before the worker has begun: at most one step is under way
  await new Promise((resolve) => setTimeout(resolve, 500));
  early.stop();
  expect(await early.ended).toEqual({ step: expect.toSatisfy((step) => step <= 1), stopped: true });

  const left = engine.train(model, adapter, ROWS, options);
  for await (const { step } of left) if (step === 2) break;
  expect(await left.ended).toMatchObject({ stopped: true });

  const stop = new AbortController();
  const aborted = engine.train(model, adapter, ROWS, { ...options, signal: stop.signal });
  for await (const { step } of aborted) if (step === 2) stop.abort();
  expect(await aborted.ended).toMatchObject({ stopped: true });
});

test("errors are the library's own, with kind and remedy", async () => {
  const { engine, model, adapter } = await open();
  const unknown = await errorOf(() => engine.attach(model, { method: "lroa" }));
  expect(unknown).toBeInstanceOf(LoraError);
  expect(unknown).toMatchObject({ kind: "input", where: "attach" });
  expect(String(unknown)).toMatch(/no method "lroa"[\s\S]*did you mean lora\?/);
  const wrong = await errorOf(async () =>
    lossesOf(engine.train(model, adapter, ROWS, { maxStep: 3 } as object)),
  );
  expect(String(wrong)).toMatch(/train: [\s\S]*did you mean maxSteps/);
  const missing = await errorOf(() => engine.loadModel("./nowhere"));
  expect(String(missing)).toMatch(/no such folder/);
  await engine.release(model);
  const released = await errorOf(() => textOf(engine.generate(model, "Once")));
  expect(String(released)).toMatch(/the model was released[\s\S]*open it again/);
  engine.close();
  expect(String(await errorOf(() => engine.loadModel(BUNDLED_MODEL)))).toMatch(/the engine was closed/);
});

test("a chat goes on", async () => {
  const { engine, model } = await open();
  const template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:";
  const chat = await engine.chat(model, { chatTemplate: template, maxNewTokens: 4 });
  const answer = await textOf(chat.ask("Once"));
  expect(chat.messages).toEqual([
    { role: "user", content: "Once" },
    { role: "assistant", content: answer.trimEnd() },
  ]);
  await textOf(chat.ask("again"));
  expect(chat.messages).toHaveLength(4);
});

test("where the device is lost in the middle, the run goes on on another one to the same losses", async () => {
  const undisturbed = await open();
  const expected = await lossesOf(
    undisturbed.engine.train(undisturbed.model, undisturbed.adapter, ROWS, OPTIONS),
  );
  const devices: Device[] = [];
  onTestFinished(() => devices.at(-1)?.close());
  const { engine, model, adapter } = await open({
    async openDevice(options) {
      devices.push(await openDevice(options));
      return devices.at(-1)!;
    },
  });
  const other = await engine.attach(model, METHOD, { seed: 4, name: "other" });
  await engine.enable(other, false);
  const news: string[] = [];
  const run = engine.train(model, adapter, ROWS, { ...OPTIONS, onLoss: ({ message }) => news.push(message) });
  const losses: number[] = [];
  for await (const { step, loss } of run) {
    losses.push(loss);
    if (step === 2) devices[0]!.gpu.destroy();
  }
  expect(losses).toEqual(expected);
  expect(news).toHaveLength(1);
  expect(devices).toHaveLength(2);
  expect((await engine.evaluate(model.withAdapters([other]), ROWS)).loss).toBeGreaterThan(0);
});
