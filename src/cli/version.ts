import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const NAME = "webgpu-lora";

/** This package's version, from the package.json above this file, wherever it was bundled to. */
export function packageVersion(): string {
  return versionAbove(fileURLToPath(import.meta.url), NAME) ?? "unknown";
}

/** The version of a dependency, or undefined where it is not installed. */
export function installedVersion(name: string): string | undefined {
  try {
    return versionAbove(createRequire(import.meta.url).resolve(name), name);
  } catch {
    return undefined;
  }
}

function versionAbove(path: string, name: string): string | undefined {
  const folder = dirname(path);
  if (folder === path) return undefined;
  const file = join(folder, "package.json");
  const found = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>) : {};
  return found.name === name ? String(found.version) : versionAbove(folder, name);
}
