// Builds the package: library for Node, library for browsers and Deno, command line; or bundles one script and runs it.
//   node build.mjs                 dist/
//   node build.mjs --run FILE ARGS bundles FILE into .cache/run and runs it
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { build } from "esbuild";
import { esbuildWgsl } from "./wgsl-plugin.mjs";

const CLI = "src/cli/main.ts";
const TYPES = "dist/types";

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

async function buildAll() {
  await rm("dist", { recursive: true, force: true });
  const entryPoints = { node: "src/index.node.ts", ...(existsSync(CLI) && { cli: CLI }) };
  const [, web] = await Promise.all([
    build({ ...node, entryPoints, outdir: "dist" }),
    build({
      ...shared,
      platform: "browser",
      entryPoints: { web: "src/index.web.ts" },
      outdir: "dist",
      metafile: true,
    }),
  ]);
  assertSelfContained(web.metafile);
  if (existsSync("dist/cli.js")) await chmod("dist/cli.js", 0o755);
  await buildTypes();
}

/** Browsers and Deno load the one file and nothing else. */
function assertSelfContained({ outputs }) {
  const imports = outputs["dist/web.js"].imports.map(({ path }) => path);
  if (imports.length > 0)
    throw new Error(`dist/web.js is not self-contained: it imports ${imports.join(", ")}`);
}

async function buildTypes() {
  const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
  const tsc = join(dirname(typescript), "bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-p", "tsconfig.build.json"], { stdio: "inherit" });
  if (status !== 0) throw new Error("tsc could not write the declarations");
  const files = (await readdir(TYPES, { recursive: true })).filter((file) => file.endsWith(".d.ts"));
  await Promise.all(files.map((file) => finishDeclaration(join(TYPES, file))));
}

/** Not every consumer may import `.ts`, and none need know that the WebGPU types are a package. */
async function finishDeclaration(file) {
  const text = (await readFile(file, "utf8")).replace(/(["'])(\.{1,2}\/[^"']+)\.ts\1/g, "$1$2.js$1");
  const entry = basename(file).startsWith("index.");
  await writeFile(file, entry ? `/// <reference types="@webgpu/types" />\n${text}` : text);
}

if (process.argv[2] === "--run") await run(process.argv.slice(3));
else await buildAll();
