// What the page of engine-browser.test.ts does: it has the engine in a worker, and is called from outside.
import { createWorkerEngine } from "../../src/platform/web-engine.ts";

const ROWS = ["one red lamp", "two blue cups", "three green hats"].map((text) => ({ text }));
const METHOD = { method: "lora", r: 2, dropout: 0.1, targetModules: ["q_proj"] };
const OPTIONS = { maxSteps: 6, batchSize: 1, learningRate: 1e-2, seed: 1 };

async function open() {
  const engine = await createWorkerEngine();
  const model = await engine.loadModel("/model");
  return { engine, model, adapter: await engine.attach(model, METHOD, { seed: 3 }) };
}

type Opened = Awaited<ReturnType<typeof open>>;
let opened: Promise<Opened> | undefined;

/** Step and loss of all that was told. */
const steps: [step: number, loss: number][] = [];
const losses: string[] = [];

/**
 * Trains, with the run's state in a folder where one is given.
 * @param hold the step behind which it is held
 */
async function train(folder?: string, hold = Number.POSITIVE_INFINITY) {
  opened ??= open();
  const { engine, model, adapter } = await opened;
  let compiled = 0;
  const onCompile = (done: number) => {
    compiled = done;
  };
  const how = folder === undefined ? { onCompile } : { keep: { folder, seconds: 0 } };
  const run = engine.train(model, adapter, ROWS, {
    ...OPTIONS,
    ...how,
    onLoss: ({ message }) => losses.push(message),
  });
  for await (const { step, loss } of run) {
    steps.push([step, loss]);
    if (step === hold) run.pause();
  }
  return { steps, losses, compiled, digest: await digestOf(await opened) };
}

async function digestOf({ engine, adapter }: Opened): Promise<string> {
  const files = await engine.adapterFiles(adapter);
  const bytes = await (files.get("adapter_model.safetensors") as Blob).arrayBuffer();
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].join(" ");
}

/** Saves the adapter in the storage of the site, loads it again, and asks through both. */
async function saveAndLoad() {
  const { engine, model, adapter } = await (opened as Promise<Opened>);
  await engine.saveAdapter(adapter, "adapters/mine");
  const root = await navigator.storage.getDirectory();
  const folder = await (await root.getDirectoryHandle("adapters")).getDirectoryHandle("mine");
  const loaded = await engine.loadAdapter(model, folder, { name: "loaded" });
  const texts: string[] = [];
  for (const each of [adapter, loaded]) {
    let text = "";
    const pieces = engine.generate(model.withAdapters([each]), "Once upon", { maxNewTokens: 6 });
    for await (const piece of pieces) text += piece;
    texts.push(text);
  }
  return texts;
}

const PAIRS = [
  { prompt: "Tom put", chosen: " 9 pink candles in the barn.", rejected: " 3 red lamps." },
  { prompt: "Where", chosen: " is it?", rejected: " are 3 red lamps." },
];
const TEXTS = ["one red lamp", "two red hats", "one blue cup", "two blue coats"].map((text) => ({
  text,
  label: text.startsWith("one") ? "one" : "more",
}));

/** Learns which answers are better, and then classes with a head of their own, in one worker. */
async function trainTasks() {
  const engine = await createWorkerEngine();
  const model = await engine.loadModel("/model");
  const preferring = await engine.attach(model, METHOD, { seed: 3 });
  const task = { name: "dpo", beta: 0.3 } as const;
  const options = { ...OPTIONS, maxSteps: 3, batchSize: 2 };
  const preferred: number[] = [];
  for await (const { loss } of engine.train(model, preferring, PAIRS, { ...options, task }))
    preferred.push(loss);
  const { metrics } = await engine.evaluate(model, PAIRS, { task });
  await engine.release(model);

  const head = { task: "sequence-classification", labels: ["more", "one"] } as const;
  const classifier = await engine.loadTaskModel("/model", head);
  const telling = await engine.attach(classifier, METHOD, { seed: 3 });
  const before = await engine.evaluate(classifier, TEXTS);
  const run = engine.train(classifier, telling, TEXTS, { ...options, maxSteps: 8 });
  await run.ended;
  const after = await engine.evaluate(classifier, TEXTS);
  const { report } = await engine.inspectData(classifier, TEXTS);
  engine.close();
  return { preferred, metrics, labels: report.labels, before, after };
}

Object.assign(globalThis, { train, trainTasks, saveAndLoad, steps });
