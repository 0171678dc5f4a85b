import { readdirSync } from "node:fs";
import { join } from "node:path";
import { blobFile, blobSpill } from "../../../src/data/files/data-file.ts";
import { indexRows } from "../../../src/data/files/indexed-rows.ts";
import { openRows } from "../../../src/data/files/read-rows.ts";
import type { Row } from "../../../src/data/rows/rows.ts";
import type { Random } from "../../../src/util/random.ts";
import { bytesAt, FIXTURES } from "../corpus.ts";
import { mutateBytes } from "../mutate-text.ts";
import { ensure, type Target } from "../target.ts";

const FOLDER = join(FIXTURES, "parquet");
const NAME = "data.parquet";

let tables: readonly Uint8Array[] | undefined;

function all(): readonly Uint8Array[] {
  const names = () => readdirSync(FOLDER).filter((name) => name.endsWith(".parquet"));
  tables ??= names()
    .sort()
    .map((name) => bytesAt(join(FOLDER, name)));
  return tables;
}

/** What counts and lengths are written as: zigzag varints, of small numbers and of the largest. */
const VARINTS = [
  [0],
  [1],
  [2],
  [0x7f],
  [0xff, 0x7f],
  [0xfe, 0xff, 0xff, 0xff, 0x0f],
  [0x80, 0x80, 0x80, 0x10],
];

/** Bytes anywhere, or in the footer, which says where all else is, or the footer's length. */
function broken(bytes: Uint8Array, random: Random): Uint8Array {
  const kind = random.integer(4);
  if (kind === 0) return mutateBytes(bytes, random);
  const changed = bytes.slice();
  const view = new DataView(changed.buffer);
  const footer = view.getUint32(changed.length - 8, true);
  if (kind === 1 && random.integer(8) === 0)
    view.setUint32(changed.length - 8, random.integer(2 ** 32), true);
  const [from, length] =
    kind === 3 ? [4, changed.length - footer - 12] : [changed.length - 8 - footer, footer];
  for (let left = 1 + random.integer(3); left > 0; left--) {
    const value = random.integer(2) === 0 ? random.pick(VARINTS) : [random.integer(256)];
    const at = from + random.integer(Math.max(1, length - value.length));
    changed.set(value, at);
  }
  return changed;
}

/** Tables of Parquet: rows that are read at any place, unpacked, are those that are read in order. */
export const parquet: Target = {
  make: (random) => new Map([[NAME, broken(random.pick(all()), random)]]),
  async read(input) {
    const file = blobFile(NAME, new Blob([input.get(NAME) as BlobPart]));
    const rows: Row[] = [];
    for await (const group of (await openRows(file)).groups) for (const row of group) rows.push(row);
    for (const [i, { line }] of rows.entries()) {
      ensure(line === i + 1, () => `row ${i + 1} has the number ${line}`);
    }
    const indexed = await indexRows(file, blobSpill);
    ensure(indexed.length === rows.length, () => `${indexed.length} rows of ${rows.length}`);
    const read = await indexed.read(rows.map((_, i) => i));
    for (const [i, { values }] of read.entries()) {
      const wanted = rows[i]?.values;
      ensure(
        JSON.stringify(values) === JSON.stringify(wanted),
        () => `row ${i + 1} is ${JSON.stringify(values)}, and ${JSON.stringify(wanted)} unpacked`,
      );
    }
  },
};
