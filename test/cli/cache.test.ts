import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { byteCount, timeSpan } from "../../src/cli/format.ts";
import { hubFiles, urlFiles } from "../../src/io/files/hub.ts";
import { nodeByteCache } from "../../src/platform/node-cache/byte-cache.ts";
import { USE_FOLDER } from "../../src/platform/node-cache/cache-use.ts";
import { nodeHash } from "../../src/platform/node-hash.ts";
import { serveHub } from "../io/files/hub-server.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const served = mkdtempSync(join(tmpdir(), "served-"));
writeFileSync(join(served, "config.json"), "{}");
writeFileSync(join(served, "big.bin"), new Uint8Array(3_000_000));
let folder: string;
let origin: string;

/** A process of another machine that gave a sign of life just now. */
const ELSEWHERE = "123-0-0123456789ab-elsewhere";

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "cache-"));
  await using server = await serveHub(served);
  origin = server.origin;
  const options = { hash: nodeHash, seesRedirects: true, endpoint: origin, cache: nodeByteCache(folder) };
  for (const revision of ["main", "v1"]) {
    const files = hubFiles({ ...options, repo: "acme/tiny", revision });
    await files.read("config.json", 0, 2);
    await files.size("none.json");
  }
  const files = hubFiles({ ...options, repo: "acme/tiny-2" });
  await files.read("config.json", 0, 2);
  await files.read("big.bin", 0, 8);
  await urlFiles({ ...options, url: `${origin.replace("//", "//me:secret@")}/files?sig=secret` }).read(
    "big.bin",
    0,
    3e6,
  );
  mkdirSync(join(folder, "choices"));
  writeFileSync(join(folder, "choices/gpu.json"), "{}");
  writeFileSync(join(folder, "f".repeat(64)), "of an older version");
  rmSync(join(folder, USE_FOLDER), { recursive: true }); // as if this process had ended
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
afterAll(() => rmSync(served, { recursive: true }));

const run = (...words: string[]) => cli.run(["cache", ...words], { env: { WEBGPU_LORA_CACHE: folder } });

async function sources(): Promise<string[]> {
  const { stdout } = await run("list", "--json");
  return (JSON.parse(stdout) as { sources: { source: string }[] }).sources.map(({ source }) => source).sort();
}

const ALL = () => [`${origin}/files`, "acme/tiny", "acme/tiny-2", "acme/tiny@v1"].sort();

describe("cache list", () => {
  test("shows what is kept, how much of it, whether it was checked, and no secret", async () => {
    const { code, stdout } = await run("list");
    expect(code).toBe(0);
    expect(stdout).not.toContain("secret");
    expect(stdout).toMatch(
      /^http:\S+\/files: 3\.0 MB, used \d+ seconds? ago\n {2}big\.bin {2}3\.0 MB, checked\n/,
    );
    expect(stdout).toMatch(
      /acme\/tiny-2: 1\.0 MB.*\n {2}big\.bin {6}1\.0 MB of 3\.0 MB, not complete\n {2}config\.json {2}2 B, checked\n/,
    );
    expect(stdout).toMatch(/acme\/tiny@v1: 2 B/);
    expect(stdout).toMatch(/1 file of an older version, 19 B/);
    expect(stdout).toContain(`4.0 MB in ${folder}\n`);
    expect(stdout).toContain("hf cache ls");
  });

  test("for programs", async () => {
    const { stdout } = await run("list", "--json");
    const report = JSON.parse(stdout);
    const { bytes, files, used_by } = report.sources.find(
      ({ source }: { source: string }) => source === "acme/tiny-2",
    );
    expect({ bytes, used_by, unknown: report.unknown }).toEqual({
      bytes: 2 ** 20 + 2,
      used_by: null,
      unknown: { files: 1, bytes: 19 },
    });
    expect(files).toMatchObject([
      { name: "big.bin", size: 3_000_000, bytes: 2 ** 20, checked: null },
      { name: "config.json", size: 2, bytes: 2, checked: expect.stringMatching(/^sha256:\w{64}$/) },
    ]);
  });

  test("nothing is kept", async () => {
    rmSync(folder, { recursive: true });
    const { code, stdout } = await run("list");
    expect(code).toBe(0);
    expect(stdout).toContain(`0 B in ${folder}`);
  });
});

