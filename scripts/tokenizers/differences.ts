// Compares our tokenizers with Rust's over what differences.py wrote:
//   node build.mjs --run scripts/tokenizers/differences.ts FOLDER

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createTokenizer, type Tokenizer } from "../../src/io/tokenizer/tokenizer.ts";
import { decodedRow, type Row, rowOf } from "../../test/io/tokenizer/rows.ts";

/** Number of ids, their digest, the decoded text's, and Rust's seconds. */
type LongRow = [number, string, string, number];

interface Inputs {
  texts: string[];
  long: Record<string, string>;
  /** Rows of ids for the decoders. */
  rows: number[][];
}

interface Case {
  name: string;
  json: unknown;
  /** Null where the library itself gives up. */
  rows?: (Row | null)[];
  long?: Record<string, LongRow | null>;
  decoded?: [string, string][];
}

const SHOWN_AT_MOST = 40;

const folder = process.argv[2] ?? "";
const readJson = <T>(name: string) => JSON.parse(readFileSync(join(folder, name), "utf8")) as T;
const inputs = readJson<Inputs>("texts");
const digest = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);
const times: { seconds: number; line: string }[] = [];
let compared = 0;
let differences = 0;

/** Counts a result, and shows where it is another than Rust's. */
function compare(name: string, input: string, ours: unknown, rusts: unknown): void {
  const [a, b] = [JSON.stringify(ours), JSON.stringify(rusts)];
  compared++;
  if (a === b) return;
  if (differences++ >= SHOWN_AT_MOST) return;
  const at = Math.max(0, [...a].findIndex((character, i) => character !== b[i]) - 60);
  const near = (row: string) => row.slice(at, at + 160);
  console.log(`${name}: ${JSON.stringify(input).slice(0, 200)}\n  ours …${near(a)}\n  Rust …${near(b)}`);
}

/** A long text's ids by their digest, or null where the tokenizer gives up. */
function longRow(tokenizer: Tokenizer, text: string): [number, string, string] | null {
  try {
    const ids = tokenizer.encode(text);
    return [ids.length, digest(ids.join()), digest(tokenizer.decode(ids))];
  } catch {
    return null;
  }
}

function compareCase({ name, json, rows = [], long = {}, decoded = [] }: Case): void {
  const tokenizer = createTokenizer(json);
  const { texts } = inputs;
  rows.forEach((row, i) => {
    compare(name, texts[i] ?? "", rowOf(tokenizer, texts, i), row);
  });
  decoded.forEach((row, i) => {
    const ids = inputs.rows[i] ?? [];
    compare(name, ids.join(), decodedRow(tokenizer, ids), row);
  });
  for (const [kind, row] of Object.entries(long)) {
    const start = performance.now();
    compare(name, kind, longRow(tokenizer, inputs.long[kind] ?? ""), row?.slice(0, 3) ?? null);
    const seconds = (performance.now() - start) / 1000;
    times.push({ seconds, line: `${seconds.toFixed(2)} s (Rust ${row?.[3]} s) ${name}, ${kind}` });
  }
}

const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
for (const file of files.sort()) {
  const found = readJson<Case>(file);
  try {
    compareCase(found);
  } catch (error) {
    differences++;
    console.log(`${found.name}: refused: ${error}`);
  }
}
const slowest = times.sort((a, b) => b.seconds - a.seconds).slice(0, 15);
console.log([...slowest.map(({ line }) => line), ""].join("\n"));
console.log(`${files.length} tokenizers, ${compared} texts, ${differences} differences`);
process.exit(differences > 0 ? 1 : 0);
