import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import * as node from "../src/index.node.ts";
import * as web from "../src/index.web.ts";
import { openNodeEngine } from "./engine/node-engine.ts";
import { fixturePath, openTestModel } from "./support/fixtures.ts";
import { ROOT } from "./support/shaders.ts";

const { lora, attach } = node;
const FOLDER = fixturePath("llama-tied");
const ids = [{ inputIds: [1, 2, 3], labels: [-100, 2, 3] }];
const rows = [{ text: "a" }];
const pairs = [{ prompt: "a", chosen: "b", rejected: "c" }];

let model: node.Model;
let adapter: node.Adapter<node.Lora>;
let tokenizer: node.Tokenizer;

beforeAll(async () => {
  model = await openTestModel(FOLDER);
  adapter = attach(model, lora({ r: 2 }));
  const demo = await openTestModel(join(ROOT, "models/demo"));
  tokenizer = demo.tokenizer as node.Tokenizer;
  demo.release();
});

const objective = () => node.languageModelling(model);
const none = {} as never;

const MODEL_WANTED = /model is an object with .*, wanted a model, as loadModel gives it/;
const ADAPTER_WANTED = /adapter is an object with .*, wanted an adapter, as attach gives it/;

/** Every public function that takes an options object, by the type of that object. */
const CALLS: Record<string, (options: never) => unknown> = {
  LoraOptions: (options) => lora(options),
  LnTuningOptions: (options) => node.lnTuning(options),
  VeraOptions: (options) => node.vera(options),
  PromptTuningOptions: (options) => node.promptTuning(options),
  PrefixTuningOptions: (options) => node.prefixTuning(options),
  BottleneckOptions: (options) => node.bottleneck(options),
  AdaLoraOptions: (options) => node.adalora(options),
  BeftOptions: (options) => node.beft(options),
  PTuningOptions: (options) => node.pTuning(options),
  OftOptions: (options) => node.oft(options),
  Ia3Options: (options) => node.ia3(options),
  LohaOptions: (options) => node.loha(options),
  LokrOptions: (options) => node.lokr(options),
  AttachOptions: (options) => attach(model, lora(), options),
  TrainerOptions: (options) => node.trainObjective(objective(), adapter.parameters, ids, options).next(),
  "TrainerOptions of trainSequences": (options) =>
    node.trainSequences(model, adapter.parameters, ids, options).next(),
  TrainOptions: (options) => node.train(model, adapter, rows, options).next(),
  TaskOptions: (options: object) =>
    node.train(model, adapter, pairs, { task: { name: "dpo", ...options } }).next(),
  TaskChoice: (options: object) => node.evaluate(model, pairs, { task: { name: "kto", ...options } }),
  ReferenceOptions: (options: object) =>
    node.train(model, adapter, pairs, { task: { name: "kto", ...options } }).next(),
  TokenizeOptions: (options) => node.evaluate(model, rows, options), // of train and evaluate
  EvaluateOptions: (options) => node.evaluate(model, rows, options),
  LossMapOptions: (options) => node.lossMap(model, rows, options),
  EvaluationOptions: (options) => node.evaluateClassifier(none, [1], options),
  "EvaluationOptions of taggers": (options) => node.evaluateTagger(none, ids, options),
  MeanLossOptions: (options) => node.meanLoss(objective(), ids, options),
  GenerateOptions: (options) => node.generate(model, "a", options).next(),
  BatchOptions: (options) => node.generateBatch(model, ["a"], options).next(),
  ConversationOptions: (options) => new node.Conversation(model, options),
  "GenerateOptions of a conversation": (options) => new node.Conversation(model).ask("a", options).next(),
  TokenOptions: (options) => node.generateTokens(model, [1], options).next(),
  SamplingOptions: (options) => node.generateTokens(model, [1], options).next(),
  ReadOptions: (options) => node.readRows(node.blobFile("a.jsonl", new Blob([])), options),
  ReadRowsOptions: (options) => node.readRows(node.blobFile("a.jsonl", new Blob([])), options),
  StreamRowsOptions: (options) => node.streamRows(node.blobFile("a.jsonl", new Blob([])), options),
  InspectDataOptions: (options) => node.inspectData(model, rows, options),
  "SourceOptions of downloadModel": (options) => node.downloadModel(FOLDER, options),
  "SourceOptions of downloadModel on the web": (options) => web.downloadModel("./none", options),
  "SourceOptions of loadModelText": (options) => node.loadModelText(FOLDER, options),
  "SourceOptions of loadModelText on the web": (options) => web.loadModelText("./none", options),
  PreferenceOptions: (options) => node.tokenizePreferences([], tokenizer, options),
  "PreferenceOptions of answers one by one": (options) => node.tokenizeJudged([], tokenizer, options),
  ConvertOptions: (options) => node.convertAdapter(node.folderFiles(`${FOLDER}/adapter`), options),
  ConvertStartOptions: (options) => node.convertStart(model, node.memoryFiles("none", new Map()), options),
  ConvertToLoraOptions: (options) => node.convertToLora(model, adapter, options),
  GgufModelOptions: (options) => node.ggufModel(model, adapter, node.folderFiles(FOLDER), options),
  CombineOptions: (options) => node.combineAdapters([], options),
  InspectAdapterOptions: (options) => node.inspectAdapter(node.folderFiles(`${FOLDER}/adapter`), options),
  MergeOptions: (options) => node.mergedFiles(model, adapter, node.memoryFiles("none", new Map()), options),
  LayerInputOptions: (options) => node.layerInputs(model, ids, options),
  StartOptions: (options) => node.startLora(model, lora(), options),
  TuneOptions: (options) => node.tune(model, options),
  DpoOptions: (options) => node.dpo(model, options),
  AnswerLossOptions: (options) => node.dpo(model, options), // of all of them
  OrpoOptions: (options) => node.orpo(model, options),
  CpoOptions: (options) => node.cpo(model, options),
  KtoOptions: (options) => node.kto(model, options),
  RewardOptions: (options) => node.rewardModelling(none, options),
  "EvaluationOptions of reference scores": (options) =>
    node.withReferenceScores(node.dpo(model), [], options),
  ContrastiveOptions: (options) => node.contrastive(none, options),
  MaskOptions: (options) => node.tokenMasker(options),
  RenderOptions: (options) => node.renderChat([], none, options),
  EncodeOptions: (options) => tokenizer.encode("a", options),
  DecodeOptions: (options) => tokenizer.decode([1], options),
  DecodeStreamOptions: (options) => tokenizer.decodeStream(options),
  HeadChoice: (options) => node.loadTaskModel(FOLDER, options),
  OpenOptions: (options) => node.loadModel(node.folderFiles(FOLDER), options),
  LoadOptions: (options) => node.loadModel(FOLDER, options),
  "LoadOptions of tasks": (options) => node.loadTaskModel(FOLDER, options),
  PlanOptions: (options) => node.planTraining(node.folderFiles(FOLDER), options),
  MeasuredOptions: (options) => node.planTraining(FOLDER, options), // among those of a plan
  "PlanOptions on the web": (options) => web.planTraining("./none", options),
  "LoadOptions on the web": (options) => web.loadModel("./none", options),
  "LoadOptions of tasks on the web": (options) => web.loadTaskModel("./none", options),
  LoadAdapterOptions: (options) => node.loadAdapter(model, `${FOLDER}/adapter`, options),
  "LoadAdapterOptions on the web": (options) => web.loadAdapter(model, "./none", options),
  SourceOptions: (options) => node.saveMerged(model, adapter, "/nowhere/at/all", options),
  SaveAdapterOptions: (options) => node.saveAdapter(adapter, "/nowhere/at/all", options),
  DeviceOptions: (options) => node.openDevice(options),
  EngineDeviceOptions: async (options) => (await engine()).openDevice(options),
  EngineLoadOptions: async (options) => (await engine()).loadModel(FOLDER, options),
  EngineAttachOptions: async (options) => (await engineModel()).attach({ method: "lora" }, options),
  EngineAdapterOptions: async (options) => (await engineModel()).load(options),
  EngineTrainOptions: async (options) => (await engineModel()).train(options),
  EnginePlanOptions: async (options) => (await engine()).planTraining(FOLDER, options),
  EngineInspectOptions: async (options) => (await engine()).inspectData(FOLDER, rows, options),
  EngineConvertOptions: async (options) => (await engineModel()).convert(options),
  "EngineTrainOptions, keep": async (options) =>
    (await engineModel()).train({ keep: options as node.KeptRun }),
};

