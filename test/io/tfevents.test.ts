import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { eventRecord, type TensorBoardEvent } from "../../src/io/formats/tfevents.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { distributionOf } from "../../src/util/distribution.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

const folder = fixturePath("tensorboard");
/** Events, whose histograms are of lists of numbers. */
type Listed = Omit<TensorBoardEvent, "histograms"> & { histograms?: Record<string, number[]> };
const EVENTS = readJsonFile<Listed[]>(folder, "events.json").map(eventOf);

function eventOf({ histograms = {}, ...event }: Listed): TensorBoardEvent {
  const made = Object.entries(histograms).map(([tag, values]) => [tag, distributionOf(values)]);
  return { ...event, histograms: Object.fromEntries(made) };
}

test("records are, to the byte, those that TensorBoard's own messages and writer make", () => {
  const written = concatBytes(EVENTS.map(eventRecord));
  expect(Buffer.from(written).equals(readFileSync(`${folder}/events.bin`))).toBe(true);
});

test("numbers that are none stay so, and are in no histogram", () => {
  const nan = eventRecord({ wallTime: 1, step: 1, scalars: { a: Number.NaN } });
  expect(new DataView(nan.buffer).getFloat32(nan.length - 8, true)).toBeNaN();
  expect(distributionOf([Number.NaN, 1, Number.POSITIVE_INFINITY])).toEqual(distributionOf([1]));
  expect(() => eventRecord({ wallTime: 1, step: 1, histograms: { a: distributionOf([]) } })).not.toThrow();
});
