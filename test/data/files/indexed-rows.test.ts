import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { blobFile, type DataFile } from "../../../src/data/files/data-file.ts";
import { indexRows } from "../../../src/data/files/indexed-rows.ts";
import { openRows } from "../../../src/data/files/read-rows.ts";
import type { TableOptions } from "../../../src/data/rows/csv.ts";
import type { Row } from "../../../src/data/rows/rows.ts";
import { nodeDataFile } from "../../../src/platform/node-data-file.ts";
import { nodeSpill } from "../../../src/platform/node-spill.ts";
import { createRandom } from "../../../src/util/random.ts";
import { fixturePath } from "../../support/fixtures.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "webgpu-lora-index-"));
});
afterAll(() => rm(folder, { recursive: true }));

const file = (name: string, content: string | Uint8Array) => blobFile(name, new Blob([content as BlobPart]));

/** The same file in pieces of a few bytes, which end anywhere. */
const inPieces = (whole: DataFile, bytes: number): DataFile => ({
  ...whole,
  async *pieces() {
    const [all = new Uint8Array()] = await whole.read([{ start: 0, end: whole.size ?? 0 }]);
    for (let at = 0; at < all.length; at += bytes) yield all.subarray(at, at + bytes);
  },
});

async function inOrder(whole: DataFile, table: TableOptions = {}): Promise<{ rows: Row[]; names: string[] }> {
  const { groups, nameOf } = await openRows(whole, table);
  const rows: Row[] = [];
  for await (const group of groups) rows.push(...group);
  return { rows, names: rows.map(({ line }) => nameOf(line)) };
}

const WORDS = ["a", "né", "中文", "🙂", "{", "}", "[", '"', ",", ";", "\\", " ", "\t", "end"];
const random = createRandom(4);
const word = () => random.pick(WORDS);
const text = () => Array.from({ length: random.integer(9) }, word).join("");
const ENDS = ["\n", "\r\n", "\r", "\n\n", "\n \t\n", "\r\n\r\n"];
const quoted = (cell: string) => `"${cell.replaceAll('"', '""')}"`;
const times = <T>(make: () => T) => Array.from({ length: 40 }, make);

const FILES: Record<string, () => string> = {
  "lines.jsonl": () => times(() => JSON.stringify({ text: text() }) + random.pick(ENDS)).join(""),
  "unended.jsonl": () => times(() => JSON.stringify({ text: text() })).join("\n"),
  "bad.jsonl": () => times(() => random.pick(['{"text":1}', "{", "[]", '{"a":1,"a":2}', "x"])).join("\n"),
  "list.json": () => ` [${times(() => JSON.stringify({ text: text() })).join(random.pick([",", " ,\n"]))}]\n`,
  "comma.json": () => '[{"text":"a"},,{"text":"b"},]',
  "spread.json": () => times(() => JSON.stringify({ text: text(), n: { m: [1] } }, null, 1)).join("\n"),
  "table.csv": () =>
    `text,label\n${times(() => `${quoted(text())},${word() === "a" ? '"x\ny"' : "z"}${random.pick(["\n", "\r\n", "\n\n"])}`).join("")}`,
  "returns.csv": () => `text,label\r${times(() => "a,b").join("\r")}`,
  "ended.csv": () => "a;b\n1;2;\n3;4;\n",
  "uneven.tsv": () => "a\tb\n1\t2\n3\n",
  "plain.txt": () => `\n \n${times(text).join("\n")}`.repeat(400),
  "empty.jsonl": () => "",
  "blank.csv": () => "\n\n",
};

const isTable = (name: string) => /\.[ct]sv$/.test(name);
const CASES = Object.keys(FILES).flatMap((name) =>
  isTable(name) ? [[name, true] as const, [name, false] as const] : [[name, true] as const],
);

test.each(CASES)(
  "%s, named %j: rows at any place are those that reading in order gives",
  async (name, header) => {
    for (const mark of ["", "\uFEFF"]) {
      const whole = file(name, mark + FILES[name]?.());
      const wanted = await inOrder(whole, { header });
      const size = name === "plain.txt" ? 65_537 : 1 + random.integer(7);
      const indexed = await indexRows(inPieces(whole, size), nodeSpill, { header });
      expect(indexed.length).toBe(wanted.rows.length);
      const places = random.shuffle([...wanted.rows.keys()]);
      expect(await indexed.read(places)).toEqual(places.map((place) => wanted.rows[place]));
      expect(places.map(indexed.nameOf)).toEqual(places.map((place) => wanted.names[place]));
    }
  },
);

test("what cannot be read at any place is unpacked first", async () => {
  const plain = file("a.jsonl", FILES["lines.jsonl"]?.() as string);
  const [bytes] = await plain.read([{ start: 0, end: plain.size as number }]);
  const wanted = await inOrder(plain);
  const packed = file("a.jsonl.gz", gzipSync(bytes as Uint8Array));
  const pipe: DataFile = { ...plain, size: undefined, read: () => Promise.reject(new Error("a pipe")) };
  for (const given of [packed, pipe]) {
    const indexed = await indexRows(given, nodeSpill);
    expect(await indexed.read([...wanted.rows.keys()])).toEqual(wanted.rows);
    expect(indexed.nameOf(0)).toBe(`${given.name}:1`);
  }
  const cut = file("a.jsonl.gz", gzipSync(bytes as Uint8Array).subarray(0, -9));
  await expect(indexRows(cut, nodeSpill)).rejects.toThrow(/a\.jsonl\.gz: the packed file ends too early/);
});

test("Parquet is unpacked, and its rows keep their numbers", async () => {
  const path = join(fixturePath("parquet"), "gzip.parquet");
  const wanted = await inOrder(await nodeDataFile(path));
  const indexed = await indexRows(await nodeDataFile(path), nodeSpill);
  expect(await indexed.read([...wanted.rows.keys()])).toEqual(wanted.rows);
  expect(indexed.nameOf(1)).toBe(`${path}: row 2`);
});

test("a file that changes is told, and so is what is no UTF-8", async () => {
  const path = join(folder, "changed.jsonl");
  await writeFile(path, '{"text":"a"}\n{"text":"b"}\n');
  const indexed = await indexRows(await nodeDataFile(path), nodeSpill);
  await appendFile(path, '{"text":"c"}\n');
  await expect(indexed.read([0])).rejects.toThrow(/changed\.jsonl: has changed since it was first looked at/);
  await rm(path);
  await expect(indexed.read([0])).rejects.toThrow(/changed\.jsonl: has changed/);
  const late = new Uint8Array(300_000).fill(0x0a);
  late.set([0x7b, 0xff, 0x7d, 0x0a], 299_000);
  const rows = await indexRows(file("late.jsonl", late), nodeSpill);
  await expect(rows.read([0])).rejects.toThrow(/late\.jsonl:299001: is not UTF-8 text/);
  await expect(indexRows(file("a.jsonl", new Uint8Array([0xff, 0xfe, 0x7b, 0])), nodeSpill)).rejects.toThrow(
    /a\.jsonl: is UTF-16/,
  );
  await expect(indexRows(file("a.jsonl", "no JSON here\nor here"), nodeSpill)).rejects.toThrow(
    /no line begins with \{, the first is "no JSON here"/,
  );
});