/** Of what a method's author calls for every layer: TypeScript alone looks at them. */
const BY_TYPES = ["TargetOptions", "MatmulOptions"];

test("every exported options type is in the list", () => {
  const api = readFileSync(join(ROOT, "src/api.ts"), "utf8");
  const names = new Set(api.match(/\b\w+(?:Options|Choice)\b/g));
  expect([...names].filter((name) => !(name in CALLS) && !BY_TYPES.includes(name))).toEqual([]);
});

/** An engine at the other end of a channel. */
const engine = () => openNodeEngine({ openDevice: node.openDevice });

/** One with a model. */
async function engineModel() {
  const engine = await openNodeEngine();
  const model = await engine.loadModel(FOLDER);
  return {
    attach: (method: node.EngineMethod, options: node.EngineAttachOptions) =>
      engine.attach(model, method, options),
    load: (options: node.EngineAdapterOptions) => engine.loadAdapter(model, `${FOLDER}/adapter`, options),
    train: async (options: node.EngineTrainOptions) => {
      const adapter = await engine.attach(model, { method: "lora" });
      return engine.train(model, adapter, [{ text: "a b" }], options).ended;
    },
    convert: async (options: node.EngineConvertOptions) =>
      engine.convertAdapter(await engine.attach(model, { method: "lora" }), options),
  };
}

