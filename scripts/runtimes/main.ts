// npm run check:runtimes: packs the package, installs it in an empty folder as users do, and runs the README's example in each
// runtime that is here: Node, Deno, Bun, and Chromium from a bundle of each bundler. Needs the registry.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { BUNDLERS } from "../../test/platform/bundlers.ts";
import { serve } from "../../test/platform/serve.ts";
import { hasBrowser, openBrowser } from "../../test/support/page.ts";

const ROOT = process.cwd();
const MODEL = resolve("models/demo");
const STEP = /^\d+ [\d.]+$/gm;

/** What runs a file of a project, by name. */
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  node: [process.execPath],
  deno: [join(ROOT, "node_modules/.bin/deno"), "run", "-A", "--quiet", "--unstable-webgpu"],
  bun: ["bun", "run"],
};

/** Installs the packed package in an empty folder. */
function install(folder: string): void {
  execFileSync("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { stdio: "pipe" });
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz")) as string;
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  execFileSync("npm", ["install", "--no-audit", "--no-fund", `./${tarball}`], { cwd: folder, stdio: "pipe" });
}

/** The README's example with a model that is here. */
function example(model: string): string {
  const readme = readFileSync("README.md", "utf8");
  const code = /```ts\n(import \{ attach[\s\S]*?)```/.exec(readme)?.[1] ?? "";
  return code.replace(/loadModel\("[^"]+"/, `loadModel("${model}"`);
}

function runCommand(folder: string, [command = "", ...args]: readonly string[]): string {
  const { stdout, stderr, error, status } = spawnSync(command, [...args, "example.mjs"], {
    cwd: folder,
    encoding: "utf8",
  });
  if (error) return `not here (${(error as NodeJS.ErrnoException).code})`;
  return status === 0 ? verdict(stdout) : `failed: ${stderr.slice(-400)}`;
}

/** In a page, what is printed goes to the console, a step in two words. */
async function runPage(folder: string, bundler: string): Promise<string> {
  if (!hasBrowser) return "no Chromium here";
  const outdir = join(folder, `bundle-${bundler}`);
  const shim = "globalThis.process = { stdout: { write: (text) => console.log(text) } };\n";
  writeFileSync(join(folder, "page.js"), `${shim}${example("/model")}\nconsole.log("the end");`);
  mkdirSync(outdir, { recursive: true });
  await BUNDLERS[bundler]?.({ project: folder, entry: "page.js", outdir });
  const assets = join(outdir, "assets");
  const server = await serve({
    "/": { content: '<!doctype html><script type="module" src="/page/main.js"></script>' },
    "/page/": { folder: outdir },
    "/page/assets/": { folder: assets },
    "/assets/": { folder: assets },
    "/model/": { folder: MODEL },
  });
  const browser = await openBrowser();
  try {
    const page = await browser.newPage();
    const said: string[] = [];
    const ended = new Promise<void>((end) => {
      page.on("console", (message) => {
        said.push(message.text());
        if (message.text() === "the end") end();
      });
      page.on("pageerror", (error) => {
        said.push(`failed: ${error}`);
        end();
      });
    });
    await page.goto(server.url);
    await ended;
    return said.find((line) => line.startsWith("failed")) ?? verdict(said.join("\n"));
  } finally {
    await browser.close();
    server.close();
  }
}

function verdict(output: string): string {
  const losses = (output.match(STEP) ?? []).map((line) => Number(line.split(" ")[1]));
  const [first = 0, last = 0] = [losses[0], losses.at(-1)];
  return losses.length === 20 && last < first
    ? `works: loss ${first} to ${last}`
    : `failed: ${output.slice(-400)}`;
}

const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-runtimes-"));
try {
  install(folder);
  writeFileSync(join(folder, "example.mjs"), example(MODEL));
  const results = new Map<string, string>();
  for (const [name, command] of Object.entries(COMMANDS)) results.set(name, runCommand(folder, command));
  for (const name of Object.keys(BUNDLERS)) results.set(`page by ${name}`, await runPage(folder, name));
  for (const [name, result] of results) console.log(`${name}: ${result}`);
  if ([...results.values()].some((result) => result.startsWith("failed"))) process.exitCode = 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}
