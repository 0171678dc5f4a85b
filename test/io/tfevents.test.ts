import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { eventRecord, type TensorBoardEvent } from "../../src/io/formats/tfevents.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

const folder = fixturePath("tensorboard");
const EVENTS = readJsonFile<TensorBoardEvent[]>(folder, "events.json");

test("records are, to the byte, those that TensorBoard's own messages and writer make", () => {
  const written = concatBytes(EVENTS.map(eventRecord));
  expect(Buffer.from(written).equals(readFileSync(`${folder}/events.bin`))).toBe(true);
});

test("numbers that are none stay so, and are in no histogram", () => {
  const [[nan], [histogram]] = [
    [eventRecord({ wallTime: 1, step: 1, scalars: { a: Number.NaN } })],
    [eventRecord({ wallTime: 1, step: 1, histograms: { a: [Number.NaN, 1] } })],
  ];
  const whole = eventRecord({ wallTime: 1, step: 1, histograms: { a: [1] } });
  expect(Buffer.from(histogram as Uint8Array).equals(whole)).toBe(true);
  expect(new DataView((nan as Uint8Array).buffer).getFloat32((nan as Uint8Array).length - 8, true)).toBeNaN();
  expect(() => eventRecord({ wallTime: 1, step: 1, histograms: { a: [] } })).not.toThrow();
});
