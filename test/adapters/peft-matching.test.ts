// Cases of the kinds that PEFT's own tests of its matching have; what is expected is what PEFT 0.21 answers.
import { describe, expect, test } from "vitest";
import { matchesTarget } from "../../src/adapters/sites/targets.ts";
import { keyMatchers } from "../../src/util/module-patterns.ts";
import { fixturePath, readJsonFile } from "../support/fixtures.ts";

type Names = string[] | string;

interface Cases {
  rules: [
    path: string,
    targets: Names,
    layers: number[] | number | null,
    pattern: Names | null,
    matches: boolean,
  ][];
  excluded: [path: string, targets: Names, exclude: Names, matches: boolean][];
  patterns: [keys: string[], path: string, found: string][];
}
const cases = readJsonFile<Cases>(fixturePath("."), "peft-matching.json");

describe("PEFT's answers", () => {
  test.each(cases.rules)(
    "%j is a target by %j, layers %j of %j: %s",
    (path, targets, layers, pattern, matches) => {
      const options = {
        ...(layers !== null && { layersToTransform: layers }),
        ...(pattern !== null && { layersPattern: pattern }),
      };
      expect(matchesTarget(path, targets, options)).toBe(matches);
    },
  );

  test.each(cases.excluded)(
    "%j is a target by %j without %j: %s",
    (path, targets, excludeModules, matches) => {
      expect(matchesTarget(path, targets, { excludeModules })).toBe(matches);
    },
  );

  test.each(cases.patterns)("of the keys %j, that of %j is %j", (keys, path, found) => {
    const matcherOf = keyMatchers();
    expect(keys.find((key) => matcherOf(key)(path)) ?? path).toBe(found);
  });
});
