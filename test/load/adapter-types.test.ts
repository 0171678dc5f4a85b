// Every type of PEFT 0.21 is read, or refused with what can be done about an adapter of it.
import { expect, test } from "vitest";
import { METHODS } from "../../src/adapters/methods.ts";
import { memoryFiles } from "../../src/io/files/files.ts";
import { readStoredAdapter } from "../../src/load/stored-adapter.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

const TYPES = readJsonFile<string[]>(fixturePath("methods"), "peft-types.json");
/** Those whose files are PEFT's. */
const OWN = METHODS.filter(({ codec }) => !codec.layout).map(({ type }) => type);

/** What PEFT raises for `merge_and_unload` of these, or has no such function: tried with PEFT 0.21. */
const UNMERGEABLE = [
  ...["MULTITASK_PROMPT_TUNING", "CPT", "CARTRIDGE", "ADAPTION_PROMPT", "LILY", "POLY", "XLORA", "SHADOW"],
];

const read = (type: unknown) => {
  const config = new TextEncoder().encode(JSON.stringify({ peft_type: type }));
  return readStoredAdapter(memoryFiles("there", new Map([["adapter_config.json", config]])));
};

test("the methods here are types of PEFT, or have files of another program", () => {
  expect(TYPES.length).toBe(45);
  expect(OWN.filter((type) => !TYPES.includes(type))).toEqual([]);
});

test.each(TYPES.filter((type) => !OWN.includes(type)))("%s is refused with a remedy", async (type) => {
  const remedy = UNMERGEABLE.includes(type)
    ? /PEFT has no merged form of it: only PEFT itself can run it/
    : /in Python with PEFT: PeftModel\.from_pretrained\(base, ADAPTER\)\.merge_and_unload\(\)/;
  await expect(read(type)).rejects.toThrow(remedy);
  await expect(read(type)).rejects.toThrow(`peft_type is ${JSON.stringify(type)}: only "LORA", "ADALORA", `);
});

test("a type that PEFT does not know is not sent to it", async () => {
  await expect(read("BONE")).rejects.toThrow(
    /PEFT 0\.21 does not know it: merge the adapter with the program/,
  );
});
