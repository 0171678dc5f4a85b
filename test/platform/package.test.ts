import { execFile, execFileSync, spawn } from "node:child_process";
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
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, test } from "vitest";
import { readHeader } from "../../src/io/formats/safetensors.ts";
import { folderFiles } from "../../src/platform/node-files.ts";
import { BUNDLED_MODEL } from "../support/fixtures.ts";
import { ROOT } from "../support/shaders.ts";
import { BUNDLERS, readBundle } from "./bundlers.ts";
import { DENO, denoObstacle, denoVariables } from "./deno.ts";
import { buildPackage, PATIENCE, temporaryFolder } from "./environment.ts";
import { serve } from "./serve.ts";

interface Manifest {
  files: string[];
  bin: Record<string, string>;
  exports: Record<string, unknown>;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
}

const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Manifest;
/** What looks at a package's exports and types; nobody gets modules of CommonJS here. */
const TOOLS: readonly [tool: string, args: string[]][] = [
  ["publint", ["--strict"]],
  ["attw", ["--profile", "esm-only", "--format", "ascii", "--no-color"]],
];

const folder = temporaryFolder("file");
let tarball: string;
const installed = join(folder, "project/node_modules/webgpu-lora");

/** Packs a fresh build as npm does, and unpacks it where npm would install it, its dependencies linked. */
beforeAll(async () => {
  const staging = join(folder, "staging");
  mkdirSync(installed, { recursive: true });
  await buildPackage(join(staging, "dist"));
  const own = ["package.json", ...manifest.files.filter((name) => name !== "dist")];
  for (const name of own.filter((name) => existsSync(join(ROOT, name)))) {
    cpSync(join(ROOT, name), join(staging, name), { recursive: true });
  }
  execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], {
    cwd: staging,
    stdio: "pipe",
  });
  tarball = join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz")) as string);
  execFileSync("tar", ["xzf", tarball, "-C", installed, "--strip-components=1"]);
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

