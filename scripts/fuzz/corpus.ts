import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { memoryFiles } from "../../src/io/files/files.ts";
import { fail } from "../../src/util/fail.ts";
import { type JsonTree, treeOf } from "./json-tree.ts";

/** Small valid files of the repository, to begin with. Paths are relative to its root, from where scripts run. */

export const FIXTURES = "test/fixtures";

/** @throws LoraError where the script runs from elsewhere */
export function bytesAt(path: string): Uint8Array {
  if (!existsSync(path)) fail(path, "is not there", "run this from the root of the repository");
  return new Uint8Array(readFileSync(path));
}

export function textAt(path: string): string {
  return new TextDecoder().decode(bytesAt(path));
}

export function jsonAt(path: string): unknown {
  return JSON.parse(textAt(path));
}

export function treeAt(path: string): JsonTree {
  return treeOf(jsonAt(path));
}

/** Folders of models with their adapters: at least one for each family and task. */
export function modelFolders(): string[] {
  const below = (folder: string) => readdirSync(folder).map((name) => join(folder, name));
  const all = [
    ...below(join(FIXTURES, "families")),
    ...below(join(FIXTURES, "tasks")),
    join(FIXTURES, "llama-gqa"),
  ];
  return all.filter((folder) => existsSync(join(folder, "config.json"))).sort();
}

/** The files of a folder, those of sub-folders by their paths. */
export function filesBelow(folder: string): Map<string, Uint8Array> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return new Map(
    names.map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(folder.length + 1), bytesAt(path)] as const;
    }),
  );
}

/** The same, as sources are read. */
export function sourceBelow(folder: string) {
  return memoryFiles(folder, filesBelow(folder));
}
