// Builds the package: library for Node, library for browsers and Deno, command line; or bundles one script and runs it.
//   node build.mjs [--out DIR]     the package's files, into dist/ unless told otherwise
//   node build.mjs --run FILE ARGS bundles FILE into .cache/run and runs it
//   node build.mjs --cli ARGS      bundles the command line into .cache/cli and runs it
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { build } from "esbuild";
import { esbuildWgsl } from "./wgsl-plugin.mjs";

/** The command line, and the benchmark, which it loads from beside itself. */
const PROGRAMS = { cli: "src/cli/main.ts", bench: "kernels-bench/node.ts" };

const shared = {
  bundle: true,
  format: "esm",
  target: "es2022",
  sourcemap: true,
  plugins: [esbuildWgsl],
  logLevel: "warning",
};
const node = { ...shared, platform: "node", packages: "external" };
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
  execute(join(outdir, "cli.js"), args);
}

function execute(file, args) {
  const { status } = spawnSync(process.execPath, ["--enable-source-maps", file, ...args], {
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
}

/** The programs for Node, and the benchmark for browsers and Deno. */
async function buildPrograms(outdir) {
  const { version } = JSON.parse(await readFile("package.json", "utf8"));
  const define = { PACKAGE_VERSION: JSON.stringify(version) };
  const web = { ...shared, platform: "browser", metafile: true, define };
  const [, page] = await Promise.all([
    build({ ...node, entryPoints: PROGRAMS, outdir }),
    build({ ...web, entryPoints: { page: "kernels-bench/web/page.ts" }, outdir: join(outdir, "bench") }),
    build({ ...deno, define, entryPoints: { deno: "kernels-bench/deno.ts" }, outdir: join(outdir, "bench") }),
  ]);
  assertSelfContained(page.metafile);
  await copyFile("kernels-bench/web/index.html", join(outdir, "bench/index.html"));
}

async function buildAll(outdir) {
  await rm(outdir, { recursive: true, force: true });
  const [, , web] = await Promise.all([
    build({ ...node, entryPoints: { node: "src/index.node.ts" }, outdir }),
    buildPrograms(outdir),
    build({
      ...shared,
      platform: "browser",
      entryPoints: { web: "src/index.web.ts" },
      outdir,
      metafile: true,
    }),
  ]);
  assertSelfContained(web.metafile);
  await chmod(join(outdir, "cli.js"), 0o755);
  await buildTypes(join(outdir, "types"));
}

/** Browsers, and Deno for the library, load the one file and nothing else. */
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
else await buildAll(mode === "--out" ? rest[0] : "dist");
