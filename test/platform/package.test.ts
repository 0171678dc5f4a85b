import { execFileSync, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { readHeader } from "../../src/io/formats/safetensors.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { ROOT } from "../support/shaders.ts";
import { buildPackage, PATIENCE, temporaryFolder } from "./environment.ts";

interface Manifest {
  files: string[];
  bin: Record<string, string>;
  exports: Record<string, unknown>;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
}

const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Manifest;
const folder = temporaryFolder("file");
const installed = join(folder, "project/node_modules/webgpu-lora");

/** Packs a fresh build as npm does, and unpacks it where npm would install it, its dependencies linked. */
beforeAll(() => {
  const staging = join(folder, "staging");
  mkdirSync(installed, { recursive: true });
  buildPackage(join(staging, "dist"));
  const own = ["package.json", ...manifest.files.filter((name) => name !== "dist")];
  for (const name of own.filter((name) => existsSync(join(ROOT, name)))) {
    cpSync(join(ROOT, name), join(staging, name), { recursive: true });
  }
  execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], {
    cwd: staging,
    stdio: "pipe",
  });
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) as string;
  execFileSync("tar", ["xzf", join(folder, tarball), "-C", installed, "--strip-components=1"]);
  writeFileSync(join(folder, "project/package.json"), '{ "type": "module" }');
  const names = [
    ...Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }),
    "@sparticuz/chromium",
  ];
  for (const name of names) link(name);
}, PATIENCE);

function link(name: string): void {
  const path = join(folder, "project/node_modules", name);
  mkdirSync(join(path, ".."), { recursive: true });
  symlinkSync(join(ROOT, "node_modules", name), path);
}

