import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { adapterState, type Files, modelState, stateOf } from "../../scripts/kills/states.ts";
import { readJson } from "../../src/io/files/files.ts";
import { readPeftAdapter } from "../../src/load/lora-files.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { LoraError } from "../../src/util/fail.ts";
import { bundleForNode } from "../support/bundle.ts";

const outdir = resolve(`node_modules/.cache/webgpu-lora/kills-test-${process.pid}`);
const program = join(outdir, "kills.js");

beforeAll(() => bundleForNode({ entryPoints: ["scripts/kills.ts"], outfile: program }));
afterAll(() => rmSync(outdir, { recursive: true, force: true }));

/** Runs scripts/kills.ts; what it says. */
async function kills(...words: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [program, ...words], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  }
  const [code] = await once(child, "close");
  expect(code, said).toBe(0);
  return said;
}

test("24 processes that are killed while they save leave the former state or the new one", async () => {
  const said = await kills("adapter", "weights", "model", "checkpoints", "--kills", "6", "--seed", "7");
  expect(said.match(/: 6 kills: .*none mixed; \d left \d+ files and folders, all gone/g)?.length, said).toBe(
    4,
  );
});

test("processes that are killed while they download leave nothing that is taken for whole", async () => {
  expect(await kills("download", "--kills", "4", "--seed", "7")).toMatch(/^download: 4 kills: /);
});

test("our reader never takes files of two states, whatever a writer does meanwhile", async () => {
  const folder = mkdtempSync(join(tmpdir(), "beside-"));
  const child = spawn(process.execPath, [program, "--child", "adapter", folder, "0"], { stdio: "pipe" });
  const ended = once(child, "close");
  const seen = { whole: 0, refused: 0 };
  try {
    await once(child.stdout, "data");
    child.stdout.resume();
    while (seen.whole < 30) {
      const files = folderFiles(folder);
      const read = await Promise.all([readPeftAdapter(files), readJson(files, "labels.json")]).catch(
        (error) => {
          expect(error).toBeInstanceOf(LoraError);
          return undefined;
        },
      );
      if (!read) seen.refused++;
      else {
        const [{ config, tensors }, labels] = read;
        const states = [...tensors.values()].map(({ lora_A }) => lora_A.data.at(-1));
        expect(new Set([config.lora_alpha - 1, ...states]).size).toBe(1);
        expect(labels).toEqual([`state ${config.lora_alpha - 1}`]);
        seen.whole++;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  } finally {
    child.kill("SIGKILL");
    await ended;
    rmSync(folder, { recursive: true });
  }
});

test("the script sees mixtures and what is missing", () => {
  const folder = mkdtempSync(join(tmpdir(), "mixed-"));
  const put = (files: Files, names = [...files.keys()]) => {
    for (const name of names) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), files.get(name) as string | Uint8Array);
    }
  };
  try {
    put(adapterState(1));
    expect(stateOf(folder, adapterState, [0, 1])).toBe(1);
    put(adapterState(2), ["labels.json"]);
    expect(() => stateOf(folder, adapterState, [1, 2])).toThrow("in none of the states 1,2");
    put(adapterState(2));
    expect(stateOf(folder, adapterState, [1, 2])).toBe(2);
    expect(() => stateOf(folder, adapterState, [1])).toThrow("in none of the states");
    rmSync(join(folder, "adapter_model.safetensors"));
    expect(() => stateOf(folder, adapterState, [1, 2])).toThrow("in none of the states");
    rmSync(join(folder, "adapter_config.json"));
    expect(stateOf(folder, adapterState, [1, 2])).toBeUndefined();
    rmSync(join(folder, "labels.json"));
    put(modelState(0));
    put(modelState(1));
    expect(() => stateOf(folder, modelState, [0, 1])).toThrow("in none of the states");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
