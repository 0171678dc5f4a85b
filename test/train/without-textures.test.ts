import { afterAll, expect, onTestFinished, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { fromArray, scoped } from "../../src/gpu/tensor.ts";
import { matmul } from "../../src/kernels/matmul.ts";
import { openModel } from "../../src/load/model.ts";
import type { LanguageModel } from "../../src/models/model.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { openNodeDevice } from "../../src/platform/node-gpu.ts";
import { generateTokens, type TokenOptions } from "../../src/train/generate.ts";
import { continueTokens } from "../../src/train/generate-batch.ts";
import { decodeBf16, encodeBf16 } from "../../src/util/half.ts";
import { randomValues } from "../reference/gradient.ts";
import { matmulReference } from "../reference/matmul.ts";

interface Opened {
  readonly device: Device;
  readonly warnings: string[];
  /** Textures that were asked for. */
  asked: number;
}

/** A device that gives so many textures and then refuses, as one without memory does: what it gives then is an error to use. */
async function open(given: number): Promise<Opened> {
  const warnings: string[] = [];
  const device = await openNodeDevice({ onWarning: (warning) => warnings.push(warning) });
  const opened: Opened = { device, warnings, asked: 0 };
  const create = device.gpu.createTexture.bind(device.gpu);
  const tooLarge = device.limits.maxTextureDimension2D + 1;
  device.gpu.createTexture = (descriptor) =>
    create(opened.asked++ < given ? descriptor : { ...descriptor, size: [tooLarge, 1] });
  return opened;
}

async function poorDevice(given: number): Promise<Opened> {
  const opened = await open(given);
  onTestFinished(() => opened.device.close());
  return opened;
}

const readsTextures = ({ info, profile }: Device) => info.readsTexels === true && !profile.sharesWork;

/** What a model in bf16 writes. */
async function write(device: Device, body: (model: LanguageModel) => AsyncGenerator<unknown>) {
  const model = await openModel(folderFiles("models/demo"), device);
  const written: unknown[] = [];
  for await (const item of body(model)) written.push(item);
  model.release();
  return written;
}

const prompt = Array.from({ length: 12 }, (_, i) => 5 + 7 * i);

/** One that gives all, for all tests. */
let plenty: Promise<Opened> | undefined;
const rich = () => {
  plenty ??= open(Number.POSITIVE_INFINITY);
  return plenty;
};
afterAll(async () => (await plenty)?.device.close());

test.each<[number, TokenOptions]>([
  [0, { temperature: 1.2, topK: 40, seed: 3 }],
  [9, {}],
])("a device that gives %i textures goes on without: the same tokens", async (given, options) => {
  const text = (model: LanguageModel) => generateTokens(model, prompt, { maxNewTokens: 8, ...options });
  const { device, warnings } = await rich();
  const wanted = await write(device, text);
  expect(wanted).toHaveLength(8);
  expect(warnings).toEqual([]);
  const poor = await poorDevice(given);
  expect(await write(poor.device, text)).toEqual(wanted);
  const reads = readsTextures(poor.device);
  expect(poor.asked > given).toBe(reads);
  expect(poor.device.textures.bytes).toBe(0);
  const told = [expect.stringMatching(/: no copies of weights in textures \(.*more slowly: free memory/)];
  expect(poor.warnings).toEqual(reads ? told : []);
  const before = poor.asked;
  expect(await write(poor.device, text)).toEqual(wanted);
  expect(poor.asked, "none is asked for again").toBe(before);
  expect(poor.warnings.length).toBeLessThan(2);
});

test("texts of several lengths side by side are the same, too", async () => {
  const texts = (model: LanguageModel) =>
    continueTokens(
      model as Parameters<typeof continueTokens>[0],
      [3, 6, 4].map((maxNewTokens, i) => ({ ids: prompt.slice(i), endings: [], maxNewTokens })),
      { batchSize: 2, temperature: 0 },
    );
  const wanted = await write((await rich()).device, texts);
  const strip = (pieces: unknown[]) => pieces.map((piece) => ({ ...(piece as object), report: undefined }));
  expect(strip(await write((await poorDevice(2)).device, texts))).toEqual(strip(wanted));
});

test("whoever multiplies without a text's patience is told, and comes to it the second time", async () => {
  const { device } = await poorDevice(0);
  const [n, k] = [64, 64];
  const a = Float32Array.from(randomValues(k, 1));
  const codes = encodeBf16(Float32Array.from(randomValues(n * k, 2)));
  const read = async () => {
    const y = scoped(device, () =>
      matmul(fromArray(device, a, [1, k]), fromArray(device, codes, [n, k], "bf16"), { layout: "NT" }),
    );
    try {
      return await y.read();
    } finally {
      device.memory.release(y.storage);
    }
  };
  if (readsTextures(device)) await expect(read()).rejects.toThrow(/could not give/);
  const wanted = matmulReference(Float64Array.from(a), Float64Array.from(decodeBf16(codes)), {
    m: 1,
    n,
    k,
    layout: "NT",
  });
  expect(await read()).toBeClose(wanted);
});
