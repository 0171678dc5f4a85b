import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { LineJoiner, textPieces } from "../../src/data/files/text-pieces.ts";
import { nodeDataFile } from "../../src/platform/node-data-file.ts";

const folder = mkdtempSync(join(tmpdir(), "webgpu-lora-text-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

const utf8 = (text: string) => new TextEncoder().encode(text);

async function linesOf(path: string): Promise<string[]> {
  const lines = new LineJoiner(path);
  const result: string[] = [];
  for await (const piece of textPieces((await nodeDataFile(path)).pieces(), path)) {
    for (const line of lines.push(piece)) result.push(line);
  }
  return [...result, ...lines.end()];
}

describe("lines of a file", () => {
  test("gives the lines with their ends, over the borders of blocks", async () => {
    const long = "é".repeat(3 << 20); // 6 MiB
    const lines = ["\uFEFFa\r\n", `${long}\n`, "b\r", "\n", "c\r", `${long}`];
    const want = ["\uFEFFa\r\n", `${long}\n`, "b\r\n", "c\r", long];
    expect(await linesOf(file("long.txt", lines.join("")))).toEqual(want);
    expect(await linesOf(file("empty.txt", ""))).toEqual([]);
    const many = Array.from({ length: 200_000 }, (_, i) => `{"text":"row ${i} 🙂"}\n`);
    expect(await linesOf(file("many.jsonl", many.join("")))).toEqual(many);
  });

  test.runIf(process.platform === "linux")("reads a pipe", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    execFileSync("sh", ["-c", '(printf "a\\nb" > "$0") &', pipe], { stdio: "ignore" });
    expect(await linesOf(pipe)).toEqual(["a\n", "b"]);
  });

  test("names the line and the byte that is no UTF-8, in any block", async () => {
    const start = "a\r\n\uFFFDb\n".repeat(1 << 20); // more than two blocks
    const bytes = Buffer.concat([utf8(start), utf8("caf"), Uint8Array.of(0xe9, 0x0a), utf8("more\n")]);
    await expect(linesOf(file("latin1.csv", bytes))).rejects.toThrow(
      /latin1\.csv:2097153: is not UTF-8 text: the byte 0xe9 .*\n.*Windows-1252 or Latin-1.*iconv -f WINDOWS-1252 -t UTF-8 \S+latin1\.csv > \S+latin1\.utf8\.csv$/,
    );
    await expect(linesOf(file("end.txt", Uint8Array.of(0x61, 0x0a, 0x62, 0x80)))).rejects.toThrow(
      /end\.txt:2: is not/,
    );
  });

  test("a file that was cut off within a character says so", async () => {
    await expect(
      linesOf(file("cut.jsonl", Buffer.concat([utf8("a\n"), utf8("b🙂").subarray(0, 4)]))),
    ).rejects.toThrow(/cut\.jsonl:2: ends in the middle of a character: the file is cut off/);
  });

  test("what is no text is named before a line is read", async () => {
    await expect(linesOf(file("packed.jsonl", Uint8Array.of(0x1f, 0x8b, 8, 0)))).rejects.toThrow(
      /packed\.jsonl: is compressed with gzip\n.*gunzip < \S+packed\.jsonl > \S+packed\.utf8\.jsonl$/,
    );
  });
});
