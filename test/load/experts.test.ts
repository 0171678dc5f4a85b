import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { attach } from "../../src/adapters/adapter.ts";
import { lora } from "../../src/adapters/lora/lora.ts";
import { fromArray } from "../../src/gpu/tensor.ts";
import { type FileContent, type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { QuantisedWeight } from "../../src/kernels/weight.ts";
import { mergedFiles } from "../../src/load/merge.ts";
import { type OpenOptions, openModel } from "../../src/load/model.ts";
import { isExperts } from "../../src/nn/expert-layer.ts";
import { modules } from "../../src/nn/module.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { contextOf } from "../support/context.ts";
import { testDevice } from "../support/device.ts";
import { fixturePath } from "../support/fixtures.ts";

const PLAIN = fixturePath("families/gpt-oss");
const PACKED = fixturePath("experts/gpt-oss-mxfp4");

const open = async (files: FileSource, options: OpenOptions = {}) =>
  openModel(files, await testDevice(), options);

async function logitsOf(files: FileSource, options: OpenOptions = {}): Promise<Float32Array> {
  const model = await open(files, options);
  const ids = fromArray(model.device, Int32Array.of(5, 9, 7, 30, 11, 44), [1, 6]);
  const logits = await model.logits(model.hidden(ids, contextOf(ids, [6]))).read();
  model.release();
  return logits;
}

const largest = (a: Float32Array, b: Float32Array) =>
  Math.max(...a.map((x, i) => Math.abs(x - (b[i] as number))));

describe("a base with experts in mxfp4", () => {
  test("keeps them in four bits on the device", async () => {
    const model = await open(folderFiles(PACKED));
    const experts = [...modules(model.root)].filter(isExperts);
    expect(experts).toHaveLength(2);
    for (const { tensors } of experts) {
      for (const name of ["gate_up_proj", "down_proj"] as const) {
        expect(tensors[name]).toBeInstanceOf(QuantisedWeight);
        expect(tensors[name]?.format).toBe("mxfp4");
      }
    }
  });

  test("refuses to train them, and what holds them, by name", async () => {
    const model = await open(folderFiles(PLAIN));
    for (const name of ["experts", "mlp"])
      expect(() => attach(model, lora({ modulesToSave: [name] }))).toThrow(
        /"\w+" reaches .*mlp\.experts.*: experts stay frozen/,
      );
    model.release();
  });

  test("takes an adapter only where it may be written in 16 bits, and is the same model then", async () => {
    const files = folderFiles(PACKED);
    const model = await open(files);
    const adapter = attach(model, lora({ r: 2, alpha: 4 })); // B is 0: nothing changes
    await expect(mergedFiles(model, adapter, files)).rejects.toThrow(
      /quantised in its own files: 4 of its matrices/,
    );
    await expect(mergedFiles(model, adapter, files, { requantize: true })).rejects.toThrow(
      /experts\.\w+ is no linear layer's/,
    );
    const written = await bytesOf(await mergedFiles(model, adapter, files, { dequantize: true }));
    expect(largest(await logitsOf(memoryFiles("merged", written)), await logitsOf(files))).toBeLessThan(1e-4);
  });

  test("names the scales that are missing", async () => {
    const bytes = readFileSync(`${PACKED}/model.safetensors`);
    const name = "model.layers.1.mlp.experts.down_proj_scales";
    const at = bytes.indexOf(name);
    bytes.write("model.layers.1.mlp.experts.down_proj_wrongs", at);
    const files = new Map([
      ["config.json", new Uint8Array(readFileSync(`${PACKED}/config.json`))],
      ["model.safetensors", new Uint8Array(bytes)],
    ]);
    await expect(open(memoryFiles("broken", files))).rejects.toThrow(/down_proj_scales is missing/);
  });
});

async function bytesOf(files: ReadonlyMap<string, FileContent>): Promise<Map<string, Uint8Array>> {
  const all = new Map<string, Uint8Array>();
  for (const [name, content] of files) {
    if (typeof content === "string") all.set(name, new TextEncoder().encode(content));
    else if (content instanceof Uint8Array) all.set(name, content);
    else {
      const parts: Uint8Array[] = [];
      for await (const part of content as AsyncIterable<Uint8Array>) parts.push(part);
      all.set(name, new Uint8Array(Buffer.concat(parts)));
    }
  }
  return all;
}

test("experts are quantised on their way, and stay on the host where they are told to", async () => {
  const wanted = await logitsOf(folderFiles(PLAIN));
  const quantised = await logitsOf(folderFiles(PLAIN), { quantization: "int8" });
  expect(largest(quantised, wanted)).toBeGreaterThan(0);
  expect(largest(quantised, wanted)).toBeLessThan(0.5);
  expect(await logitsOf(folderFiles(PLAIN), { offload: true })).toEqual(wanted);
});

test("experts get no gradient: training them whole is refused by name", async () => {
  const model = await open(folderFiles(PLAIN));
  expect(() => attach(model, lora({ targetModules: ["experts"] }))).toThrow(/experts/);
});
