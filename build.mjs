// Builds the package: library for Node, library for browsers and Deno, command line; or bundles one script and runs it.
//   node build.mjs [--out DIR]     the package's files, into dist/ unless told otherwise
//   node build.mjs --run FILE ARGS bundles FILE into .cache/run and runs it
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { build } from "esbuild";
import { esbuildWgsl } from "./wgsl-plugin.mjs";

const CLI = "src/cli/main.ts";

const shared = {
  bundle: true,
  format: "esm",
  target: "es2022",
  sourcemap: true,
  plugins: [esbuildWgsl],
  logLevel: "warning",
};
const node = { ...shared, platform: "node", packages: "external" };

async function run([file, ...args]) {
  const outfile = resolve(".cache/run", basename(file).replace(/\.ts$/, ".mjs"));
  await mkdir(dirname(outfile), { recursive: true });
  await build({ ...node, entryPoints: [file], outfile, sourcemap: "inline" });
  const { status } = spawnSync(process.execPath, ["--enable-source-maps", outfile, ...args], {
    stdio: "inherit",
  });
  process.exitCode = status ?? 1;
}

async function buildAll(outdir) {
  await rm(outdir, { recursive: true, force: true });
  const entryPoints = { node: "src/index.node.ts", ...(existsSync(CLI) && { cli: CLI }) };
  const [, web] = await Promise.all([
    build({ ...node, entryPoints, outdir }),
    build({
      ...shared,
      platform: "browser",
      entryPoints: { web: "src/index.web.ts" },
      outdir,
      metafile: true,
    }),
  ]);
  assertSelfContained(web.metafile);
  if (existsSync(CLI)) await chmod(join(outdir, "cli.js"), 0o755);
  await buildTypes(join(outdir, "types"));
}

/** Browsers and Deno load the one file and nothing else. */
function assertSelfContained({ outputs }) {
  const imports = Object.values(outputs).flatMap((output) => output.imports.map(({ path }) => path));
  if (imports.length > 0) throw new Error(`web.js is not self-contained: it imports ${imports.join(", ")}`);
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
else await buildAll(mode === "--out" ? rest[0] : "dist");
