import { describe, expect, test } from "vitest";
import { type Adapter, attach } from "../../src/adapters/adapter.ts";
import { configOf } from "../../src/adapters/config-fields.ts";
import type { Method } from "../../src/adapters/method.ts";
import { METHODS } from "../../src/adapters/methods.ts";
import { Replay } from "../../src/gpu/replay.ts";
import type { Tensor } from "../../src/gpu/tensor.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { partsOf } from "../../src/kernels/weight.ts";
import { adapterFiles, loadAdapter } from "../../src/load/adapter.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type LoadedModel, type Model, openModel, openTaskModel } from "../../src/load/model.ts";
import { lastTokens } from "../../src/nn/chosen-tokens.ts";
import { isLeaf, modules } from "../../src/nn/module.ts";
import { readParameters } from "../../src/nn/parameters.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { languageModelling, uploadTokens } from "../../src/train/language-modelling.ts";
import { maskedLanguageModelling } from "../../src/train/masked-language-modelling.ts";
import { Optimizer } from "../../src/train/optimizer.ts";
import { accumulateGradients, evaluateBatch } from "../../src/train/pass.ts";
import { trainObjective } from "../../src/train/trainer.ts";
import { createRandom } from "../../src/util/random.ts";
import { relativeNormError } from "../support/compare.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath, openTestModel, readJsonFile, readTensors } from "../support/fixtures.ts";
import { collate } from "../support/layouts.ts";
import { wholeFiles as bytesOf } from "../support/merged-cases.ts";
import type { ContractCase } from "./contract-cases.ts";

interface Golden {
  input_ids: number[][];
  labels: number[][];
  lengths: number[];
  weight_decay: number;
  parameters: number;
  logits: number[];
  loss: number;
  losses: number[];
  learning_rates: number[];
}

/** What predicts tokens: the next ones, or masked ones. */
type TextModel = Model | LoadedModel<"masked-lm">;

const objectiveOf = (model: TextModel) =>
  model.task === "masked-lm" ? maskedLanguageModelling(model) : languageModelling(model);

/** What a method of the registry promises, against PEFT 0.21 and against central differences. */
export function keepsContract(cases: readonly ContractCase[]): void {
  describe.each(cases)("$method $fixture", keepsItsPart);
}

