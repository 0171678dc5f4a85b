import { readFileSync } from "node:fs";
import { type FileSource, memoryFiles } from "../../src/io/files/files.ts";
import { LoraError } from "../../src/util/fail.ts";

const encoder = new TextEncoder();

/** A file of test/fixtures, in a buffer of its own. */
export function fixture(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(new URL(`../fixtures/${name}`, import.meta.url)));
}

export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** Memory files from texts, JSON values and bytes. */
export function filesOf(contents: Record<string, unknown>): FileSource {
  const bytes = (value: unknown) => {
    if (value instanceof Uint8Array) return value;
    return utf8(typeof value === "string" ? value : JSON.stringify(value));
  };
  return memoryFiles("memory", new Map(Object.entries(contents).map(([name, v]) => [name, bytes(v)])));
}

/** Length field + header text + data. */
export function safetensorsOf(header: string | Uint8Array, data = new Uint8Array(0)): Uint8Array {
  const json = typeof header === "string" ? utf8(header) : header;
  const file = new Uint8Array(8 + json.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  file.set(data, 8 + json.length);
  return file;
}

/** The LoraError that `task` throws. */
export async function errorOf(task: () => unknown): Promise<LoraError> {
  try {
    await task();
  } catch (error) {
    if (error instanceof LoraError) return error;
    throw error;
  }
  throw new Error("expected a LoraError, but nothing was thrown");
}

/** Seeded uniform numbers in [0, 1) (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