const call = async (name: string, options: object) => CALLS[name]?.(options as never);

test.each(Object.keys(CALLS))("%s: an option that there is not is refused by name", async (name) => {
  await expect(call(name, { surely_unknown: 1 })).rejects.toThrow(
    /surely_unknown is unknown[\s\S]*the options are \w+/,
  );
  await expect(call(name, null as unknown as object)).rejects.toThrow();
});

test.each([
  ["LoraOptions", { lora_alpha: 32 }, "lora_alpha is unknown; did you mean alpha?"],
  [
    "LoraOptions",
    { lora_r: 4, target_modules: "x", use_rslora: true },
    "target_modules is unknown; did you mean targetModules?",
  ],
  ["LoraOptions", { lora_dropout: 0.1 }, "did you mean dropout?"],
  ["PromptTuningOptions", { num_virtual_tokens: 4 }, "did you mean numVirtualTokens?"],
  [
    "PromptTuningOptions",
    { numVirtualTokens: 4, promptTuningInit: "text" },
    "wanted one of RANDOM, TEXT, SAMPLE_VOCAB",
  ],
  [
    "PrefixTuningOptions",
    { numVirtualTokens: 0 },
    "numVirtualTokens is 0, wanted a whole number of at least 1",
  ],
  ["BottleneckOptions", { reduction_factor: 2 }, "did you mean reductionFactor?"],
  ["BottleneckOptions", { adapterConfig: "pfeifer" }, "wanted one of seq_bn, pfeiffer,"],
  ["LoraOptions", { r: 0 }, "r is 0, wanted a whole number of at least 1"],
  ["LoraOptions", { r: "8" }, 'r is "8"'],
  ["LoraOptions", { dropout: 1.5 }, "dropout is 1.5"],
  ["LoraOptions", { targetModules: [1] }, "targetModules is [1]"],
  ["LoraOptions", { layersToTransform: [-1] }, "layersToTransform is [-1]"],
  ["TrainOptions", { learning_rate: 1 }, "did you mean learningRate?"],
  ["TrainOptions", { per_device_train_batch_size: 1 }, "did you mean batchSize?"],
  ["TrainOptions", { num_train_epochs: 1 }, "did you mean epochs?"],
  ["TrainOptions", { max_seq_length: 1 }, "did you mean maxLength?"],
  ["TrainOptions", { maxSteps: -1 }, "maxSteps is -1, wanted a whole number of at least 1"],
  ["TrainOptions", { learningRate: Number.NaN }, "learningRate is NaN"],
  ["TrainOptions", { learningRate: 1e38 }, "learningRate is 1e+38, wanted a number above 0 and at most 1000"],
  ["TrainOptions", { eps: 1e-50 }, "eps is 1e-50, wanted a number of at least 1e-37 and at most 1"],
  ["TrainOptions", { betas: [0.9, 1 - 1e-12] }, "betas is [0.9, "],
  ["TrainOptions", { weightDecay: 1e308 }, "weightDecay is 1e+308"],
  ["TrainOptions", { maxGradNorm: 1e308 }, "maxGradNorm is 1e+308"],
  ["TrainOptions", { epochs: Number.POSITIVE_INFINITY }, "epochs is Infinity"],
  ["LoraOptions", { alpha: 1e308 }, "alpha is 1e+308, wanted a number of at least -1e+30 and at most 1e+30"],
  ["LoraOptions", { alphaPattern: { q_proj: 1e308 } }, 'alphaPattern["q_proj"] is 1e+308'],
  ["GenerateOptions", { temperature: Number.NaN }, "temperature is NaN"],
  ["GenerateOptions", { topP: 0 }, "topP is 0, wanted a number above 0 and at most 1"],
  ["GenerateOptions", { repetitionPenalty: 1e-300 }, "repetitionPenalty is 1e-300"],
  ["ContrastiveOptions", { scale: 1e308 }, "scale is 1e+308"],
  ["TrainOptions", { schedule: "cosin" }, "wanted one of linear, cosine, cosine_with_restarts"],
  ["TrainOptions", { betas: [0.9, 1] }, "betas is [0.9, 1]"],
  ["TrainOptions", { maxLength: 1 }, "maxLength is 1"],
  ["TrainOptions", { onData: 1 }, "onData is 1, wanted a function"],
  ["EvaluateOptions", { batchSize: 0 }, "batchSize is 0"],
  ["GenerateOptions", { max_new_tokens: 1 }, "did you mean maxNewTokens?"],
  ["GenerateOptions", { maxNewTokens: 0 }, "maxNewTokens is 0"],
  ["GenerateOptions", { stop: "x" }, 'stop is "x", wanted a list of texts'],
  ["LoadOptions", { revison: "x" }, "did you mean revision?"],
  ["LoadOptions", { device: "gpu" }, 'device is "gpu"'],
  ["LoadAdapterOptions", { token: 1 }, "token is 1, wanted a text"],
  ["DeviceOptions", { powerPreference: "low" }, 'powerPreference is "low"'],
])("%s: %j", async (name, options, message) => {
  await expect(call(name, options)).rejects.toThrow(message);
});

