import { expect, test } from "vitest";
import { parseHeader } from "../../../src/io/formats/safetensors.ts";
import { LoraError } from "../../../src/util/fail.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";

/** A file as Latin-1, and the sorted tensors that Python's safetensors reads of it; null where it refuses. */
type Case = [file: string, python: [name: string, dtype: string, shape: number[]][] | null];

// Oracle: Python's safetensors 0.8.0 (scripts/fuzz/safetensors-verdicts.ts).
const cases = readJsonFile<Case[]>(fixturePath(""), "safetensors-verdicts.json");

/** What is refused although Python takes it. */
const POLICY: readonly RegExp[] = [
  /key ".*" occurs twice/, // it keeps the last one
  /the header must begin with "{"/, // it skips blanks, which the format forbids
];

function read(file: string): ReturnType<typeof parseHeader> | string {
  const bytes = Uint8Array.from(Buffer.from(file, "latin1"));
  try {
    return parseHeader(bytes, bytes.length, "file");
  } catch (error) {
    if (!(error instanceof LoraError)) throw error;
    return error.message;
  }
}

test("what Python refuses is refused, with a remedy", () => {
  const refused = cases.filter(([, python]) => python === null);
  expect(refused.length).toBeGreaterThan(150);
  for (const [file] of refused) expect(read(file), JSON.stringify(file)).toMatch(/\n {2}→ /);
});

test("what Python reads is read alike, or refused for a listed reason", () => {
  const taken = cases.filter(([, python]) => python !== null);
  expect(taken.length).toBeGreaterThan(70);
  for (const [file, python] of taken) {
    const found = read(file);
    if (typeof found === "string") {
      expect(
        POLICY.some((reason) => reason.test(found)),
        found,
      ).toBe(true);
      continue;
    }
    const tensors = [...found.tensors.values()].map(({ name, dtype, shape }) => [name, dtype, shape]);
    expect(Object.fromEntries(tensors.map((tensor) => [tensor[0], tensor]))).toEqual(
      Object.fromEntries((python ?? []).map((tensor) => [tensor[0], tensor])),
    );
  }
});
