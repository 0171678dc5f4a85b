import { existsSync, readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { BUNDLED_MODEL, fixturePath, readJsonFile } from "../support/fixtures.ts";
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

test("train begins as is asked for, and what it saves is plain LoRA of twice the rank", async () => {
  const out = cli.path("pissa");
  const data = cli.write("rows.jsonl", [{ prompt: "Tom put", completion: " 9 pink candles in the barn." }]);
  const train = ["train", "--model", BUNDLED_MODEL, "--data", data, "--output-dir", out, "--iters", "2"];
  const words = [...train, "--lora-r", "2", "--target-modules", "q_proj"];
  const { code, stdout, stderr } = await cli.run([...words, "--init-lora-weights", "pissa_niter_4"]);
  expect(code, stderr).toBe(0);
  expect(stdout).toContain("Beginning as pissa_niter_4: decomposing the weights\n");
  const config = readJsonFile<Record<string, unknown>>(out, "adapter_config.json");
  expect(config).toMatchObject({ r: 4, lora_alpha: 64, init_lora_weights: true });
  const wrong = await cli.run([...words, "--init-lora-weights", "pisa"]);
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toMatch(/init-lora-weights is "pisa", wanted true, gaussian/);
});
