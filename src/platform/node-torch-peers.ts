import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import type { Peers, Share, Traffic, WireType } from "../train/peers.ts";
import { byteView } from "../util/bytes.ts";
import { LoraError } from "../util/fail.ts";
import { NO_PYTHON, python } from "./node-python.ts";
import script from "./torch-peers.py";

/**
 * What torchrun's variables, or those of its like, tell of a process; undefined for one on its own.
 * @throws LoraError where they contradict each other, or the others cannot be met
 */
export function shareOf(env: Readonly<Record<string, string | undefined>>): Share | undefined {
  const { RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT } = env;
  if (RANK === undefined || WORLD_SIZE === undefined) return undefined;
  const [rank, size] = [RANK, WORLD_SIZE].map(Number) as [number, number];
  const isShare = Number.isInteger(rank) && Number.isInteger(size) && rank >= 0 && rank < size;
  if (!isShare) {
    const got = `RANK is ${RANK} and WORLD_SIZE ${WORLD_SIZE}, wanted a rank from 0 below the size`;
    throw new LoraError("input", "ranks", got, "start it by torchrun, or unset both");
  }
  if (size === 1) return undefined;
  if (!MASTER_ADDR || !MASTER_PORT) {
    const got = `MASTER_ADDR is ${MASTER_ADDR ?? "not set"} and MASTER_PORT ${MASTER_PORT ?? "not set"}: rank ${rank} of ${size} knows not where the others are`;
    throw new LoraError("input", "ranks", got, "start it by torchrun, or set both to where rank 0 runs");
  }
  return { rank, size };
}

const NO_TORCH = NO_PYTHON("torch");

const OPERATIONS = { sum: 0, broadcast: 1, gather: 2, fail: 3 } as const;
const WIRE_TYPES: Readonly<Record<WireType, number>> = { f32: 0, f16: 1, bf16: 2 };
const NOTHING = new Uint8Array();

/** Peers that a Python process beside this one talks to. */
export interface TorchPeers extends Peers {
  /** Ends it; with an error, the others are told. */
  close(error?: unknown): Promise<void>;
}

/**
 * Joins this process with the others, through `torch.distributed` with Gloo.
 * @param timeoutSeconds after which one that does not answer counts as hanging
 * @throws LoraError where there is no Python with torch, or the others are not met
 */
export async function openTorchPeers(place: Share, timeoutSeconds: number): Promise<TorchPeers> {
  const child = spawn(python(), ["-c", script, String(timeoutSeconds)], {
    env: { TORCH_CPP_LOG_LEVEL: "ERROR", ...process.env },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const sidecar = new Sidecar(child, `rank ${place.rank}`);
  await sidecar.answer();
  return new TorchRanks(place, sidecar);
}

class TorchRanks implements TorchPeers {
  readonly rank: number;
  readonly size: number;
  readonly #sidecar: Sidecar;
  #traffic: Traffic = { bytes: 0, seconds: 0 };

  constructor({ rank, size }: Share, sidecar: Sidecar) {
    this.rank = rank;
    this.size = size;
    this.#sidecar = sidecar;
  }

  get traffic(): Traffic {
    return this.#traffic;
  }

  async sum(values: Float32Array<ArrayBuffer>, wire: WireType = "f32"): Promise<Float32Array> {
    const bytes = byteView(values);
    const sum = await this.#ask("sum", bytes, WIRE_TYPES[wire]);
    const { bytes: sent, seconds } = this.#traffic;
    this.#traffic = { bytes: sent - (wire === "f32" ? 0 : bytes.length / 2), seconds };
    return new Float32Array(sum.buffer, sum.byteOffset, sum.length / 4);
  }

  broadcast(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
    return this.#ask("broadcast", bytes);
  }

  async gather(text: string): Promise<readonly string[]> {
    const all = await this.#ask("gather", new TextEncoder().encode(text));
    const view = new DataView(all.buffer, all.byteOffset, all.length);
    const texts: string[] = [];
    for (let at = 0; at < all.length; ) {
      const size = view.getUint32(at, true);
      texts.push(new TextDecoder().decode(all.subarray(at + 4, at + 4 + size)));
      at += 4 + size;
    }
    return texts;
  }

  async close(error?: unknown): Promise<void> {
    const message = error instanceof Error ? error.message : String(error);
    if (error !== undefined) await this.#ask("fail", new TextEncoder().encode(message)).catch(() => {}); // it may be what failed
    this.#sidecar.end();
  }

  async #ask(
    operation: keyof typeof OPERATIONS,
    bytes: Uint8Array<ArrayBuffer>,
    wire = 0,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const started = performance.now();
    const answer = await this.#sidecar.ask(OPERATIONS[operation], wire, bytes);
    const { bytes: sent, seconds } = this.#traffic;
    this.#traffic = { bytes: sent + bytes.length, seconds: seconds + (performance.now() - started) / 1000 };
    return answer;
  }
}

/** The Python process: a request, then its answer. */
class Sidecar {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #where: string;
  readonly #chunks: AsyncIterator<Buffer>;
  /** What has arrived beyond the last answer. */
  #rest: Uint8Array<ArrayBufferLike> = NOTHING;
  #failure: LoraError | undefined;

  constructor(child: ChildProcessByStdio<Writable, Readable, null>, where: string) {
    this.#child = child;
    this.#where = where;
    child.on("error", ({ message }) => {
      this.#failure ??= new LoraError("input", where, `${python()} does not start: ${message}`, NO_TORCH);
    });
    child.stdin.on("error", () => {}); // the answer tells why it has gone
    this.#chunks = child.stdout[Symbol.asyncIterator]();
  }

  async ask(operation: number, wire: number, payload: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#failure) throw this.#failure;
    const header = Uint32Array.of(operation, wire, payload.length);
    this.#child.stdin.write(new Uint8Array(header.buffer));
    this.#child.stdin.write(payload);
    return this.answer();
  }

  /** The next answer. @throws LoraError the text of an error, and where the process has ended */
  async answer(): Promise<Uint8Array<ArrayBuffer>> {
    const [status = 1, size = 0] = new Uint32Array((await this.#read(8)).buffer);
    const payload = await this.#read(size);
    if (status === 0) return payload;
    const text = new TextDecoder().decode(payload);
    this.#failure = new LoraError("input", this.#where, text, text.includes("import torch") ? NO_TORCH : []);
    throw this.#failure;
  }

  end(): void {
    this.#child.stdin.end();
  }

  async #read(size: number): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; ) {
      if (this.#rest.length === 0) this.#rest = await this.#arrival();
      const part = this.#rest.subarray(0, size - at);
      bytes.set(part, at);
      this.#rest = this.#rest.subarray(part.length);
      at += part.length;
    }
    return bytes;
  }

  async #arrival(): Promise<Uint8Array> {
    const { value, done } = await this.#chunks.next().catch(() => ({ value: undefined, done: true }));
    if (!done && value) return value;
    // The event that says why it did not start may come after the end of its output.
    await new Promise((resolve) => setImmediate(resolve));
    this.#failure ??= new LoraError(
      "input",
      this.#where,
      "the Python process that joins the ranks has ended",
    );
    throw this.#failure;
  }
}
