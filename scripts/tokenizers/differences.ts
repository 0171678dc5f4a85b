// Compares our tokenizers with Rust's over what differences.py wrote:
//   node build.mjs --run scripts/tokenizers/differences.ts FOLDER

import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createTokenizer, type Tokenizer } from "../../src/io/tokenizer/tokenizer.ts";

/** Ids of the text, without special tokens, of the pair with the text before, its segments, decoded without and with special tokens. */
type Row = [number[], number[], number[], number[], string, string];
/** Number of ids, their digest, the decoded text's, seconds. */
type LongRow = [number, string, string, number];

interface Texts {
  texts: string[];
  long: Record<string, string>;
  rows: number[][];
}

interface Case {
  name: string;
  json: unknown;
  rows?: (Row | null)[];
  long?: Record<string, LongRow | null>;
  decoded?: [string, string][];
}

const folder = process.argv[2] ?? "";
const readJson = <T>(name: string) => JSON.parse(readFileSync(join(folder, name), "utf8")) as T;
const { texts, long, rows } = readJson<Texts>("texts");
const digest = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

/** What `make` gives, or null where it throws. */
function attempt<T>(make: () => T): T | null {
  try {
    return make();
  } catch {
    return null;
  }
}

function ourRow(tokenizer: Tokenizer, text: string, second: string): Row {
  const ids = tokenizer.encode(text);
  const pair = tokenizer.encodePair(text, second);
  return [
    ids,
    tokenizer.encode(text, { addSpecialTokens: false }),
    pair.ids,
    pair.segments,
    tokenizer.decode(ids),
    tokenizer.decode(ids, { skipSpecialTokens: false }),
  ];
}

function different(name: string, text: string, ours: unknown, rusts: unknown): boolean {
  const [a, b] = [JSON.stringify(ours ?? null), JSON.stringify(rusts ?? null)];
  if (a === b) return false;
  if (shown++ < 40) {
    const at = Math.max(0, [...a].findIndex((character, i) => character !== b[i]) - 60);
    const near = (row: string) => row.slice(at, at + 160);
    console.log(`${name}: ${JSON.stringify(text).slice(0, 200)}\n  ours …${near(a)}\n  Rust …${near(b)}`);
  }
  return true;
}

let shown = 0;
let compared = 0;
let differences = 0;
let cases = 0;
const slow: string[] = [];

for (const file of readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .sort()) {
  const { name, json, rows: expected = [], long: longRows = {}, decoded = [] } = readJson<Case>(file);
  cases++;
  const tokenizer = attempt(() => createTokenizer(json));
  if (!tokenizer) {
    let reason = "";
    try {
      createTokenizer(json);
    } catch (error) {
      reason = String(error);
    }
    console.log(`${name}: REFUSED ${reason}`);
    differences++;
    continue;
  }
  const count = (isDifferent: boolean) => {
    compared++;
    if (isDifferent) differences++;
  };
  expected.forEach((row, i) => {
    const text = texts[i] ?? "";
    count(
      different(
        name,
        text,
        attempt(() => ourRow(tokenizer, text, texts.at(i - 1) || "b")),
        row,
      ),
    );
  });
  decoded.forEach((row, i) => {
    const ids = rows[i] ?? [];
    const ours = [true, false].map((skipSpecialTokens) => tokenizer.decode(ids, { skipSpecialTokens }));
    count(different(name, ids.join(), ours, row));
  });
  for (const [kind, row] of Object.entries(longRows)) {
    const text = long[kind] ?? "";
    const start = performance.now();
    const ours = attempt(() => {
      const ids = tokenizer.encode(text);
      return [ids.length, digest(ids.join()), digest(tokenizer.decode(ids))];
    });
    const seconds = (performance.now() - start) / 1000;
    slow.push(`${seconds.toFixed(2)} s (Rust ${row?.[3]} s) ${name}, ${kind}`);
    count(different(name, kind, ours, row?.slice(0, 3) ?? null));
  }
}
console.log(`${cases} tokenizers, ${compared} texts, ${differences} differences`);
if (slow.length > 0)
  console.log(
    slow
      .sort((a, b) => Number.parseFloat(b) - Number.parseFloat(a))
      .slice(0, 15)
      .join("\n"),
  );
process.exit(differences > 0 ? 1 : 0);
