import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import type { FileSource } from "../../../src/io/files/files.ts";
import { type HubOptions, hubFiles } from "../../../src/io/files/hub.ts";
import { nodeHash } from "../../../src/platform/node-hash.ts";
import { type HubServer, serveHub } from "./hub-server.ts";

export const MIB = 2 ** 20;
/** Bytes of `big.bin`. */
export const SIZE = 2 * MIB + 7;
/** Content of `big.bin`. */
export const content: Uint8Array = new Uint8Array(SIZE).map((_, i) => (i * 2654435761) >>> 24);
/** Content of `config.json`. */
export const CONFIG = '{"a": 1}';
export const COMMIT = "c".repeat(40);

/** A hub and the server that its large files are on, new for each test. */
export interface TwoServers {
  server: HubServer;
  cdn: HubServer;
  /** Waits that were asked for, in milliseconds. */
  waits: number[];
  warnings: string[];
  /** How files are read: without real waits. */
  readonly options: Pick<HubOptions, "hash" | "seesRedirects" | "limits" | "delay" | "onWarning">;
  /** The files of a repository of the hub. */
  hub(options?: Partial<HubOptions>): FileSource;
}

/** Starts two servers before each test and ends them after it. */
export function useTwoServers(): TwoServers {
  const none = undefined as unknown as HubServer; // until a test begins
  const servers: TwoServers = {
    ...{ server: none, cdn: none, waits: [], warnings: [] },
    options: {
      hash: nodeHash,
      seesRedirects: true,
      limits: { answer: 400, stall: 400 },
      delay: async (ms) => void servers.waits.push(ms),
      onWarning: (line) => void servers.warnings.push(line),
    },
    hub: (options = {}) =>
      hubFiles({ ...servers.options, repo: "owner/tiny", endpoint: servers.server.origin, ...options }),
  };
  let folder: string;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "download-"));
    writeFileSync(join(folder, "big.bin"), content);
    writeFileSync(join(folder, "config.json"), CONFIG);
    const [server, cdn] = [await serveHub(folder), await serveHub(folder)];
    Object.assign(servers, { server, cdn, waits: [], warnings: [] });
  });
  afterEach(async () => {
    await servers.server[Symbol.asyncDispose]();
    await servers.cdn[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });
  return servers;
}
