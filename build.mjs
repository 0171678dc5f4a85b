// Builds the package: library for Node, library for browsers and Deno, command line; or bundles one script and runs it.
//   node build.mjs                 dist/
//   node build.mjs --run FILE ARGS bundles FILE into node_modules/.cache and runs it
import { spawnSync } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { build } from "esbuild";
import { esbuildWgsl } from "./wgsl-plugin.mjs";

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
  const outfile = resolve("node_modules/.cache/webgpu-lora", basename(file).replace(/\.ts$/, ".mjs"));
  await mkdir(resolve(outfile, ".."), { recursive: true });
  await build({ ...node, entryPoints: [file], outfile, sourcemap: "inline" });
  const { status } = spawnSync(process.execPath, ["--enable-source-maps", outfile, ...args], { stdio: "inherit" });
  process.exitCode = status ?? 1;
}

async function buildAll() {
  await rm("dist", { recursive: true, force: true });
  await Promise.all([
    build({ ...node, entryPoints: { node: "src/index.node.ts", cli: "src/cli/main.ts" }, outdir: "dist" }),
    build({ ...shared, platform: "browser", entryPoints: { web: "src/index.web.ts" }, outdir: "dist" }),
  ]);
}

if (process.argv[2] === "--run") await run(process.argv.slice(3));
else await buildAll();