describe("the packed package", () => {
  test("holds what it promises and nothing else", () => {
    const found = readdirSync(installed);
    const allowed = ["package.json", ...new Set(manifest.files.map((file) => file.split("/")[0]))];
    expect(found.filter((name) => !allowed.includes(name))).toEqual([]);
    expect(found).toEqual(expect.arrayContaining(["package.json", "README.md", "LICENSE", "dist"]));
    for (const target of targets(manifest.exports))
      expect(existsSync(join(installed, target)), target).toBe(true);
  });

  test("has a command that runs", () => {
    const command = join(installed, manifest.bin["webgpu-lora"] as string);
    expect(readFileSync(command, "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
    expect(execFileSync(process.execPath, [command, "--help"], { encoding: "utf8" })).toMatch(/train/);
  });

  test("has a benchmark that runs, and that no other file carries", () => {
    const command = join(installed, manifest.bin["webgpu-lora"] as string);
    const list = execFileSync(process.execPath, [command, "bench", "rope", "--list"], { encoding: "utf8" });
    expect(list).toMatch(/^rope\n {2}rope forward: T128 H9 D64/);
    for (const name of ["node.js", "web.js", "cli.js"])
      expect(readFileSync(join(installed, "dist", name), "utf8"), name).not.toContain("peak-fma");
  });

  test("serves its benchmark as a page", async () => {
    const command = join(installed, manifest.bin["webgpu-lora"] as string);
    const child = spawn(process.execPath, [command, "bench", "--serve", "--port", "0"]);
    const ended = new Promise((resolve) => child.on("exit", resolve));
    const line = await new Promise<string>((resolve) =>
      child.stdout.on("data", (text) => resolve(String(text))),
    );
    const url = /http:\S+/.exec(line)?.[0] as string;
    expect(await (await fetch(url)).text()).toContain('<button id="run"');
    expect(await (await fetch(`${url}/page.js`)).text()).toContain("peak-fma");
    expect((await fetch(`${url}/../package.json`)).status).toBe(404);
    child.kill("SIGINT");
    expect(await ended).toBe(0);
  });

  test("loads nothing but itself in a browser", () => {
    const web = readFileSync(join(installed, "dist/web.js"), "utf8");
    expect(web).not.toMatch(/["']node:/);
    expect(web).not.toMatch(/^\s*(import|export)\b.*\bfrom\s*["']/m);
  });
});

/** All file paths in an `exports` map. */
function targets(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return Object.values(value as object).flatMap(targets);
}

/** Programs of users: compiled with the package's types, and run. */
const PROGRAMS = ["consumer", "custom-method"];

const RESOLUTIONS = [
  ["bundler", "esnext", []],
  ["nodenext", "nodenext", []],
  ["nodenext", "nodenext", ["--lib", "es2023"]],
] as const;

test.each(RESOLUTIONS)(
  "its types resolve with moduleResolution %s, module %s %s",
  (resolution, module, more) => {
    const project = join(folder, "project");
    for (const name of PROGRAMS)
      cpSync(join(import.meta.dirname, `${name}.ts.txt`), join(project, `${name}.ts`));
    writeFileSync(join(project, "globals.d.ts"), "declare const process: { argv: string[] };");
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const options = [
      "--noEmit",
      "--strict",
      "--target",
      "es2022",
      "--module",
      module,
      "--moduleResolution",
      resolution,
    ];
    const args = [
      tsc,
      ...options,
      "--types",
      "",
      ...more,
      ...PROGRAMS.map((name) => `${name}.ts`),
      "globals.d.ts",
    ];
    const run = () => execFileSync(process.execPath, args, { cwd: project, encoding: "utf8", stdio: "pipe" });
    expect(messageOf(run)).toBe("");
  },
);

/** What a program prints where it fails, else nothing. */
function messageOf(run: () => string): string {
  try {
    run();
    return "";
  } catch (error) {
    return String((error as { stdout: string }).stdout);
  }
}

/** What a program prints when it runs in the project that has the package. */
async function outputOf(name: string): Promise<Record<string, unknown>> {
  const project = join(folder, "project");
  const { transformSync } = await import("esbuild");
  const source = readFileSync(join(import.meta.dirname, `${name}.ts.txt`), "utf8");
  writeFileSync(join(project, `${name}.js`), transformSync(source, { loader: "ts", format: "esm" }).code);
  const output = execFileSync(process.execPath, [`${name}.js`, BUNDLED_MODEL], {
    cwd: project,
    encoding: "utf8",
  });
  return JSON.parse(output) as Record<string, unknown>;
}

test("a program in Node trains, generates and saves with it", { timeout: PATIENCE }, async () => {
  const { losses, ids } = (await outputOf("consumer")) as { losses: number[]; ids: number[] };
  expect(losses).toHaveLength(3);
  expect(losses[2]).toBeLessThan(losses[0] as number);
  expect(ids).toHaveLength(3);
  const { tensors } = await readHeader(folderFiles(join(folder, "project/out")), "adapter_model.safetensors");
  expect(tensors.size).toBeGreaterThan(0);
});

test("a method of one's own needs nothing but public names", { timeout: PATIENCE }, async () => {
  const { losses, ...rest } = await outputOf("custom-method");
  const [first = 0, , , last = 0] = losses as number[];
  expect(last).toBeLessThan(first);
  expect(rest).toMatchObject({ sites: 8, isShifted: true });
  expect(rest.merged).toEqual(expect.arrayContaining(["config.json", "model.safetensors"]));
  expect(rest.refusal).toContain("LOW_RANK_WITH_BIAS");
});

test("the README's example runs as it stands, but for the model", { timeout: PATIENCE }, async () => {
  const project = join(folder, "project");
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] as string;
  writeFileSync(
    join(project, "example.mjs"),
    example.replace(/loadModel\("[^"]+"/, `loadModel("${BUNDLED_MODEL}"`),
  );
  const output = execFileSync(process.execPath, ["example.mjs"], { cwd: project, encoding: "utf8" });
  const lines = output.split("\n");
  expect(lines.slice(0, 20).map((line) => line.split(" ")[0])).toEqual(range(1, 20));
  expect(Number(lines[19]?.split(" ")[1])).toBeLessThan(Number(lines[0]?.split(" ")[1]));
  expect(lines.slice(20).join("").length).toBeGreaterThan(0); // what was generated
  const { tensors } = await readHeader(folderFiles(join(project, "out")), "adapter_model.safetensors");
  expect(tensors.size).toBe(16); // A and B of q_proj and v_proj in four layers
});

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => String(first + i));
