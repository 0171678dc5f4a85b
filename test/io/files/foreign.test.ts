import { expect, test } from "vitest";
import { foreignFile } from "../../../src/io/files/foreign.ts";

const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
const utf16 = (text: string, littleEndian: boolean) => {
  const view = new DataView(new ArrayBuffer(2 * text.length));
  for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), littleEndian);
  return new Uint8Array(view.buffer);
};

test.each([
  ["a.jsonl.gz", "\x1f\x8b\x08\x00", "compressed with gzip", "gunzip < a.jsonl.gz > a.jsonl"],
  ["a.csv", "\x1f\x8b\x08\x00", "compressed with gzip", "gunzip < a.csv > a.utf8.csv"],
  ["my a.csv.zst", "\x28\xb5\x2f\xfd", "Zstandard", "zstd -d < 'my a.csv.zst' > 'my a.csv'"],
  ["it's.xz", "\xfd7zXZ\0", "with xz", "xz -d < 'it'\\''s.xz' > 'it'\\''s'"],
  ["a.bz2", "BZh91AY&SY", "bzip2", "bzip2 -d < a.bz2 > a"],
  ["a.tar", `${"a".repeat(257)}ustar\0`, "tar archive", "tar -xf a.tar"],
  ["a.zip", "PK\x03\x04....train.jsonl", "zip archive", "unzip a.zip"],
  ["a.csv", "PK\x03\x04\n\0[Content_Types].xml", "Excel workbook", "save it as CSV UTF-8"],
  ["a.xls", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel workbook", "save it as CSV UTF-8"],
  ["a.parquet", "PAR1\x15\x04", "Parquet", "read_parquet(sys.argv[1])"],
  ["a.arrow", "ARROW1\0\0", "Arrow file", "read_feather(sys.argv[1])"],
  ["a.arrow", "\xff\xff\xff\xff\x10\x01\0\0", "Arrow stream", "Dataset.from_file(sys.argv[1])"],
  ["a.pkl", "\x80\x04\x95", "pickle", "read_pickle(sys.argv[1])"],
  ["a.db", "SQLite format 3\0", "SQLite", "export the table as CSV"],
  ["a.pdf", "%PDF-1.7\n", "PDF", "save its text"],
  ["a.jsonl", "version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS", "git lfs pull"],
  ["a.jsonl", "\n<!DOCTYPE html><html>", "web page", "/resolve/"],
  ["a.csv", "\xff\xfet\0e\0x\0t\0", "UTF-16", "iconv -f UTF-16 -t UTF-8 a.csv > a.utf8.csv"],
  ["a.csv", "\xfe\xff\0t\0e", "UTF-16", "iconv -f UTF-16 -t UTF-8 a.csv > a.utf8.csv"],
  ["a-idx3-ubyte", "\0\0\x08\x03\0\0\x27\x10", "array in IDX", "a folder for each class"],
  ["a", "\xff\xfe\0\0t\0\0\0", "UTF-32", "iconv -f UTF-32 -t UTF-8 a > a.utf8"],
])("%s that begins with %j is named, with what to do", (path, bytes, what, help) => {
  const found = foreignFile(latin1(bytes), path);
  expect(found?.what).toContain(what);
  expect(found?.help).toContain(help);
});

test("UTF-16 without a byte-order mark is known by its zeros", () => {
  const text = '{"text": "ein schöner Tag – 好"}\r\n';
  expect(foreignFile(utf16(text, true), "a.jsonl")?.help).toContain("iconv -f UTF-16LE");
  expect(foreignFile(utf16(text, false), "a.jsonl")?.help).toContain("iconv -f UTF-16BE");
});

test.each([
  '{"text": "a"}\n',
  "\uFEFFtext,label\n",
  "PK,label\n",
  "BZh,BZ\n",
  "a\0b,c\n",
  "",
  "ÿþ\n",
  "<html,x>",
])("%j is text", (text) => {
  expect(foreignFile(new TextEncoder().encode(text), "a.csv")).toBeUndefined();
});
