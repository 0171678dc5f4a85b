import type { Problems } from "../../../util/fail.ts";
import { shown } from "../../../util/shown.ts";
import type { GgufMetadata, GgufValue, Scalar } from "./values.ts";

/**
 * Reads entries of a file's metadata, checks their kinds and remembers which were read. Problems are gathered; until they
 * are told, a wrong entry reads as its fallback.
 */
export class MetadataReader {
  readonly #metadata: GgufMetadata;
  readonly #problems: Problems;
  readonly #read = new Set<string>();

  constructor(metadata: GgufMetadata, problems: Problems) {
    this.#metadata = metadata;
    this.#problems = problems;
  }

  has(key: string): boolean {
    return this.#metadata.has(key);
  }

  /** A number; of a list, what all its items are: llama.cpp has some for each layer. */
  number(key: string, fallback?: number): number {
    const entry = this.#find(key);
    const items = entry?.kind === "array" ? entry.value : [entry?.value];
    const [first] = items;
    const value = typeof first === "bigint" ? Number(first) : first;
    const isNumber = typeof value === "number" && Number.isFinite(value);
    if (isNumber && items.every((item) => item === first)) return value;
    if (entry !== undefined && isNumber) this.#problems.push(`${key} differs from layer to layer`);
    else if (entry !== undefined || fallback === undefined) this.#wrong(key, "a number");
    return fallback ?? 1;
  }

  text(key: string, fallback?: string): string {
    const entry = this.#find(key);
    if (entry?.kind === "string" && typeof entry.value === "string") return entry.value;
    if (entry !== undefined || fallback === undefined) this.#wrong(key, "a text");
    return fallback ?? "";
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.#find(key)?.value;
    if (typeof value === "boolean") return value;
    if (value !== undefined) this.#wrong(key, "true or false");
    return fallback;
  }

  /** A list of texts; undefined where there is none. */
  texts(key: string): readonly string[] | undefined {
    return this.#list(key, "texts", (item): item is string => typeof item === "string");
  }

  /** A list of numbers; undefined where there is none. */
  numbers(key: string): readonly number[] | undefined {
    return this.#list(key, "numbers", (item): item is number => typeof item === "number");
  }

  /** An entry that may only be absent or have this value: anything else is not known here. */
  only(key: string, value: Scalar): void {
    const entry = this.#find(key);
    const found = typeof entry?.value === "bigint" ? Number(entry.value) : entry?.value;
    if (entry && found !== value) this.#problems.push(`${key} is ${told(entry)}; supported is ${value}`);
  }

  /** Entries that change nothing. */
  ignore(...keys: readonly string[]): void {
    for (const key of keys) this.#read.add(key);
  }

  /** Names every entry below a prefix that was not read. */
  refuseUnread(prefix: string): void {
    for (const key of this.#metadata.keys())
      if (key.startsWith(prefix) && !this.#read.has(key))
        this.#problems.push(`${key} is not known here, and may change what the model computes`);
  }

  #find(key: string) {
    this.#read.add(key);
    return this.#metadata.get(key);
  }

  #list<T extends Scalar>(
    key: string,
    what: string,
    is: (item: Scalar) => item is T,
  ): readonly T[] | undefined {
    const entry = this.#find(key);
    if (entry === undefined) return undefined;
    if (entry.kind === "array" && entry.value.every(is)) return entry.value;
    this.#wrong(key, `a list of ${what}`);
    return undefined;
  }

  #wrong(key: string, wanted: string): void {
    const entry = this.#metadata.get(key);
    this.#problems.push(`${key} is ${entry ? told(entry) : "missing"}, expected ${wanted}`);
  }
}

function told({ kind, value }: GgufValue): string {
  if (kind === "array") return "a list";
  return kind === "string" ? shown(value) : String(value);
}
