// Builds the package: library for Node, for bundlers and for pages without one, command line; or bundles one script and runs it.
//   node build.mjs [--out DIR]     the package's files, into dist/ unless told otherwise
//   node build.mjs --page DIR      the page alone, into DIR
//   node build.mjs --run FILE ARGS bundles FILE into .cache/run and runs it
//   node build.mjs --cli ARGS      bundles the command line into .cache/cli and runs it
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, relative, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { buildModules, CORE, coreProgram } from "./build-modules.mjs";
import { esbuildWgsl } from "./wgsl-plugin.mjs";

/** The command line, and the benchmark, which it loads from beside itself. */
const PROGRAMS = { cli: "src/cli/main.ts", bench: "kernels-bench/node.ts" };

const shared = {
  bundle: true,
  format: "esm",
  target: "es2022",
  sourcemap: true,
  plugins: [esbuildWgsl],
  loader: { ".py": "text" },
  logLevel: "warning",
};
const node = { ...shared, platform: "node", packages: "external" };
const web = { ...shared, platform: "browser", minify: true, sourcemap: false };
/** Deno has Node's modules, but no node_modules where a script is run from: packages come along. */
const deno = {
  ...shared,
  platform: "node",
  banner: {
    js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
  },
};

async function run([file, ...args]) {
  const outfile = resolve(runFolder(file), basename(file).replace(/\.ts$/, ".mjs"));
  await mkdir(dirname(outfile), { recursive: true });
  await build({ ...node, entryPoints: [file], outfile, sourcemap: "inline" });
  execute(outfile, args);
}

/** Where a script runs from: below the node_modules of its own folder, where it has packages of its own. */
function runFolder(file) {
  const own = join(dirname(file), "node_modules");
  return existsSync(join(dirname(file), "package.json")) && existsSync(own)
    ? join(own, ".cache/run")
    : ".cache/run";
}

async function runCli(args) {
  const outdir = resolve(".cache/cli");
  await buildPrograms(outdir);
  if (args[0] === "web" || args.includes("--serve")) await buildPage(join(outdir, "page"));
  execute(join(outdir, "cli.js"), args);
}

