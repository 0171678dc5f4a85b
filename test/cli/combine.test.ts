import { existsSync, readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { fixturePath } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const adapter = fixturePath("llama-gqa/adapter");

test("an adapter beside half of itself, and of a lower rank", async () => {
  const out = cli.path("combined");
  const { code, stdout, stderr } = await cli.run(["combine", adapter, `${adapter}=0.5`, "--output-dir", out]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toBe(`Combined 2 adapters by cat: 14 layers of rank 8. Saved to ${out}.\n`);
  expect(readdirSync(out).sort()).toEqual(["adapter_config.json", "adapter_model.safetensors"]);

  const reduced = cli.path("reduced");
  const words = [out, "--combination-type", "svd", "--rank", "4", "--output", reduced];
  const again = await cli.run(["combine", ...words]);
  // Twice the same change has its rank, so that nothing is lost.
  expect(again.stdout).toBe(`Combined 1 adapter by svd: 14 layers of rank 4. Saved to ${reduced}.\n`);
  const lossy = await cli.run([
    "combine",
    out,
    "--combination-type",
    "svd",
    "--rank",
    "2",
    "--output",
    reduced,
  ]);
  expect(lossy.stdout).toMatch(
    /off by \d+(\.\d+)? % of its norm \(median\), at most by \d+(\.\d+)? % at model\./,
  );
});

test("mistakes are told before anything is written", async () => {
  const out = cli.path("never");
  const cases: [string[], RegExp, number][] = [
    [[], /there is no adapter/, 2],
    [[`${adapter}=lots`], /what follows = is no number/, 2],
    [[adapter, "--density", "0.5"], /density means nothing to cat/, 2],
    [[adapter, `${adapter}=0`], /the weight of .* is 0/, 1],
  ];
  for (const [words, message, exitCode] of cases) {
    const { code, stderr } = await cli.run(["combine", ...words, "--output-dir", out]);
    expect(stderr).toMatch(message);
    expect(code).toBe(exitCode);
  }
  expect(existsSync(`${out}/adapter_config.json`)).toBe(false);
});
