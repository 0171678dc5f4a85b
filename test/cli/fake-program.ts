import { chmodSync, writeFileSync } from "node:fs";

/** Writes a program that runs a script in Node, whatever its words say. @returns its path */
export function fakeProgram(path: string, script: string): string {
  writeFileSync(`${path}.mjs`, script);
  writeFileSync(path, `#!/bin/sh\nexec "${process.execPath}" "${path}.mjs" "$@"\n`);
  chmodSync(path, 0o755);
  return path;
}
