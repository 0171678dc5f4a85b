import type { ChildProcess } from "node:child_process";
import { cpSync, lstatSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { attach, folderFiles, loadModel, lora, saveAdapter, saveMerged } from "../../src/index.node.ts";
import { testDevice } from "../support/device.ts";
import { BUNDLED_MODEL, fixturePath } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const fixture = fixturePath("llama-tied");
const MERGE = ["merge", "--model", fixture, "--adapter-path", `${fixture}/adapter`];

function train(out: string, ...words: readonly string[]) {
  const data = cli.write("rows.jsonl", [{ text: "Tom put 9 pink candles in the barn." }]);
  return ["train", "--model", BUNDLED_MODEL, "--data", data, "--output-dir", out, ...words];
}

test("a second run into a folder is refused with the first one's pid; a run that was killed holds nobody up", async () => {
  const out = cli.path("shared");
  const outputs: string[] = [];
  let first: ChildProcess | undefined;
  const running = cli.run(train(out, "--iters", "100000", "--logging-steps", "1", "--save-steps", "1"), {
    onOutput: (stdout, child) => {
      first = child;
      outputs.push(stdout);
    },
  });
  await expect.poll(() => outputs.at(-1), { timeout: 60_000 }).toContain("Iter 2: Saved");
  for (const words of [train(out), [...MERGE, "--output-dir", out]]) {
    const { code, stderr } = await cli.run(words);
    expect(stderr).toContain(`error: output_dir: ${out}: process ${first?.pid} on `);
    expect(code).toBe(1);
  }
  first?.kill("SIGKILL");
  expect((await running).code).toBe(null);
  expect(readdirSync(out)).toContain(".webgpu-lora.lock");
  const again = await cli.run(train(out, "--iters", "1"));
  expect(again, again.stderr).toMatchObject({ code: 0 });
  const names = readdirSync(out, { recursive: true, encoding: "utf8" });
  expect(names.filter((name) => name.includes(".webgpu-lora"))).toEqual([]);
  expect(names).toContain("adapter_config.json");
  expect(names).toContain("checkpoint-1/adapter_model.safetensors");
});

describe("an output folder", () => {
  test("that is a link to a folder works, and stays a link", async () => {
    mkdirSync(cli.path("real"));
    symlinkSync("real", cli.path("link"));
    const { code, stderr } = await cli.run([...MERGE, "--output-dir", cli.path("link")]);
    expect(code, stderr).toBe(0);
    expect(readlinkSync(cli.path("link"))).toBe("real");
    expect(readdirSync(cli.path("real"))).toContain("config.json");
  });

  test("that is the model's own folder, or a link to it, takes no adapter", async () => {
    const model = cli.path("model");
    cpSync(BUNDLED_MODEL, model, { recursive: true });
    symlinkSync("model", cli.path("model-link"));
    const before = readdirSync(model);
    for (const out of [model, `${model}/`, cli.path("model-link")]) {
      const { code, stderr } = await cli.run([...train(out), "--model", model]);
      expect(code).toBe(1);
      expect(stderr).toContain(`error: output_dir: ${out} is the model's own folder\n`);
    }
    expect(readdirSync(model)).toEqual(before);
  });

  test("that is a link to nowhere is named", async () => {
    symlinkSync("nowhere", cli.path("dangling"));
    for (const words of [train(cli.path("dangling")), [...MERGE, "--output-dir", cli.path("dangling")]]) {
      const { code, stderr } = await cli.run(words);
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /error: output_dir: .*dangling: cannot be made: .* is a link to nowhere, which is/,
      );
    }
    expect(lstatSync(cli.path("dangling")).isSymbolicLink()).toBe(true);
  });

  test("with folders where files are to lie, or files where checkpoints are, is refused before the first step", async () => {
    const out = cli.path("occupied");
    mkdirSync(`${out}/adapter_config.json`, { recursive: true });
    writeFileSync(`${out}/checkpoint-1`, "");
    const { code, stderr } = await cli.run(train(out, "--save-steps", "1"));
    expect(code).toBe(1);
    expect(stderr).toContain(`output_dir: ${out}: 2 problems`);
    expect(stderr).toContain("adapter_config.json is a folder, so no file can take its place");
    expect(stderr).toContain("checkpoint-1 is no folder");
    expect(readdirSync(out).sort()).toEqual(["adapter_config.json", "checkpoint-1"]);
  });

  test("with a link to nowhere in an adapter's place gets the adapter", async () => {
    const out = cli.path("broken-link");
    mkdirSync(out);
    symlinkSync("gone", `${out}/adapter_model.safetensors`);
    const { code, stdout, stderr } = await cli.run(train(out, "--iters", "1"));
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("holds an adapter; it will be replaced");
    expect(lstatSync(`${out}/adapter_model.safetensors`).isFile()).toBe(true);
  });
});

test("a program's adapter does not go into the model's own folder either, and a merged model needs no second look for its files", async () => {
  const folder = cli.path("own");
  cpSync(BUNDLED_MODEL, folder, { recursive: true });
  const model = await loadModel(folderFiles(folder), { device: await testDevice() });
  const adapter = attach(model, lora({ r: 2 }));
  const before = readdirSync(folder);
  await expect(saveAdapter(adapter, folder)).rejects.toThrow("is the model's own folder");
  expect(readdirSync(folder)).toEqual(before);
  await saveAdapter(adapter, cli.path("elsewhere"));
  // What was loaded from a source of its own is read there again: the name is no place to look in.
  const renamed = { ...model, name: "no/such-model" };
  await saveMerged(renamed, adapter, cli.path("merged-own"));
  expect(readdirSync(cli.path("merged-own"))).toContain("model.safetensors");
  model.release();
});
