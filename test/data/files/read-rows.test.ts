import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { blobFile, type DataFile } from "../../../src/data/files/data-file.ts";
import { openRows } from "../../../src/data/files/read-rows.ts";
import type { Row } from "../../../src/data/rows/rows.ts";
import { nodeDataFile } from "../../../src/platform/node-data-file.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);

const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-rows-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function rowsOf(name: string, content: string | Uint8Array): Promise<Row[]> {
  writeFileSync(join(folder, name), content);
  return take({ ...(await nodeDataFile(join(folder, name))), name });
}

async function take(file: DataFile): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const group of (await openRows(file)).groups) rows.push(...group);
  return rows;
}

const ROWS = [
  { line: 2, values: { text: "é", label: "1" } },
  { line: 3, values: { text: "b\nc", label: "2" } },
];

test.each([
  ["a.csv", 'text,label\né,1\n"b\nc",2\n'],
  ["a.TSV", 'text\tlabel\né\t1\n"b\nc"\t2'],
  ["a.jsonl", '\n{"text":"é","label":"1"}\n{"text":"b\\nc","label":"2"}'],
  ["a.json", '[\n{"text":"é","label":"1"},\n{"text":"b\\nc","label":"2"}]'],
  ["train", '\n{"text":"é","label":"1"}\n{"text":"b\\nc","label":"2"}'],
])("%s, packed with gzip or not, under any name", async (name, text) => {
  expect(await rowsOf(name, text)).toEqual(ROWS);
  expect(await rowsOf(`${name}.gz`, gzipSync(text))).toEqual(ROWS);
  expect(await rowsOf(name, gzipSync(text))).toEqual(ROWS);
  expect(await rowsOf(`${name}.GZ`, text)).toEqual(ROWS);
});

describe("plain text", () => {
  test("is rows of whole lines that make the text again", async () => {
    const text = Array.from(
      { length: 9000 },
      (_, i) => `line ${i} 🙂 of the text${i % 3 ? "" : "\r"}\n`,
    ).join("");
    const rows = await rowsOf("a.txt", `\uFEFF${text}`);
    expect(rows.length).toBeGreaterThan(2);
    expect(rows.map(({ values }) => (values as { text: string }).text).join("")).toBe(text);
    for (const { line, values } of rows) {
      expect((values as { text: string }).text).toMatch(new RegExp(`^line ${line - 1} `));
    }
  });

  test("without any line ends is cut between words, else between characters", async () => {
    for (const unit of ["word ", "🙂", "a🙂"]) {
      const text = unit.repeat(60_000);
      const pieces = (await rowsOf("a.txt", text)).map(({ values }) => (values as { text: string }).text);
      expect(pieces.length).toBeGreaterThan(1);
      expect(pieces.every((piece) => piece.isWellFormed())).toBe(true);
      expect(pieces.join("")).toBe(text);
    }
  });

  test("that is blank has no rows", async () => {
    expect(await rowsOf("a.txt", " \n\n")).toEqual([]);
    expect(await rowsOf("a.txt", "")).toEqual([]);
  });
});

describe("what gzip packed", () => {
  test("may be of several parts", async () => {
    const packed = Buffer.concat([gzipSync('{"text":'), gzipSync('"a"}\n')]);
    expect(await rowsOf("a.jsonl.gz", packed)).toEqual([{ line: 1, values: { text: "a" } }]);
  });

  test("is refused where it is cut off or damaged, anywhere", async () => {
    const packed = gzipSync(Array.from({ length: 500 }, (_, i) => `{"text":"${i * i}"}`).join("\n"));
    for (const length of [3, 12, 100, packed.length - 8, packed.length - 1]) {
      await expect(rowsOf("a.jsonl.gz", packed.subarray(0, length)), String(length)).rejects.toThrow(
        /^a\.jsonl\.gz: the packed file ends too early: the file is cut off/,
      );
    }
    packed[packed.length - 6] = (packed[packed.length - 6] as number) ^ 1;
    await expect(rowsOf("a.jsonl.gz", packed)).rejects.toThrow(/the packed file is damaged, or no gzip/);
  });

  test("that becomes far more than rows anybody wrote is refused before it fills the memory", async () => {
    const megabyte = gzipSync('{"text":"a"}\n'.repeat(2 ** 20 / 16));
    const bomb = Buffer.concat(Array<Buffer>(200).fill(megabyte));
    await expect(rowsOf("a.txt.gz", bomb)).rejects.toThrow(
      /^a\.txt\.gz: becomes more than 100 times its size/,
    );
  });

  test("takes no more memory than a row, however much it becomes", async () => {
    const zeros = gzipSync(new Uint8Array(1.1 * 2 ** 26));
    await expect(rowsOf("a.jsonl.gz", zeros)).rejects.toThrow(
      /a\.jsonl\.gz: becomes more than 100 times its size/,
    );
  });

  test("is told by its lines, too", async () => {
    await expect(rowsOf("a.csv.gz", gzipSync(Buffer.from("text\na\nb\xe9\n", "latin1")))).rejects.toThrow(
      /a\.csv\.gz:3: is not UTF-8 text/,
    );
    await expect(rowsOf("a.csv.gz", gzipSync(gzipSync("a")))).rejects.toThrow(/is compressed with gzip/);
  });
});

test("a page's own file is read in the same way", async () => {
  const text = '{"text":"é"}\n'.repeat(2000);
  const whole = new Uint8Array(gzipSync(text));
  expect(await take(blobFile("a.jsonl.gz", new Blob([whole])))).toEqual(
    await take(blobFile("a.jsonl", new Blob([text]))),
  );
  await expect(take(blobFile("a.jsonl.gz", new Blob([whole.slice(0, -9)])))).rejects.toThrow(
    /a\.jsonl\.gz: the packed file/,
  );
});

const unread = ["text", "gzip", "Parquet"] as const;
test.each(unread)("a file of %s that is not read to its end is closed", async (kind) => {
  let isOpen = false;
  const text = Array.from({ length: 50_000 }, (_, i) => `${i} ${i * i}\n`).join("");
  const content = kind === "Parquet" ? utf8("PAR1") : kind === "text" ? utf8(text) : gzipSync(text);
  const file: DataFile = {
    ...(await nodeDataFile(import.meta.filename)),
    async *pieces() {
      isOpen = true;
      try {
        for (let at = 0; at < content.length; at += 8192) yield content.subarray(at, at + 8192);
      } finally {
        isOpen = false;
      }
    },
  };
  const { groups } = await openRows({ ...file, name: "a.txt" });
  if (kind !== "Parquet") for await (const _ of groups) break;
  expect(isOpen).toBe(false);
});