test("an option that is undefined counts as not given", () => {
  expect(lora({ r: undefined, alpha: undefined } as node.LoraOptions).options).toMatchObject({
    r: 16,
    alpha: 32,
  });
});

describe("what was released, is off or belongs elsewhere is refused", () => {
  const open = () => openTestModel(FOLDER);
  const first = (model: node.Model, { parameters }: node.Adapter) =>
    node.trainSequences(model, parameters, ids, { maxSteps: 1 }).next();

  test("an adapter of another model, one that is off and one that was released", async () => {
    const [one, other] = [await open(), await open()];
    const adapter = attach(one, lora({ r: 2 }));
    await expect(first(other, adapter)).rejects.toThrow(
      /train: the adapter is on another model \(.*llama-tied\)/,
    );
    const files = node.folderFiles(FOLDER);
    await expect(node.mergedFiles(other, adapter, files)).rejects.toThrow(/on another model/);
    await expect(node.saveMerged(other, adapter, "/nowhere/at/all")).rejects.toThrow(/on another model/);
    adapter.enable(false);
    await expect(first(one, adapter)).rejects.toThrow(/the adapter is off.*\n.*adapter.enable\(true\)/);
    adapter.enable(true);
    expect((await first(one, adapter)).value?.loss).toBeGreaterThan(0);
    adapter.release();
    expect(adapter.released).toBe(true);
    await expect(first(one, adapter)).rejects.toThrow(/the adapter was released/);
    await expect(node.saveAdapter(adapter, "/nowhere/at/all")).rejects.toThrow(/the adapter was released/);
    await expect(node.mergedFiles(one, adapter, files)).rejects.toThrow(/the adapter was released/);
  });

  test("a model that was released", async () => {
    const gone = await open();
    const adapter = attach(gone, lora({ r: 2 }));
    gone.release();
    gone.release(); // once more changes nothing
    const said = /the model was released[\s\S]*load it again/;
    await expect(first(gone, adapter)).rejects.toThrow(said);
    await expect(node.train(gone, adapter, rows).next()).rejects.toThrow(said);
    await expect(node.generateTokens(gone, [1]).next()).rejects.toThrow(said);
    await expect(node.meanLoss(node.languageModelling(gone), ids)).rejects.toThrow(said);
    await expect(node.tune(gone)).rejects.toThrow(said);
    await expect(node.loadAdapter(gone, `${FOLDER}/adapter`)).rejects.toThrow(said);
    await expect(node.saveMerged(gone, adapter, "/nowhere/at/all")).rejects.toThrow(said);
    expect(() => attach(gone, lora())).toThrow(said);
  });
});

