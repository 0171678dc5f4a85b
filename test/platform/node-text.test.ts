import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { fileLines } from "../../src/platform/node-text.ts";

const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-text-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

const utf8 = (text: string) => new TextEncoder().encode(text);
const linesOf = (path: string) => [...fileLines(path)];

describe("fileLines", () => {
  test("gives the lines with their ends, over the borders of blocks", () => {
    const long = "é".repeat(3 << 20); // 6 MiB
    const lines = ["\uFEFFa\r\n", `${long}\n`, "b\r", "\n", "c\r", `${long}`];
    const want = ["\uFEFFa\r\n", `${long}\n`, "b\r\n", "c\r", long];
    expect(linesOf(file("long.txt", lines.join("")))).toEqual(want);
    expect(linesOf(file("empty.txt", ""))).toEqual([]);
    const many = Array.from({ length: 200_000 }, (_, i) => `{"text":"row ${i} 🙂"}\n`);
    expect(linesOf(file("many.jsonl", many.join("")))).toEqual(many);
  });

  test("of a file that it does not read to its end it holds nothing open", () => {
    for (const line of fileLines(file("two.txt", "a\nb\n"))) {
      expect(line).toBe("a\n");
      break;
    }
  });

  test.runIf(process.platform === "linux")("reads a pipe", () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    execFileSync("sh", ["-c", '(printf "a\\nb" > "$0") &', pipe], { stdio: "ignore" });
    expect(linesOf(pipe)).toEqual(["a\n", "b"]);
  });

  test("names the line and the byte that is no UTF-8, in any block", () => {
    const start = "a\r\n\uFFFDb\n".repeat(1 << 20); // more than two blocks
    const bytes = Buffer.concat([utf8(start), utf8("caf"), Uint8Array.of(0xe9, 0x0a), utf8("more\n")]);
    expect(() => linesOf(file("latin1.csv", bytes))).toThrow(
      /latin1\.csv:2097153: is not UTF-8 text: the byte 0xe9 .*\n.*Windows-1252 or Latin-1.*iconv -f WINDOWS-1252 -t UTF-8 \S+latin1\.csv > \S+latin1\.utf8\.csv$/,
    );
    expect(() => linesOf(file("end.txt", Uint8Array.of(0x61, 0x0a, 0x62, 0x80)))).toThrow(
      /end\.txt:2: is not/,
    );
  });

  test("a file that was cut off within a character says so", () => {
    expect(() =>
      linesOf(file("cut.jsonl", Buffer.concat([utf8("a\n"), utf8("b🙂").subarray(0, 4)]))),
    ).toThrow(/cut\.jsonl:2: ends in the middle of a character: the file is cut off/);
  });

  test("what is no text is named before a line is read", () => {
    expect(() => linesOf(file("packed.jsonl", Uint8Array.of(0x1f, 0x8b, 8, 0)))).toThrow(
      /packed\.jsonl: is compressed with gzip\n.*gunzip < \S+packed\.jsonl > \S+packed\.utf8\.jsonl$/,
    );
  });
});
