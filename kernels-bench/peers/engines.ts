import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { create, globals } from "webgpu";
import { packageVersion } from "../../src/cli/version.ts";
import type { Device, Wait } from "../../src/gpu/device.ts";
import { fail, LoraError } from "../../src/util/fail.ts";
import { nearest } from "../../src/util/nearest.ts";
import { type Engine, INSTALL } from "./engine.ts";
import { jaxEngine } from "./jax.ts";
import { ortEngine } from "./ort.ts";
import { ourEngine } from "./ours.ts";
import { tfEngine } from "./tfjs.ts";

/** The peers by a short name: their package, and how they are opened. */
const PEERS: Readonly<Record<string, { package: string; open(version: string): Promise<Engine> }>> = {
  jax: { package: "@jax-js/jax", open: jaxEngine },
  tfjs: { package: "@tensorflow/tfjs", open: tfEngine },
  ort: { package: "onnxruntime-node", open: ortEngine },
};

/** Short names of all peers. */
export const PEER_NAMES = Object.keys(PEERS);

/** This package first, which the others are measured against, then its variants. */
export function ownEngines(device: Device): Engine[] {
  const version = packageVersion();
  return [
    ourEngine(device, version),
    ourEngine(device, version, "bf16 weights"),
    ourEngine(device, version, "LoRA r 8"),
    ourEngine(device, version, "LoRA r 8 on bf16"),
  ];
}

/** @throws LoraError for a name that no peer has. */
export function checkPeerNames(names: readonly string[]): void {
  const unknown = names.find((name) => !PEER_NAMES.includes(name));
  if (unknown === undefined) return;
  const meant = nearest(unknown, PEER_NAMES);
  const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
  fail("bench:peers", `there is no peer "${unknown}"${hint}`, `peers: ${PEER_NAMES.join(", ")}`);
}

/**
 * The peers that are installed; of the others `note` is told how to install them.
 * Ours must have opened its device before: that finds the driver, which the peers then share.
 */
export async function openPeers(names: readonly string[], note: (line: string) => void): Promise<Engine[]> {
  offerWebGpu();
  const engines: Engine[] = [];
  for (const name of names) {
    try {
      engines.push(await openPeer(name));
    } catch (error) {
      if (!(error instanceof LoraError)) throw error;
      note(`${name} is left out: ${error.message}`);
    }
  }
  if (engines.length === 0 && names.length > 0)
    fail("bench:peers", "there is nobody to compare with", INSTALL);
  return engines;
}

/**
 * The engine with waits that let the JavaScript thread sleep, as this package's own do: what is compared then is the
 * kernels alone. Libraries on Dawn's Node binding poll without a pause otherwise, which takes a core.
 */
export function resting(engine: Engine, wait: Wait): Engine {
  return {
    ...engine,
    async prepare(work) {
      const prepared = await engine.prepare(work);
      if (!prepared) return undefined;
      const start = () => {
        const finish = prepared.start();
        return () => wait(finish(), true);
      };
      return { ...prepared, start };
    },
  };
}

/** Opens one peer. @throws LoraError where it is not installed. */
export function openPeer(name: string): Promise<Engine> {
  const { package: id, open } = PEERS[name] as (typeof PEERS)[string];
  return open(peerVersion(id));
}

/** Browser libraries look for WebGPU where browsers have it. */
export function offerWebGpu(): void {
  Object.assign(globalThis, globals);
  const gpu = create(["disable-dawn-features=timestamp_quantization"]);
  const value = { gpu, userAgent: "node", platform: "node", language: "en" };
  Object.defineProperty(globalThis, "navigator", { configurable: true, value });
}

/** From the package.json above the package's entry; the package may not export that file itself. */
export function peerVersion(id: string): string {
  try {
    let folder = dirname(createRequire(import.meta.url).resolve(id));
    while (!folder.endsWith(id)) {
      if (folder === dirname(folder)) return "unknown";
      folder = dirname(folder);
    }
    const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version: string };
    return version;
  } catch {
    return "not installed";
  }
}