/** Lets the package's command serve on a free port, and ends it. */
async function whileServed(args: readonly string[], body: (url: string) => Promise<void>): Promise<void> {
  const command = join(installed, manifest.bin["webgpu-lora"] as string);
  const child = spawn(process.execPath, [command, ...args, "--port", "0"]);
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const line = await new Promise<string>((resolve) =>
    child.stdout.on("data", (text) => resolve(String(text))),
  );
  await body(/http:\S+/.exec(line)?.[0] as string);
  child.kill("SIGINT");
  expect(await ended).toBe(0);
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

  test("serves its benchmark as a page", () =>
    whileServed(["bench", "--serve"], async (url) => {
      expect(await (await fetch(url)).text()).toContain('<button id="run"');
      expect(await (await fetch(`${url}/worker.js`)).text()).toContain("peak-fma");
      expect((await fetch(`${url}/../package.json`)).status).toBe(404);
    }));

  test("serves the page that fine-tunes with the bundled model, which it has once", () =>
    whileServed(["web"], async (url) => {
      expect(await (await fetch(url)).text()).toContain('<button id="train"');
      expect(existsSync(join(installed, "dist/page/model"))).toBe(false);
      const model = await (await fetch(`${url}/model/model.safetensors`)).arrayBuffer();
      expect(Buffer.from(model).equals(readFileSync(join(ROOT, "models/demo/model.safetensors")))).toBe(true);
    }));

  test.each(TOOLS)("has exports that %s finds nothing wrong with", (tool, args) => {
    const run = () =>
      execFileSync(join(ROOT, "node_modules/.bin", tool), [tarball, ...args], { encoding: "utf8" });
    expect(messageOf(run)).toBe("");
  });

  test("loads nothing but itself in a page without a bundler", () => {
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
const PROGRAMS = ["consumer", "custom-method", "engine"];

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

test("a program in Node trains in a worker thread with it", { timeout: PATIENCE }, async () => {
  const { losses, text, check } = (await outputOf("engine")) as {
    losses: number[];
    text: string;
    check: number;
  };
  expect(losses[2]).toBeLessThan(losses[0] as number);
  expect(text).not.toBe("");
  expect(check).toBe(3);
  const { tensors } = await readHeader(
    folderFiles(join(folder, "project/out-engine")),
    "adapter_model.safetensors",
  );
  expect(tensors.size).toBe(16);
});

test("a method of one's own needs nothing but public names", { timeout: PATIENCE }, async () => {
  const { losses, ...rest } = await outputOf("custom-method");
  const [first = 0, , , last = 0] = losses as number[];
  expect(last).toBeLessThan(first);
  expect(rest).toMatchObject({ sites: 8, isShifted: true });
  expect(rest.merged).toEqual(expect.arrayContaining(["config.json", "model.safetensors"]));
  expect(rest.refusal).toContain("LOW_RANK_WITH_BIAS");
});

/** What runs a program of the project, and its arguments. */
const RUNTIMES: readonly [name: string, command: string, args: string[]][] = [
  ["Node", process.execPath, []],
  ["Deno", DENO, ["run", "-A", "--quiet", "--no-lock", "--no-remote", "--unstable-webgpu"]],
];

test.for(RUNTIMES)(
  "the README's example runs in %s as it stands, but for the model",
  { timeout: PATIENCE },
  async ([name, command, args], { skip }) => {
    if (command === DENO) skip(denoObstacle() !== undefined, denoObstacle());
    const project = join(folder, "project");
    const readme = readFileSync(join(ROOT, "README.md"), "utf8");
    const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] as string;
    const out = `out-${name}`;
    const program = example
      .replace(/loadModel\("[^"]+"/, `loadModel("${BUNDLED_MODEL}"`)
      .replace('"out"', JSON.stringify(out));
    writeFileSync(join(project, "example.mjs"), program);
    const env = { ...process.env, ...denoVariables(join(folder, "deno")) };
    const output = execFileSync(command, [...args, "example.mjs"], { cwd: project, env, encoding: "utf8" });
    const lines = output.split("\n");
    expect(lines.slice(0, 20).map((line) => line.split(" ")[0])).toEqual(range(1, 20));
    expect(Number(lines[19]?.split(" ")[1])).toBeLessThan(Number(lines[0]?.split(" ")[1]));
    expect(lines.slice(20).join("").length).toBeGreaterThan(0); // what was generated
    const { tensors } = await readHeader(folderFiles(join(project, out)), "adapter_model.safetensors");
    expect(tensors.size).toBe(16); // A and B of q_proj and v_proj in four layers
  },
);

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, i) => String(first + i));

/** What a page's program imports to train one LoRA, save it and ask it. */
const CORE_PROGRAM = `import { attach, generate, loadModel, lora, openDevice, saveAdapter, train } from "webgpu-lora";
globalThis.library = { attach, generate, loadModel, lora, openDevice, saveAdapter, train };
`;

/** Bytes that it may load at once, minified and compressed with gzip. */
const CORE_BYTES = 150_000;
/** The same of webpack without its own way to minify, which takes half a minute and comes to less than esbuild does. */
const WEBPACK_BYTES = 165_000;

/** Words of what is loaded when it is needed: Parquet, what decomposes matrices, GGUF, templates, tokenizers, other methods, the hub. */
const LATE = ["parquet_thrift", "EigenvalueDecomposition", "GGUF tensor", "strftime_now", "Unigram"].concat([
  "reduction_factor",
  "x-linked-etag",
]);

test.each(Object.entries(BUNDLERS))(
  "%s takes along what a page uses",
  { timeout: PATIENCE },
  async (name, bundle) => {
    const project = join(folder, "project");
    writeFileSync(join(project, "page.js"), CORE_PROGRAM);
    const outdir = join(project, `bundle-${name}`);
    await bundle({ project, entry: "page.js", outdir });
    const { text, zippedBytes } = readBundle(outdir);
    console.log(`${name} makes ${(zippedBytes / 1000).toFixed(1)} kB of the core, with gzip`);
    expect(zippedBytes).toBeLessThan(name === "webpack" ? WEBPACK_BYTES : CORE_BYTES);
    expect(text).toContain("@compute"); // the shaders are in it
    expect(text).not.toMatch(/["']node:|wgsl_reflect/);
    for (const late of LATE) expect(text).not.toContain(late);
  },
);

/** Files that a Llama-like model from an address, its LoRA and their training load late; the last three on software devices alone. */
const LATE_OF_LLAMA = [
  "adapter-card",
  "lora-codec",
  "replay",
  "tokenizer-files",
  "web-files",
  "rasteriser-shaders",
  "matvec-panels",
  "matmul-texels",
];

/** Bytes of all that these load, with the core: 200 kB on a GPU, 213 kB on a software device. */
const LLAMA_BYTES = 214_000;

test("a Llama-like model and its LoRA load no more than the build says", { timeout: PATIENCE }, async () => {
  const project = join(folder, "project");
  writeFileSync(join(project, "page.js"), CORE_PROGRAM);
  const outdir = join(project, "fetched");
  await BUNDLERS.esbuild?.({ project, entry: "page.js", outdir });
  const sizes = new Map<string, number>();
  for (const name of readdirSync(outdir)) {
    const text = readFileSync(join(outdir, name), "utf8");
    sizes.set(name, gzipSync(text, { level: 9 }).length);
    writeFileSync(
      join(outdir, name),
      `(globalThis.loadedFiles ??= []).push(${JSON.stringify(name)});${text}`,
    );
  }
  cpSync(join(import.meta.dirname, "fetched.mjs.txt"), join(project, "fetched.mjs"));
  const server = await serve({ "/model/": { folder: BUNDLED_MODEL } });
  const args = ["fetched.mjs", join(outdir, "main.js"), `${server.url}/model`];
  const run = promisify(execFile)(process.execPath, args, { cwd: project });
  const { stdout } = await run.finally(server.close);
  const loaded = JSON.parse(stdout) as string[];
  const entries = loaded.filter((name) => !/^(?:main|chunk-\w+)\.js$/.test(name));
  const unexpected = entries.filter((name) => !LATE_OF_LLAMA.includes(name.replace(/-\w+\.js$/, "")));
  expect(unexpected).toEqual([]);
  const bytes = loaded.reduce((sum, name) => sum + (sizes.get(name) as number), 0);
  console.log(`a Llama-like model and its LoRA load ${(bytes / 1000).toFixed(1)} kB`);
  expect(bytes).toBeLessThan(LLAMA_BYTES);
});