function execute(file, args) {
  const { status } = spawnSync(process.execPath, ["--enable-source-maps", file, ...args], {
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
}

const versionOf = async () => JSON.parse(await readFile("package.json", "utf8")).version;

/** The programs for Node, and the benchmark for Deno. */
async function buildPrograms(outdir) {
  const define = { PACKAGE_VERSION: JSON.stringify(await versionOf()) };
  await Promise.all([
    build({ ...node, entryPoints: PROGRAMS, outdir }),
    build({ ...deno, define, entryPoints: { deno: "kernels-bench/deno.ts" }, outdir: join(outdir, "bench") }),
  ]);
}

/** The benchmark for browsers: a page of its own, so that who does not open it does not load it. */
async function buildBenchPage(outdir) {
  const define = { PACKAGE_VERSION: JSON.stringify(await versionOf()) };
  const parts = { page: "page.ts", worker: "worker.ts", style: "style.css" };
  const entryPoints = Object.fromEntries(
    Object.entries(parts).map(([name, file]) => [name, `kernels-bench/web/${file}`]),
  );
  const { metafile } = await build({ ...web, define, entryPoints, outdir, metafile: true });
  assertSelfContained(metafile);
  await cp("kernels-bench/web/index.html", join(outdir, "index.html"));
  await cp("src/web/page/icon.svg", join(outdir, "icon.svg"));
}

/**
 * The page that fine-tunes: a folder that any host can serve, with the bundled model and examples of what it can learn. What a format
 * or a method needs is loaded with it.
 */
async function buildPage(outdir) {
  await rm(outdir, { recursive: true, force: true });
  await Promise.all([
    build({
      ...web,
      splitting: true,
      entryPoints: {
        main: "src/web/page/main.ts",
        "web-worker": "src/platform/web-worker.ts",
        style: "src/web/page/style.css",
      },
      outdir,
    }),
    ...["index.html", "icon.svg"].map((name) => cp(`src/web/page/${name}`, join(outdir, name))),
    cp("models/demo", join(outdir, "model"), { recursive: true }),
    writeExamples(outdir),
    buildBenchPage(join(outdir, "bench")),
  ]);
}

/** Examples of the skill that the demo teaches, and some that are held out. */
async function writeExamples(outdir) {
  const bundle = await build({
    ...node,
    entryPoints: ["scripts/demo/skill.ts"],
    write: false,
    sourcemap: false,
  });
  const source = `data:text/javascript;base64,${Buffer.from(bundle.outputFiles[0].contents).toString("base64")}`;
  const { skillExamples } = await import(source);
  const lines = (options) =>
    `${skillExamples({ seed: 7, ...options })
      .map((row) => JSON.stringify(row))
      .join("\n")}\n`;
  await mkdir(outdir, { recursive: true });
  await writeFile(join(outdir, "examples.jsonl"), lines({ count: 400, split: "train" }));
  await writeFile(join(outdir, "held-out.jsonl"), lines({ count: 20, split: "test" }));
}

async function buildAll(outdir) {
  await rm(outdir, { recursive: true, force: true });
  const [, , whole] = await Promise.all([
    build({
      ...node,
      entryPoints: { node: "src/index.node.ts", "node-worker": "src/platform/node-worker.ts" },
      outdir,
    }),
    buildPrograms(outdir),
    build({
      ...shared,
      platform: "browser",
      minify: true,
      entryPoints: { web: "src/index.web.ts", "web-worker": "src/platform/web-worker.ts" },
      outdir,
      metafile: true,
    }),
  ]);
  assertSelfContained(whole.metafile);
  await buildModules(whole.metafile, join(outdir, "web"));
  await buildPage(join(outdir, "page"));
  await chmod(join(outdir, "cli.js"), 0o755);
  await buildTypes(join(outdir, "types"));
  if (outdir === "dist") await printSize(outdir); // elsewhere no package.json says what has side effects
}

/** What a Llama-like model from the hub and its LoRA load late; `test/platform/package.test.ts` runs them and holds this list. */
const LATE_OF_LLAMA = ["adapter-card", "lora-codec", "replay", "tokenizer-files", "web-files"];

/**
 * Sizes in bytes, minified and compressed with gzip as a server sends them, shaders included: of the core without what is
 * loaded when it is needed, such as readers of Parquet; of that with what a Llama-like model loads that is trained with LoRA; and of the
 * one file that has everything.
 */
async function measure(outdir) {
  const { outputFiles, metafile } = await build({
    ...{ bundle: true, format: "esm", platform: "browser", minify: true, splitting: true },
    ...{ metafile: true, write: false, logLevel: "warning", outdir: ".cache/size" },
    stdin: coreProgram(`./${relative(process.cwd(), join(outdir, "web/src/index.web.js"))}`),
  });
  const loaded = new Set();
  const load = (path) => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const { path: next, kind } of metafile.outputs[path].imports) {
      if (kind === "import-statement") load(next);
    }
  };
  const entries = Object.entries(metafile.outputs).filter(([, { entryPoint }]) => entryPoint !== undefined);
  const loadedWith = (isWanted) => {
    for (const [path, { entryPoint }] of entries) if (isWanted(entryPoint)) load(path);
    return zippedBytes(outputFiles.filter(({ path }) => loaded.has(relative(process.cwd(), path))));
  };
  return {
    core: loadedWith((entry) => entry === "<stdin>"),
    llama: loadedWith((entry) => LATE_OF_LLAMA.includes(basename(entry, ".js"))),
    whole: zippedBytes([{ contents: await readFile(join(outdir, "web.js")) }]),
  };
}

const zippedBytes = (files) =>
  files.reduce((sum, { contents }) => sum + gzipSync(contents, { level: 9 }).length, 0);

async function printSize(outdir) {
  const { core, llama, whole } = await measure(outdir);
  const kilobytes = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
  console.log(
    `Gzipped: the core ${kilobytes(core)} (${CORE}), with what a Llama-like model from the hub and its LoRA load ${kilobytes(llama)}, everything ${kilobytes(whole)}`,
  );
}

/** A page without a bundler loads the one file and nothing else. */
function assertSelfContained({ outputs }) {
  const imports = Object.values(outputs).flatMap((output) => output.imports.map(({ path }) => path));
  if (imports.length > 0)
    throw new Error(`${Object.keys(outputs)[0]} is not self-contained: it imports ${imports.join(", ")}`);
}

async function buildTypes(outdir) {
  const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
  const args = [join(dirname(typescript), "bin/tsc"), "-p", "tsconfig.build.json", "--outDir", outdir];
  const { status } = spawnSync(process.execPath, args, { stdio: "inherit" });
  if (status !== 0) throw new Error("tsc could not write the declarations");
  const files = (await readdir(outdir, { recursive: true })).filter((file) => file.endsWith(".d.ts"));
  await Promise.all(files.map((file) => finishDeclaration(join(outdir, file))));
}

/** Not every consumer may import `.ts` or has the WebGPU types, which are part of TypeScript's DOM library. */
async function finishDeclaration(file) {
  const text = (await readFile(file, "utf8")).replace(/(["'])(\.{1,2}\/[^"']+)\.ts\1/g, "$1$2.js$1");
  const isEntry = basename(file).startsWith("index.");
  await writeFile(file, isEntry ? `/// <reference lib="dom" />\n${text}` : text);
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === "--run") await run(rest);
else if (mode === "--cli") await runCli(rest);
else if (mode === "--page") await buildPage(rest[0]);
else await buildAll(mode === "--out" ? rest[0] : "dist");
