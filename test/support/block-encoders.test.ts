import { expect, test } from "vitest";
import { transcode, transcodedDecoding } from "../../src/io/formats/gguf/transcode.ts";
import { rowsInto } from "../../src/io/formats/weight-sink.ts";
import { castToFloat } from "../../src/kernels/cast.ts";
import type { Decoding } from "../../src/kernels/formats.ts";
import { emptyWeight, type QuantisedWeight } from "../../src/kernels/weight.ts";
import { randomValues } from "../reference/gradient.ts";
import { testDevice } from "../support/device.ts";
import { ENCODED, encodeBlocks } from "./block-encoders.ts";

/** Largest error, in units of the largest value. */
const STEPS = { Q4_0: 1 / 8, Q4_K: 1 / 14, Q5_K: 1 / 28, Q6_K: 1 / 60 };

test.each(ENCODED)("%s is decoded to nearly the values that it was made of", async (type) => {
  const values = Float32Array.from(randomValues(1024, 3));
  const weight = emptyWeight(await testDevice(), [2, 512], transcodedDecoding(type) as Decoding);
  rowsInto(weight as QuantisedWeight).writeRows(transcode(type, encodeBlocks(type, values)), 0);
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const got = await castToFloat(weight).read();
  const worst = got.reduce((most, value, i) => Math.max(most, Math.abs(value - (values[i] as number))), 0);
  expect(worst / largest).toBeLessThan(STEPS[type]);
});
