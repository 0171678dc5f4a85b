import { expect, test } from "vitest";
import { readGgufHeader } from "../../../src/io/formats/gguf/header.ts";
import { readGgufTensor } from "../../../src/io/formats/gguf/tensors.ts";
import { TRANSCODED, transcode, transcodedDecoding } from "../../../src/io/formats/gguf/transcode.ts";
import { rowsInto } from "../../../src/io/formats/weight-sink.ts";
import { castToFloat } from "../../../src/kernels/cast.ts";
import type { Decoding } from "../../../src/kernels/formats.ts";
import { emptyWeight, type QuantisedWeight } from "../../../src/kernels/weight.ts";
import { testDevice } from "../../support/device.ts";
import { filesOf, fixture } from "../helpers.ts";

const NAME = "blocks.gguf";
const written = fixture(`gguf/${NAME}`);
const files = filesOf({ [NAME]: written });
const { tensors } = await readGgufHeader(files, NAME);

test.each(TRANSCODED)("%s: the device's values are those of llama.cpp's Python package", async (type) => {
  const [blocks, values] = [tensors.get(`${type}.blocks`), tensors.get(`${type}.values`)];
  if (!blocks || !values) throw new Error(type);
  expect(blocks).toMatchObject({ type, shape: [2, 512] });
  const weight = emptyWeight(await testDevice(), [2, 512], transcodedDecoding(type) as Decoding);
  const sink = rowsInto(weight as QuantisedWeight);
  sink.writeRows(transcode(type, written.slice(blocks.begin, blocks.end)), 0);
  const wanted = await readGgufTensor(files, NAME, values);
  const got = await castToFloat(weight).read();
  expect(got).toBeClose(wanted, 1e-6);
  // Value by value, too: a block of small values would not be seen among large ones.
  const worst = got.reduce((most, value, i) => {
    const own = wanted[i] as number;
    return Math.max(most, Math.abs(value - own) / (Math.abs(own) + 1e-6));
  }, 0);
  expect(worst).toBeLessThan(1e-4);
});
