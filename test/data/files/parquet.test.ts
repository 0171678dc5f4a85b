import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { blobFile } from "../../../src/data/files/data-file.ts";
import { jsonLines } from "../../../src/data/files/indexed-rows.ts";
import { openRows } from "../../../src/data/files/read-rows.ts";
import type { Row } from "../../../src/data/rows/rows.ts";
import { parquetOf } from "../../hostile/parquet-bombs.ts";
import { fixturePath, readJsonFile } from "../../support/fixtures.ts";

const FOLDER = fixturePath("parquet");
const bytesOf = (name: string) => new Uint8Array(readFileSync(join(FOLDER, name)));

async function rowsOf(bytes: Uint8Array<ArrayBuffer>, name = "d.parquet"): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const group of (await openRows(blobFile(name, new Blob([bytes])))).groups) rows.push(...group);
  return rows;
}

// Oracle: pyarrow 25 (test/fixtures/make_parquet.py).
const golden = readJsonFile<Record<string, unknown[]>>(FOLDER, "golden.json");

test("rows are those of pyarrow, whatever the codec, the encoding, the nulls and the nesting", async () => {
  expect(Object.keys(golden).length).toBeGreaterThan(9);
  for (const [name, expected] of Object.entries(golden)) {
    const rows = await rowsOf(bytesOf(name), name);
    expect(
      rows.map(({ values }) => values),
      name,
    ).toEqual(expected);
    expect(rows.map(({ line }) => line)).toEqual(expected.map((_, i) => i + 1));
  }
});

describe("what is wrong is told", () => {
  const whole = bytesOf("gzip.parquet");

  test("files that are cut off anywhere", async () => {
    for (const length of [4, 8, 20, whole.length - 300, whole.length - 9, whole.length - 1]) {
      await expect(rowsOf(whole.slice(0, length)), String(length)).rejects.toThrow(
        /^d\.parquet: is damaged, cut off, or Parquet of a rare kind: /,
      );
    }
  });

  test("a wrong byte is refused as a mistake of the file, or read", async () => {
    for (let at = 4; at < whole.length; at += 37) {
      const bytes = whole.slice();
      bytes[at] = (bytes[at] as number) ^ 0x41;
      await rowsOf(bytes).catch((error: unknown) => {
        expect(error, String(at)).toMatchObject({ name: "LoraError", where: "d.parquet" });
      });
    }
  });

  test("what would keep the library from ending, or end the process (scripts/fuzz)", async () => {
    const changed = (name: string, at: number, value: number) => {
      const bytes = bytesOf(name);
      bytes[at] = value;
      return bytes;
    };
    // A page whose header lacks its length, and a schema with fewer than no children.
    await expect(rowsOf(changed("v2.parquet", 82, 224))).rejects.toThrow(
      /a page whose header lacks a number/,
    );
    await expect(rowsOf(changed("lz4.parquet", 2489, 15))).rejects.toThrow(
      /a schema whose element \d+ has -8 children/,
    );
  });

  test("rows that become far more text than any table are refused where they are unpacked", async () => {
    const text = "x".repeat(2 ** 20);
    const groups = async function* () {
      for (let i = 0; i < 70; i++) yield [{ line: i + 1, values: { text } }];
    };
    const write = async () => {
      let bytes = 0;
      for await (const piece of jsonLines({ name: "d.parquet", size: 4096 }, groups())) bytes += piece.length;
      return bytes;
    };
    await expect(write()).rejects.toThrow(/d\.parquet: becomes more than 67108864 bytes of text/);
  });

  test("a file that is called so and is none", async () => {
    await expect(rowsOf(new TextEncoder().encode('{"text":"a"}'))).rejects.toThrow(
      /does not begin with PAR1/,
    );
  });

  test("the name does not matter: a Parquet file may be called anything", async () => {
    expect(await rowsOf(bytesOf("hub.parquet"), "train")).toHaveLength(3);
  });
});

test("a file that a test writes by hand is read, so that what is wrong with others is what they claim", async () => {
  expect((await rowsOf(Uint8Array.from(parquetOf()))).map(({ values }) => values)).toEqual([
    { text: "a" },
    { text: "b" },
  ]);
  const packed = { page: [...gzipSync(Uint8Array.from([2, 0, 0, 0, 4, 0]))], codec: 2 };
  await expect(rowsOf(Uint8Array.from(parquetOf({ ...packed, unpacked: 3 })))).rejects.toThrow(/is damaged/);
  const nulls = await rowsOf(Uint8Array.from(parquetOf({ ...packed, unpacked: 6 })));
  expect(nulls.map(({ values }) => values)).toEqual([{ text: null }, { text: null }]);
});