function keepsItsPart(contract: ContractCase): void {
  const BASE = fixturePath(contract.base ?? "llama-gqa");
  const folder = fixturePath(`methods/${contract.fixture ?? contract.method}`);
  const golden = readJsonFile<Golden>(folder, "golden.json");
  const sequences = golden.lengths.map((length, row) => ({
    inputIds: golden.input_ids[row]!.slice(0, length),
    labels: golden.labels[row]!.slice(0, length),
  }));
  const { layerReplication } = contract;
  const openBase = async (): Promise<TextModel> =>
    contract.masked
      ? openTaskModel(folderFiles(BASE), await testDevice(), { task: "masked-lm" })
      : openTestModel(BASE, { layerReplication });
  const lastLogits = async (model: TextModel) => {
    const { ids, geometry } = uploadTokens(model, collate([sequences[0]!], { padToMultipleOf: 1 }));
    const context = { training: false, seed: 0, geometry };
    return model.logits(lastTokens(model.hidden(ids, context), context)).read();
  };
  const openTrained = async () => {
    const model = await openBase();
    if (contract.network) return { model, adapter: await withNetwork(attach(model, contract.make())) };
    return { model, adapter: await loadAdapter(model, folderFiles(folder)) };
  };
  const withNetwork = async (adapter: Adapter) => {
    const values = await readTensors(folder, "network.safetensors");
    for (const { name, tensor } of adapter.parameters.entries) tensor.write(values.get(name)!);
    return adapter;
  };
  const openNew = async () => {
    const model = await openBase();
    return { model, adapter: attach(model, contract.make()) };
  };
  /** Of what is trained, which has a penalty on the parameters in it where the method has one. */
  const lossOf = async (model: TextModel, { parameters: { penalty } }: Adapter) => {
    const objective = objectiveOf(model);
    const batch = objective.collate(sequences, createRandom(0));
    const [sum = 0] = await evaluateBatch(objective, batch).read();
    const [more = 0] = penalty ? await penalty(1).read() : [];
    return sum / batch.terms + more;
  };
  /** Gradients of the mean loss, by the parameter's name. */
  const gradientsOf = async (model: TextModel, { parameters }: Adapter) => {
    const optimizer = new Optimizer(parameters);
    const objective = objectiveOf(model);
    const batch = objective.collate(sequences, createRandom(0));
    accumulateGradients(objective, parameters, optimizer.gradients, [batch], { seed: 0 });
    const entries = parameters.entries.map(async ({ name, tensor }) => {
      const sum = await optimizer.gradients.get(tensor)!.read();
      return [name, sum.map((value) => value / batch.terms)] as const;
    });
    const gradients = new Map(await Promise.all(entries));
    optimizer.release();
    return gradients;
  };

  test("passes that launch what one before them has launched give the same gradients", async () => {
    const { model, adapter } = await openTrained();
    const { parameters } = adapter;
    const objective = objectiveOf(model);
    const batch = objective.collate(sequences, createRandom(0));
    const optimizer = new Optimizer(parameters);
    const replay = new Replay(model.device);
    const gradients = async (seed: number, options: { readonly replay?: Replay }) => {
      optimizer.zeroGradients();
      accumulateGradients(objective, parameters, optimizer.gradients, [batch], { seed, ...options });
      return Buffer.from(await optimizer.flatGradients.readBytes());
    };
    for (let seed = 1; seed <= 4; seed++) {
      if (seed === 3) parameters.flat.write((await parameters.flat.read()).map((value) => 0.9 * value));
      const replayed = await gradients(seed, { replay });
      expect(replayed.equals(await gradients(seed, {}))).toBe(true);
    }
    optimizer.release();
  });

  test(contract.changesAtStart ?? "a new adapter leaves the model as it is", async () => {
    const { model } = await openNew();
    const [before, after] = [await lastLogits(model.withAdapters([])), await lastLogits(model)];
    if (contract.changesAtStart === undefined)
      expect(after).toBeClose(before, contract.startTolerance ?? 1e-6);
    else expect(after).not.toEqual(before);
  });

  test("it has as many parameters as PEFT's", async () => {
    const { adapter } = await openNew();
    const count = adapter.parameters.entries.reduce((sum, { tensor }) => sum + tensor.size, 0);
    expect(count).toBe(golden.parameters);
    expect(adapter.method.type).toBe(METHODS.find(({ name }) => name === contract.method)!.type);
  });

  test("scores, loss and gradients are PEFT's", async () => {
    const { model, adapter } = await openTrained();
    expect(await lastLogits(model)).toBeClose(golden.logits, 1e-5);
    expect(Math.abs((await lossOf(model, adapter)) - golden.loss)).toBeLessThan(1e-5);
    const wanted = await readTensors(folder, "gradients.safetensors");
    const gradients = await gradientsOf(model, adapter);
    expect(gradients.size).toBe(wanted.size);
    for (const [name, gradient] of gradients) {
      const stored = nameInFile(adapter, name);
      const turned = laidOut(name, adapter, gradient);
      expect(relativeNormError(turned, wanted.get(stored)!), name).toBeLessThan(1e-3);
    }
  });

  test("gradients are those of central differences", async () => {
    const { model, adapter } = await openTrained();
    const gradients = await gradientsOf(model, adapter);
    const hold = await contract.holdConstants?.(adapter);
    for (const { name, tensor } of adapter.parameters.entries) {
      const values = await tensor.read();
      const random = createRandom(5).fork(name);
      const gradient = gradients.get(name)!;
      // Along the gradient, roughly: a direction in which there is something to measure.
      const norm = Math.hypot(...gradient);
      const step = gradient.map((value) => (value / norm) * (0.5 + random.uniform()));
      const at = async (h: number) => {
        tensor.write(values.map((value, i) => value + h * step[i]!));
        await hold?.(name);
        return lossOf(model, adapter);
      };
      const h = contract.step ?? 5e-3;
      const slope = ((await at(h)) - (await at(-h))) / (2 * h);
      tensor.write(values);
      await hold?.(name);
      const wanted = gradient.reduce((sum, value, i) => sum + value * step[i]!, 0);
      expect(Math.abs(slope - wanted) / Math.abs(wanted), name).toBeLessThan(2e-2);
    }
  });

  test("ten AdamW steps have PEFT's losses, and change its own tensors alone", async () => {
    const { model, adapter } = await openTrained();
    const still = [...modules(model.root)]
      .filter(isLeaf)
      .flatMap(({ tensors }) => Object.values(tensors).flatMap(partsOf));
    // What a method keeps from step to step is no part of the model.
    const frozen = adapter.parameters.kept ? [] : (adapter.frozen?.entries.map(({ tensor }) => tensor) ?? []);
    const bytes = (tensors: readonly Tensor[]) => Promise.all(tensors.map((tensor) => tensor.readBytes()));
    const before = [await bytes(still), await bytes(frozen)];
    const start = await readParameters(adapter.parameters);
    const losses: number[] = [];
    const options = {
      maxSteps: 10,
      batchSize: 3,
      learningRate: 5e-3,
      schedule: "linear",
      warmupSteps: 3,
      weightDecay: golden.weight_decay,
      maxGradNorm: 1,
      shuffle: false,
    } as const;
    for await (const { loss } of trainObjective(objectiveOf(model), adapter.parameters, sequences, options))
      losses.push(loss);
    for (const [i, loss] of losses.entries()) expect(Math.abs(loss - golden.losses[i]!)).toBeLessThan(1e-4);
    expect([await bytes(still), await bytes(frozen)]).toEqual(before);
    for (const [name, values] of await readParameters(adapter.parameters)) {
      expect(values, name).not.toEqual(start.get(name));
    }
  });

  test("saved and loaded, it is the same to the bit, and so are its files", async () => {
    const { model, adapter } = await openTrained();
    const files = await adapterFiles(adapter);
    const other = await openBase();
    const again = await loadAdapter(other, memoryFiles("again", await bytesOf(files)));
    const parts = async ({ parameters, frozen }: Adapter) => [
      await readParameters(parameters),
      frozen && (await readParameters(frozen)),
    ];
    if (!contract.network) expect(await parts(again)).toEqual(await parts(adapter));
    const [ours, before] = [await lastLogits(other), await lastLogits(model)];
    if (!contract.network) expect(ours).toEqual(before);
    else {
      expect(ours).toBeClose(before, contract.startTolerance ?? 1e-6); // the file has what the host computes
      const peft = await openBase();
      await loadAdapter(peft, folderFiles(folder));
      expect(await lastLogits(peft)).toBeClose(golden.logits, 1e-5);
    }
    expect(await bytesOf(await adapterFiles(again))).toEqual(await bytesOf(files));
  });

  test("the files that it writes are PEFT's own to the byte, but for the model's name", async () => {
    const { adapter } = await openTrained();
    const peft = folderFiles(folder);
    for (const [name, content] of await bytesOf(await adapterFiles(adapter))) {
      const own = await peft.read(name, 0, (await peft.size(name)) as number);
      const text = (bytes: Uint8Array) =>
        new TextDecoder().decode(bytes).replace(/"(?:base_model_name_or_path|model_name)": "[^"]*"/, "");
      if (name.endsWith(".json")) expect(text(content)).toBe(text(own));
      else if (contract.network)
        expect(content.length, name).toBe(own.length); // computed in another order
      else expect(Buffer.from(content).equals(Buffer.from(own)), name).toBe(true);
    }
  });

  test(contract.unmergeable ?? "merged, the model does what the adapter does", async () => {
    const { model, adapter } = await openTrained();
    const merging = mergedFiles(model as Model, adapter, folderFiles(BASE));
    if (contract.unmergeable !== undefined) {
      await expect(merging).rejects.toThrow(contract.unmergeable);
      return;
    }
    const files = memoryFiles("merged", await bytesOf(await merging));
    const merged = await openModel(files, await testDevice());
    expect(await lastLogits(merged)).toBeClose(await lastLogits(model), contract.mergeTolerance ?? 1e-5);
  });
}

const kindOf = ({ type }: Method) => METHODS.find((kind) => kind.type === type)!;

/** A parameter's gradient as its file has the parameter. */
function laidOut(name: string, { method, parameters }: Adapter, data: Float32Array): Float32Array {
  const own = name.slice(name.lastIndexOf(".") + 1);
  const { shape } = parameters.entries.find((entry) => entry.name === name)!.tensor;
  return kindOf(method).codec.held?.({ [own]: { shape, data } })[own]?.data ?? data;
}

/** What a parameter is called in PEFT's file. */
function nameInFile({ method, sites, shared }: Adapter, name: string): string {
  const { codec } = kindOf(method);
  const config = configOf(codec, {});
  for (const { module, tensors } of sites) {
    const own = Object.keys(tensors).find((tensor) => name === `${module.path}.${tensor}`);
    const end = codec.tensors[own ?? ""];
    if (end !== undefined)
      return codec.layout?.tensorName(module.path, end, config) ?? `base_model.model.${module.path}.${end}`;
  }
  if (Object.hasOwn(shared, name)) return codec.shared?.[name] ?? name;
  const isSite = (path: string) => sites.some(({ module }) => module.path === path);
  return `base_model.model.${codec.fileName?.(name, isSite) ?? name}`;
}
