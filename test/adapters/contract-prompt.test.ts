import { expect, test } from "vitest";
import { METHODS } from "../../src/adapters/methods.ts";
import { keepsContract } from "./contract.ts";
import { CONTRACT_CASES, PROMPT_CASES } from "./contract-cases.ts";

test("every method of the registry has a case", () => {
  expect(new Set(CONTRACT_CASES.map(({ method }) => method))).toEqual(
    new Set(METHODS.map(({ name }) => name)),
  );
});

keepsContract(PROMPT_CASES);
