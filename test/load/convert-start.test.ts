// PiSSA and OLoRA as PEFT saves them unconverted (make_starts.py --peft-files), made plain LoRA.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { denseChange } from "../../src/adapters/combine/low-rank.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { loadAdapter } from "../../src/load/adapter.ts";
import { convertStart } from "../../src/load/convert/convert-start.ts";
import { type PeftModule, readPeftAdapter } from "../../src/load/lora-files.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { filesOf } from "../io/helpers.ts";
import { type AdapterEdit, editedAdapter } from "../support/adapters.ts";
import { relativeNormError } from "../support/compare.ts";
import { contextOf } from "../support/context.ts";
import {
  fixturePath,
  type Golden,
  goldenSequences,
  openTestModel,
  readJsonFile,
} from "../support/fixtures.ts";
import { wholeFiles } from "../support/merged-cases.ts";

const base = fixturePath("llama-gqa");
const row = goldenSequences(readJsonFile<Golden>(base, "golden.json"))[0]!.inputIds;

async function converted(name: string) {
  const [model, folder] = [await openTestModel(base), fixturePath(`starts/${name}`)];
  const warnings: string[] = [];
  const options = { onWarning: (line: string) => warnings.push(line) };
  const { files, layers } = await convertStart(model, folderFiles(folder), options);
  const config = JSON.parse(files.get("adapter_config.json") as string);
  return { model, folder, layers, config, warnings, source: memoryFiles(name, await wholeFiles(files)) };
}

test.each(["pissa", "olora", "pissa-head"])("%s computes what PEFT does on its own base", async (name) => {
  const { model, folder, config, warnings, source } = await converted(name);
  expect([warnings, config.init_lora_weights, config.r]).toEqual([[], true, 8]);
  await loadAdapter(model, source);
  const ids = fromArray(model.device, Uint32Array.from(row), [1, row.length]);
  const logits = await model.logits(model.hidden(ids, contextOf(ids, [row.length]))).read();
  const wanted = readJsonFile<{ logits: number[] }>(folder, "golden.json").logits;
  expect(relativeNormError(logits.subarray(-model.config.vocabSize), wanted)).toBeLessThan(5e-5);
  model.release();
});

function changeOf({ lora_A: { data: A, shape }, lora_B: { data: B }, r, scale }: PeftModule): Float32Array {
  const inFeatures = shape[1] as number;
  return denseChange({ inFeatures, outFeatures: B.length / r, r, A, B, scale });
}

test.each(["pissa", "olora"])("%s is PEFT's own conversion, as near as it says", async (name) => {
  const { model, folder, layers, config, source } = await converted(name);
  const plain = new Uint8Array(readFileSync(join(folder, "plain.safetensors")));
  const peft = filesOf({ "adapter_config.json": config, "adapter_model.safetensors": plain });
  const [theirs, own] = [await readPeftAdapter(peft), await readPeftAdapter(source)];
  expect([...own.tensors.keys()]).toEqual([...theirs.tensors.keys()]);
  expect(layers.map(({ path }) => path).sort()).toEqual([...theirs.tensors.keys()].sort());
  for (const { path, error } of layers) {
    const [a, b] = [own, theirs].map(({ tensors }) => changeOf(tensors.get(path)!));
    const found = relativeNormError(a!, b!);
    expect(error, path).toBeLessThan(1e-3);
    expect(found, path).toBeLessThan(2 * error);
  }
  model.release();
});

test("another base model is told of, and what began otherwise is refused", async () => {
  const [model, folder] = [await openTestModel(base), fixturePath("starts/pissa")];
  const written = new Map<string, Uint8Array | string>([
    ["adapter_config.json", readFileSync(join(folder, "adapter_config.json"), "utf8")],
    ["adapter_model.safetensors", new Uint8Array(readFileSync(join(folder, "adapter_model.safetensors")))],
  ]);
  const warnings: string[] = [];
  const onWarning = (line: string) => warnings.push(line);
  const change: AdapterEdit["change"] = (entry) => {
    const values = new Float32Array(entry.data.slice().buffer as ArrayBuffer).reverse();
    return { ...entry, data: new Uint8Array(values.buffer) };
  };
  await convertStart(model, editedAdapter(written, { change }), { onWarning });
  expect(warnings).toEqual([expect.stringMatching(/^6 of 6 layers .* hardly the base model/)]);
  const drawn = editedAdapter(written, { config: { init_lora_weights: "pissa_niter_4" } });
  await expect(convertStart(model, drawn)).rejects.toThrow(
    'init_lora_weights is "pissa_niter_4", wanted pissa or olora',
  );
  expect(model.adapters.all).toEqual([]);
  model.release();
});