describe("cache rm", () => {
  test("of a name removes all its revisions, of a name with a revision that one, of an address that", async () => {
    expect((await run("rm", "acme/tiny@v1", "--yes")).stdout).toContain("Removed 2 B");
    expect(await sources()).toEqual(ALL().filter((source) => source !== "acme/tiny@v1"));
    await run("rm", "acme/tiny", `${origin.replace("//", "//me:secret@")}/files?sig=secret`, "--yes");
    expect(await sources()).toEqual(["acme/tiny-2"]);
  });

  test("asks, and says what to do where nobody is there", async () => {
    const { code, stderr } = await run("rm", "--all");
    expect(code).toBe(1);
    expect(stderr).toContain("give --yes");
    expect(await sources()).toEqual(ALL());
  });

  test("can be tried out", async () => {
    const { code, stdout } = await run("rm", "--all", "--dry-run");
    expect(code).toBe(0);
    expect(stdout).toMatch(/acme\/tiny-2: 2 files, 1\.0 MB[\s\S]*Would remove 4\.0 MB/);
    expect(await sources()).toEqual(ALL());
  });

  test("of everything leaves what is no download, and says so", async () => {
    mkdirSync(join(folder, USE_FOLDER));
    const { code, stderr } = await run("rm", "--all", "--yes");
    expect(code).toBe(0);
    expect(stderr).toContain(`No downloads, and so left: choices in ${folder}`);
    expect(readdirSync(folder).sort()).toEqual(["choices", USE_FOLDER]);
    expect((await run("rm", "--all", "--yes")).stdout).toContain("Nothing to remove.");
  });

  test("of what was not used for long", async () => {
    expect((await run("rm", "--older-than", "1d", "--yes")).stdout).toContain("Nothing to remove.");
    const old = new Date(Date.now() - 3 * 86_400_000);
    for (const name of readdirSync(folder)) utimesSync(join(folder, name), old, old);
    expect((await run("rm", "--older-than", "4d", "--yes")).stdout).toContain("Nothing to remove.");
    expect((await run("rm", "--older-than", "2d", "--yes")).stdout).toContain("Removed 4.0 MB");
    expect(await sources()).toEqual([]);
  });

  test.each([
    [["acme/tny"], 1, /nothing is kept of acme\/tny; did you mean acme\/tiny\?/],
    [["../../etc", "choices"], 1, /nothing is kept of \.\.\/\.\.\/etc[\s\S]*nothing is kept of choices/],
    [[], 2, /it is not said what is to go/],
    [["acme/tiny", "--all"], 2, /in two ways/],
    [["--older-than", "soon"], 2, /wanted a time above 0/],
  ] as const)("refuses %j", async (words, expected, message) => {
    const { code, stderr } = await run("rm", ...words, "--yes");
    expect(code).toBe(expected);
    expect(stderr).toMatch(message);
    expect(await sources()).toEqual(ALL());
  });

  test("leaves what a running process uses", async () => {
    // This process: it opens an entry, as another command of the command line would.
    await nodeByteCache(folder).remember("key", JSON.stringify({ source: "acme/used", name: "x", size: 1 }));
    await (await nodeByteCache(folder).open("key")).write(0, Uint8Array.of(1));
    const { code, stderr } = await run("rm", "--all", "--yes");
    expect(code).toBe(1);
    expect(stderr).toContain(`acme/used stays: process ${process.pid} on `);
    expect(await sources()).toEqual(["acme/used"]);
    expect((await run("list")).stdout).toContain(`acme/used: 1 B, in use by process ${process.pid}`);
  });

  test("takes a process of another machine for dead after two minutes of silence", async () => {
    const note = join(folder, USE_FOLDER, ELSEWHERE);
    mkdirSync(join(folder, USE_FOLDER));
    const entries = readdirSync(folder).filter((name) => name.endsWith(".note"));
    writeFileSync(note, entries.map((name) => name.slice(0, -5)).join("\n"));
    expect((await run("rm", "acme/tiny-2", "--yes")).stderr).toContain("process 123 on elsewhere uses it");
    const past = new Date(Date.now() - 200_000);
    utimesSync(note, past, past);
    expect((await run("rm", "acme/tiny-2", "--yes")).code).toBe(0);
    expect(readdirSync(join(folder, USE_FOLDER))).toEqual([]);
  });
});

test("bytes and spans of time", () => {
  const sizes = [0, 1, 999, 1000, 1_500_000, 2e9, 3e15];
  expect(sizes.map(byteCount)).toEqual(["0 B", "1 B", "999 B", "1.0 kB", "1.5 MB", "2.0 GB", "3000.0 TB"]);
  const spans = [-5, 0, 1000, 60_000, 7_200_000, 86_400_000 * 30];
  expect(spans.map(timeSpan)).toEqual([
    "0 seconds",
    "0 seconds",
    "1 second",
    "1 minute",
    "2 hours",
    "30 days",
  ]);
});
