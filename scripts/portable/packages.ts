// Which installed packages the archive needs, and which of their files.
import { existsSync, readFileSync } from "node:fs";
import { cp } from "node:fs/promises";
import { basename, join, sep } from "node:path";

interface Manifest {
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
}

/** What the tests import beyond the package's own dependencies; everything else comes by way of these. */
const TEST_ROOTS = ["@sparticuz/chromium", "esbuild", "safetensors", "vitest", "wgsl_reflect"];

/** The one part of a large package that is used here; its dependencies are not. */
const PARTS: Readonly<Record<string, (path: string) => boolean>> = {
  "@sparticuz/chromium": (path) => !path.startsWith("bin/") || path === "bin/swiftshader.tar.br",
  webgpu: (path) => !/^dist\/[^/]+/.test(path) || path.startsWith(`dist/${dawnFolder()}`),
};

const dawnFolder = () =>
  process.platform === "darwin" ? "darwin-universal" : `${process.platform}-${process.arch}`;

/** Names of the packages below node_modules that the archive needs, where they are installed; some may be left out. */
export function neededPackages(root: string, leftOut: readonly string[] = []): string[] {
  const found = new Set<string>();
  const visit = (name: string): void => {
    const folder = join(root, "node_modules", name);
    if (found.has(name) || leftOut.includes(name) || !existsSync(folder)) return; // optional ones for other systems are not installed
    found.add(name);
    if (name in PARTS) return;
    const manifest = readManifest(folder);
    for (const next of Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies }))
      visit(next);
  };
  const own = readManifest(root);
  for (const name of [...Object.keys({ ...own.dependencies, ...own.optionalDependencies }), ...TEST_ROOTS])
    visit(name);
  return [...found].sort();
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}

/** Copies a package without what only its developers read. */
export async function copyPackage(name: string, root: string, target: string): Promise<void> {
  const from = join(root, "node_modules", name);
  const wanted = PARTS[name] ?? (() => true);
  await cp(from, join(target, "node_modules", name), {
    recursive: true,
    dereference: true,
    filter: (path) => {
      const inside = path
        .slice(from.length + 1)
        .split(sep)
        .join("/");
      return inside === "" || (!isReading(path) && isOrHolds(inside, wanted));
    },
  });
}

/** Maps, types and manuals; licences stay. */
const isReading = (path: string) =>
  /\.(map|d\.[cm]?ts|md)$/i.test(path) && !/^(licen[cs]e|notice)/i.test(basename(path));

/** A folder is entered where it may hold something wanted: the parts above are given by files and whole folders. */
function isOrHolds(path: string, wanted: (path: string) => boolean): boolean {
  return wanted(path) || path === "bin" || path === "dist";
}
