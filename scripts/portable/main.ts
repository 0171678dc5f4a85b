// npm run pack:portable [-- --check [ARGS]]: one archive that runs the tests and the benchmark on a machine without network.
// npm run pack:portable -- --beside-checkout: the same without what is under version control, to be unpacked into a checkout.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { chmod, copyFile, cp, mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { copyPackage, neededPackages } from "./packages.ts";

const MOST_BYTES = 60e6;
/** What may be carried to a lent machine: the checkout, and the archive beside it. */
const CARRIED_BYTES = 64 * 2 ** 20;
const [mode, ...args] = process.argv.slice(2);
const isBesideCheckout = mode === "--beside-checkout";
const KIND = isBesideCheckout ? "beside-checkout" : "portable";
const NAME = `webgpu-lora-${KIND}-${process.platform}-${process.arch}`;
/** A session on a GPU needs neither a software device nor pictures, and what is carried there may be limited. */
const LEFT_OUT = isBesideCheckout ? ["@sparticuz/chromium", "sharp"] : [];
const NEXT = isBesideCheckout
  ? "unpack it into a checkout with --strip-components=1"
  : "unpack it and call ./run";
const ROOT = process.cwd();
const ARCHIVE = resolve(ROOT, "out", `${NAME}.tar.xz`);

async function pack(): Promise<void> {
  const staging = await mkdtemp(join(tmpdir(), "webgpu-lora-portable-"));
  try {
    const folder = join(staging, NAME);
    if (!isBesideCheckout) await copyTracked(folder);
    for (const name of neededPackages(ROOT, LEFT_OUT)) await copyPackage(name, ROOT, folder);
    execFileSync(process.execPath, ["build.mjs", "--out", join(folder, "dist")], {
      cwd: ROOT,
      stdio: "inherit",
    });
    await dropUnused(join(folder, "dist"));
    await copyLoader(join(folder, "lib"));
    await mkdir(join(folder, "bin"));
    await cp(process.execPath, join(folder, "bin/node"), { dereference: true });
    if (!isBesideCheckout) {
      await copyFile(join(ROOT, "scripts/portable/run.sh"), join(folder, "run"));
      await chmod(join(folder, "run"), 0o755);
    }
    await compress(staging);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Maps, declarations and what browsers load are a large part of the package, and nothing that runs there reads them. */
async function dropUnused(dist: string): Promise<void> {
  for (const name of ["types", "web", "web.js", "web-worker.js"])
    await rm(join(dist, name), { recursive: true });
  const files = await readdir(dist, { recursive: true });
  for (const file of files.filter((name) => name.endsWith(".map"))) await rm(join(dist, file));
}

/** Vulkan's loader, which machines for computing alone lack: Dawn finds no driver without it. */
async function copyLoader(folder: string): Promise<void> {
  if (process.platform !== "linux") return;
  const listed = execFileSync("/sbin/ldconfig", ["-p"], { encoding: "utf8" });
  const path = /libvulkan\.so\.1 .*=> (\S+)/.exec(listed)?.[1];
  if (path === undefined) {
    console.warn("no libvulkan.so.1 here: a machine without it will see software devices alone");
    return;
  }
  await mkdir(folder, { recursive: true });
  await copyFile(path, join(folder, "libvulkan.so.1"));
}

/** Files under version control, of those folders that tests, bench and command line need. */
async function copyTracked(folder: string): Promise<void> {
  const wanted = [
    "src",
    "shaders",
    "test",
    "kernels-bench",
    "models",
    "docs",
    "scripts",
    "*.mjs",
    "*.json",
    "LICENSE",
    "README.md",
  ];
  for (const file of tracked(wanted)) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await copyFile(join(ROOT, file), join(folder, file));
  }
}

/** Files under version control. */
function tracked(wanted: readonly string[]): string[] {
  const listed = execFileSync("git", ["ls-files", "-z", "--", ...wanted], { cwd: ROOT, encoding: "utf8" });
  return listed.split("\0").filter((name) => name !== "");
}

/** What the archive may have. */
async function mostBytes(): Promise<number> {
  if (!isBesideCheckout) return MOST_BYTES;
  const sizes = await Promise.all(tracked(["."]).map(async (file) => (await stat(join(ROOT, file))).size));
  return sizes.reduce((left, size) => left - size, CARRIED_BYTES);
}

/** The archive appears whole, by a rename. */
async function compress(staging: string): Promise<void> {
  await mkdir(dirname(ARCHIVE), { recursive: true });
  const partial = `${ARCHIVE}.tmp`;
  try {
    const owner = ["--owner=0", "--group=0", "--numeric-owner", "--sort=name"];
    execFileSync("tar", ["-C", staging, "-cJf", partial, ...owner, NAME], {
      env: { ...process.env, XZ_OPT: "-9 -T1" },
      stdio: "inherit",
    });
    const { size } = await stat(partial);
    const most = await mostBytes();
    if (size > most)
      throw new Error(`the archive has ${size} bytes, more than the ${most} that there is room for`);
    await rename(partial, ARCHIVE);
    console.log(`${ARCHIVE}: ${(size / 1e6).toFixed(1)} MB; ${NEXT}`);
  } finally {
    await rm(partial, { force: true });
  }
}

/** Unpacks the archive into an empty folder and calls `./run ARGS` there without network, variables or other programs' folders. */
async function check(args: readonly string[]): Promise<void> {
  if (!existsSync(ARCHIVE)) throw new Error(`${ARCHIVE} is not there; npm run pack:portable makes it`);
  const folder = await mkdtemp(join(tmpdir(), "webgpu-lora-check-"));
  try {
    execFileSync("tar", ["-C", folder, "-xJf", ARCHIVE]);
    const script = [
      `mount -t tmpfs none "${dirname(ROOT)}"`, // neither this checkout nor its node_modules
      "PATH=/usr/sbin:/sbin:$PATH ip link set lo up", // every machine reaches itself
      'if getent hosts example.com >/dev/null 2>&1; then echo "there is a network" >&2; exit 1; fi',
      `cd "${join(folder, NAME)}" && exec ./run "$@"`,
    ].join("; ");
    const keep = ["WEBGPU_LORA_ADAPTER"].flatMap((name) =>
      process.env[name] ? [`${name}=${process.env[name]}`] : [],
    );
    const environment = ["-i", "PATH=/usr/bin:/bin", `HOME=${folder}`, ...keep];
    const words = [
      "--map-root-user",
      "--net",
      "--mount",
      "env",
      ...environment,
      "sh",
      "-c",
      script,
      "run",
      ...args,
    ];
    const { status } = spawnSync("unshare", words, { stdio: "inherit", cwd: folder });
    process.exitCode = status ?? 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

if (mode === "--check") await check(args);
else await pack();