describe("arguments in each other's place are told apart", () => {
  const as = (value: unknown) => value as never;
  const swapped: [string, () => unknown, RegExp][] = [
    ["train", () => node.train(as(adapter), as(model), rows).next(), MODEL_WANTED],
    [
      "train",
      () => node.train(model, as(undefined), rows).next(),
      /train: .*\n.*adapter is missing, wanted an adapter/,
    ],
    ["train", () => node.train(model, as(model), rows).next(), ADAPTER_WANTED],
    [
      "train",
      () => node.trainSequences(model, as(adapter), ids).next(),
      /parameters is an object with name, method/,
    ],
    ["train", () => node.trainSequences(as(adapter), as(model), ids).next(), MODEL_WANTED],
    [
      "train",
      () => node.trainObjective(as(model), adapter.parameters, ids).next(),
      /wanted an objective, such as/,
    ],
    ["meanLoss", () => node.meanLoss(as(model), ids), /wanted an objective, such as/],
    ["evaluate", () => node.evaluateClassifier(as(model), ids), /wanted an objective, such as/],
    [
      "evaluate",
      () => node.evaluate(as(rows), as(model)),
      /model is \[an object with text\], wanted a model/,
    ],
    ["attach", () => attach(as(lora()), as(model)), MODEL_WANTED],
    [
      "attach",
      () => attach(as("a/model"), lora()),
      /model is "a\/model", wanted a model, as loadModel gives it/,
    ],
    ["generate", () => node.generate(as("a text"), as(model)).next(), /model is "a text", wanted a model/],
    ["generate", () => node.generateTokens(as([1]), as(model)).next(), /model is \[1\], wanted a model/],
    ["tune", () => node.tune(as(adapter)), MODEL_WANTED],
    ["languageModelling", () => node.languageModelling(as(adapter)), MODEL_WANTED],
    ["sequenceClassification", () => node.sequenceClassification(as(adapter)), MODEL_WANTED],
    ["contrastive", () => node.contrastive(as(adapter)), MODEL_WANTED],
    [
      "saveAdapter",
      () => node.saveAdapter(as("out"), as(adapter)),
      /folder is an object with .*, wanted a text/,
    ],
    ["saveAdapter", () => node.saveAdapter(as(model), "/nowhere/at/all"), ADAPTER_WANTED],
    ["saveAdapter", () => node.adapterFiles(as(model)), ADAPTER_WANTED],
    ["saveMerged", () => node.saveMerged(as(adapter), as(model), "/nowhere/at/all"), MODEL_WANTED],
    ["merge", () => node.mergedFiles(model, as(model), node.folderFiles(FOLDER)), ADAPTER_WANTED],
    [
      "merge",
      () => node.mergedFiles(model, adapter, as(FOLDER)),
      /wanted files, as folderFiles or memoryFiles give/,
    ],
    ["loadAdapter", () => node.loadAdapter(as(adapter), "a/b"), MODEL_WANTED],
    ["loadModel", () => node.loadModel(as(model.device)), /wanted files, as/],
    ["loadModel", () => node.loadModel(as(undefined)), /reference is missing/],
  ];

  test.each(swapped)("%s", async (where, call, message) => {
    const error = await (async () => await call())().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(node.LoraError);
    expect((error as node.LoraError).where).toBe(where);
    expect((error as node.LoraError).message).toMatch(message);
  });

  test("no rows at all are no matter of their length", async () => {
    const said = /there are no rows\n {2}→ give one or more/;
    await expect(node.train({ ...model, tokenizer }, adapter, []).next()).rejects.toThrow(said);
    await expect(node.evaluate({ ...model, tokenizer }, [])).rejects.toThrow(said);
  });
});

describe("what stands before the options is checked, too", () => {
  const withTokenizer = () => ({ ...model, tokenizer });
  const wrong: [string, () => unknown, RegExp][] = [
    [
      "a row without keys",
      () => node.evaluate(withTokenizer(), [{} as never]),
      /row 1 has no keys, wanted "text"/,
    ],
    [
      "a prompt alone",
      () => node.evaluate(withTokenizer(), [{ prompt: "x" } as never]),
      /row 1 has keys "prompt"/,
    ],
    ["a text for rows", () => node.evaluate(withTokenizer(), "a" as never), /the rows are no list/],
    ["a row that is a text", () => node.evaluate(withTokenizer(), ["a" as never]), /row 1 is no object/],
    [
      "a prompt that is a number",
      () => node.generate(withTokenizer(), 5 as never).next(),
      /prompt is 5, wanted a text/,
    ],
    ["no reference", () => node.loadModel(undefined as never), /reference is missing, wanted a text/],
    ["a number for an adapter", () => node.loadAdapter(model, 5 as never), /reference is 5/],
    ["options for a method", () => attach(model, { r: 2 } as never), /attach: the method is none/],
    ["no folder", () => node.saveAdapter(adapter, ""), /folder is "", wanted a text/],
    ["no folder for a model", () => node.saveMerged(model, adapter, 5 as never), /folder is 5/],
    ["a list for a pattern", () => lora({ alphaPattern: [] as never }), /alphaPattern is \[\]/],
  ];
  test.each(wrong)("%s", async (_, call, message) => {
    await expect((async () => await call())()).rejects.toThrow(message);
  });
});
