import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type HubOptions, hubFiles, hubListing, urlFiles } from "../../../src/io/files/hub.ts";
import { parseModelReference } from "../../../src/io/files/reference.ts";
import { openCheckpoint } from "../../../src/io/formats/checkpoint.ts";
import { writeSafetensors } from "../../../src/io/formats/safetensors-writer.ts";
import { nodeHash } from "../../../src/platform/node-hash.ts";
import { errorOf, seeded } from "../helpers.ts";
import { type HubServer, serveHub } from "./hub-server.ts";
import { memoryCache } from "./memory-cache.ts";

const SIZE = 60_000;
const repo = "owner/tiny";
let folder: string;
let server: HubServer;
let waits: number[];
let content: Uint8Array;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "hub-"));
  content = randomBytes(1, SIZE);
  writeFileSync(join(folder, "big.bin"), content);
  writeFileSync(join(folder, "empty"), "");
  server = await serveHub(folder);
  waits = [];
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

function randomBytes(seed: number, size: number): Uint8Array {
  const random = seeded(seed);
  return Uint8Array.from({ length: size }, () => random() * 256);
}

const delay = async (ms: number) => void waits.push(ms);
const node = { hash: nodeHash, seesRedirects: true };

function hub(options: Partial<HubOptions> = {}) {
  return hubFiles({ ...node, repo, endpoint: server.origin, delay, ...options });
}

describe("without a cache", () => {
  test("sizes, ranges, missing and empty files", async () => {
    const files = hub();
    expect(files.label).toBe(repo);
    expect(await files.size("big.bin")).toBe(SIZE);
    expect(await files.size("none")).toBeUndefined();
    expect(await files.size("empty")).toBe(0);
    expect(await files.read("empty", 0, 0)).toEqual(new Uint8Array(0));
    expect(await files.read("big.bin", 1000, 5000)).toEqual(content.subarray(1000, 5000));
    expect(server.sent).toBe(1 + 4000);
    expect(server.requests.map(({ path }) => path)).toContain("/owner/tiny/resolve/main/big.bin");
    expect((await errorOf(() => files.read("big.bin", 0, SIZE + 1))).message).toContain("cannot read bytes");
    expect((await errorOf(() => files.read("none", 0, 1))).message).toContain(
      "owner/tiny/none: no such file",
    );
  });

  test("a revision with a slash is one path segment, a name with one is several", async () => {
    await hub({ revision: "refs/pr/1" }).size("sub dir/x");
    expect(server.requests.at(-1)!.path).toBe("/owner/tiny/resolve/refs%2Fpr%2F1/sub%20dir/x");
    expect(hub({ revision: "v1" }).label).toBe("owner/tiny@v1");
  });

  test("the names of all files are asked of the hub, which need not tell", async () => {
    const siblings = [{ rfilename: "a/b.gguf" }, { rfilename: "config.json" }, 5];
    server.switches.intercept = ({ url }, response) =>
      url === "/api/models/owner/tiny/revision/v1?blobs=true" && !!response.end(JSON.stringify({ siblings }));
    expect(await hub({ revision: "v1" }).index?.()).toEqual(["a/b.gguf", "config.json"]);
    expect(await hub().index?.()).toBeUndefined();
  });

  test("plain addresses", async () => {
    const files = urlFiles({ ...node, url: `${server.origin}/files/`, delay });
    expect(await files.read("big.bin", SIZE - 3, SIZE)).toEqual(content.subarray(SIZE - 3));
    expect(await files.size("none")).toBeUndefined();
  });

  test("a server that ignores ranges is read from the start and cut", async () => {
    server.switches.ignoreRange = true;
    const files = hub();
    expect(await files.size("big.bin")).toBe(SIZE);
    expect(await files.read("big.bin", 40_000, 40_010)).toEqual(content.subarray(40_000, 40_010));
    expect(await files.size("empty")).toBe(0);
  });

  test("a server that tells neither length nor version is counted", async () => {
    server.switches.secretive = true;
    for (const ignoreRange of [false, true]) {
      server.switches.ignoreRange = ignoreRange;
      const files = hub();
      expect(await files.size("big.bin")).toBe(SIZE);
      expect(await files.read("big.bin", 7, 70)).toEqual(content.subarray(7, 70));
    }
  });

  test("goes on after a broken connection where it stopped", async () => {
    server.switches.breakAfter = 20_000;
    expect(await hub().read("big.bin", 10, SIZE)).toEqual(content.subarray(10));
    expect(server.sent).toBeLessThanOrEqual(1 + SIZE);
    expect(waits).toEqual([500, 500]);
  });

  test("a wait between two attempts ends with the signal", async () => {
    const stopping = new AbortController();
    Object.assign(server.switches, { failures: 1, status: 503 });
    const delay = () => new Promise<void>(() => setTimeout(() => stopping.abort()));
    await expect(hub({ signal: stopping.signal, delay }).size("big.bin")).rejects.toThrow("aborted");
  });

  test("the same without ranges", async () => {
    Object.assign(server.switches, { breakAfter: 20_000, breaks: 1, ignoreRange: true });
    const files = hub();
    await files.size("big.bin");
    Object.assign(server.switches, { breaks: 1 });
    expect(await files.read("big.bin", 10, SIZE)).toEqual(content.subarray(10));
  });

  test("gives up on a connection without progress", async () => {
    const files = hub();
    await files.size("big.bin");
    server.switches.breakAfter = 0;
    const error = await errorOf(() => files.read("big.bin", 0, 10));
    expect(error.kind).toBe("network");
    expect(error.message).toContain("owner/tiny/big.bin: gave up after 5 attempts");
    expect(waits).toEqual([500, 1000, 2000, 4000]);
  });

  test.each([[500], [503], [429], [408], [undefined]])("tries again after %s", async (status) => {
    Object.assign(server.switches, { failures: 3, status });
    expect(await hub().size("big.bin")).toBe(SIZE);
    expect(waits).toEqual([500, 1000, 2000]);
  });

  test("reports a lasting failure", async () => {
    Object.assign(server.switches, { failures: 5, status: 503 });
    const files = hub();
    const error = await errorOf(() => files.size("big.bin"));
    expect(error.kind).toBe("network");
    expect(error.message).toContain("the server answered 503");
    expect(await files.size("big.bin")).toBe(SIZE);
  });

  test("names the reason that fetch hides", async () => {
    const files = urlFiles({ ...node, url: "http://127.0.0.1:1", delay });
    expect((await errorOf(() => files.size("x"))).message).toMatch(/ECONNREFUSED|bad port/);
  });

  test("honours Retry-After, within reason", async () => {
    Object.assign(server.switches, { failures: 1, status: 429, retryAfter: "7" });
    await hub().size("big.bin");
    Object.assign(server.switches, { failures: 1, retryAfter: "99999" });
    await hub().size("big.bin");
    Object.assign(server.switches, { failures: 1, retryAfter: new Date(Date.now() + 30_000).toUTCString() });
    await hub().size("big.bin");
    expect(waits.slice(0, 2)).toEqual([7000, 120_000]);
    expect(waits[2]).toBeGreaterThan(25_000);
    expect(waits[2]).toBeLessThanOrEqual(30_000);
  });

  test("a file that changes while it is read is refused, not mixed", async () => {
    const files = hub();
    await files.read("big.bin", 0, 10);
    writeFileSync(join(folder, "big.bin"), randomBytes(2, SIZE));
    expect((await errorOf(() => files.read("big.bin", 10, 20))).message).toContain(
      "changed while being read",
    );
    rmSync(join(folder, "big.bin"));
    expect((await errorOf(() => files.read("big.bin", 10, 20))).message).toContain("removed or cut");
  });

  test("a server that sends another part than asked for is refused", async () => {
    const files = hub();
    await files.size("big.bin");
    server.switches.wrongRange = true;
    expect((await errorOf(() => files.read("big.bin", 10, 20))).message).toContain(
      "the server sent from byte 11",
    );
  });
});

describe("tokens", () => {
  test("a refusal names HF_TOKEN and the terms", async () => {
    server.switches.token = "secret";
    const error = await errorOf(() => hub().size("big.bin"));
    expect(error.kind).toBe("network");
    expect(error.message).toContain("401");
    expect(error.message).toContain("HF_TOKEN");
    expect(error.message).toContain("gated");
    expect(waits).toEqual([]);
  });

  test("reaches the hub, never the server it redirects to", async () => {
    const cdn = await serveHub(folder);
    try {
      Object.assign(server.switches, { token: "secret", redirectTo: cdn.origin });
      const files = hub({ token: "secret" });
      expect(await files.read("big.bin", 5, 500)).toEqual(content.subarray(5, 500));
      expect(cdn.requests.length).toBe(2);
      expect(cdn.requests.map(({ authorization }) => authorization)).toEqual([undefined, undefined]);
      expect(cdn.requests.at(-1)!.range).toBe("bytes=5-499");
    } finally {
      await cdn[Symbol.asyncDispose]();
    }
  });

  test.each([
    ["RepoNotFound", "no such repository"],
    ["RevisionNotFound", "no such revision"],
  ])("%s is told apart from a missing file", async (errorCode, message) => {
    server.switches.errorCode = errorCode;
    expect((await errorOf(() => hub().size("none"))).message).toContain(message);
  });
});

describe("with a cache", () => {
  test("downloads ahead, once", async () => {
    const cache = memoryCache();
    const files = hub({ cache });
    expect(await files.read("big.bin", 0, 100)).toEqual(content.subarray(0, 100));
    expect(await files.read("big.bin", 20_000, SIZE)).toEqual(content.subarray(20_000));
    expect(await hub({ cache }).read("big.bin", 5, 6)).toEqual(content.subarray(5, 6));
    expect(server.sent).toBe(SIZE + 2);
  });

  test("a large file comes in growing steps and small pieces", async () => {
    const size = 20_000_000;
    const large = new Uint8Array(size).map((_, i) => (i * 2654435761) >>> 24);
    writeFileSync(join(folder, "large.bin"), large);
    const cache = memoryCache();
    const files = hub({ cache });
    for (let at = 0; at < size; at += 1_000_000) {
      const piece = await files.read("large.bin", at, at + 1000);
      expect(Buffer.compare(piece, large.subarray(at, at + 1000))).toBe(0);
    }
    expect(server.requests.length).toBeLessThan(10);
    expect(server.sent).toBe(size + 1);
    expect(cache.largest).toBeLessThan(5 * 2 ** 20);
  });

  test("reading the start of a large file does not download all of it", async () => {
    writeFileSync(join(folder, "large.bin"), new Uint8Array(20_000_000));
    await hub({ cache: memoryCache() }).read("large.bin", 0, 1000);
    expect(server.sent).toBe(1 + 2 ** 20);
  });

  test("a download that broke off resumes where it stopped", async () => {
    const cache = memoryCache();
    const files = hub({ cache });
    await files.size("big.bin");
    Object.assign(server.switches, { breakAfter: 24_000, breaks: 1 });
    const interrupted = async (ms: number) => {
      server.switches.failures = 5;
      server.switches.status = 500;
      await delay(ms);
    };
    const first = hubFiles({ ...node, repo, endpoint: server.origin, cache, delay: interrupted });
    expect((await errorOf(() => first.read("big.bin", 0, SIZE))).kind).toBe("network");
    expect([...cache.entries.values()].map(({ length }) => length)).toEqual([24_000]);

    server.switches.failures = 0;
    const sent = server.sent;
    expect(await hub({ cache }).read("big.bin", 0, SIZE)).toEqual(content);
    expect(server.sent - sent).toBe(1 + SIZE - 24_000);
    expect(server.requests.at(-1)!.range).toBe(`bytes=24000-${SIZE - 1}`);
  });

  test("a partial download of an older version is not continued", async () => {
    const cache = memoryCache();
    Object.assign(server.switches, { breakAfter: 24_000 });
    const first = hub({ cache });
    await first.read("big.bin", 0, 10);
    const changed = randomBytes(2, SIZE);
    writeFileSync(join(folder, "big.bin"), changed);
    expect(await hub({ cache }).read("big.bin", 0, SIZE)).toEqual(changed);
    expect(cache.entries.size).toBe(2);
  });

  test("a file without a version is read anew: nothing would tell that it has changed", async () => {
    server.switches.secretive = true;
    const cache = memoryCache();
    for (let time = 0; time < 2; time++) {
      const before = server.sent;
      expect(await hub({ cache }).read("big.bin", 0, 100)).toEqual(content.subarray(0, 100));
      expect(server.sent).toBeGreaterThan(before + 100);
    }
    expect(cache.entries.size).toBe(0);
  });

  test("a server that ignores ranges is read once", async () => {
    server.switches.ignoreRange = true;
    const files = hub({ cache: memoryCache() });
    await files.size("big.bin");
    const requests = server.requests.length;
    for (const at of [0, 20_000, 50_000]) {
      expect(await files.read("big.bin", at, at + 10)).toEqual(content.subarray(at, at + 10));
    }
    expect(server.requests.length - requests).toBe(1);
  });

  test("readers at the same time share one download", async () => {
    const files = hub({ cache: memoryCache() });
    const starts = [40_000, 0, 20_000];
    const parts = await Promise.all(starts.map((start) => files.read("big.bin", start, start + 9)));
    parts.forEach((part, i) => {
      expect(part).toEqual(content.subarray(starts[i]!, starts[i]! + 9));
    });
    expect(server.sent).toBe(1 + SIZE);
  });

  test("an entry longer than its file starts over", async () => {
    const cache = memoryCache();
    await hub({ cache }).read("big.bin", 0, 1);
    for (const key of cache.entries.keys()) cache.entries.set(key, new Uint8Array(SIZE + 1));
    expect(await hub({ cache }).read("big.bin", 0, SIZE)).toEqual(content);
  });

  test("different repositories, revisions and endpoints do not meet", async () => {
    const cache = memoryCache();
    await hub({ cache }).read("big.bin", 0, 1);
    await hub({ cache, revision: "v2" }).read("big.bin", 0, 1);
    await hubFiles({ ...node, repo: "owner/other", endpoint: server.origin, cache }).read("big.bin", 0, 1);
    expect(cache.entries.size).toBe(3);
  });
});

test("a checkpoint opens over the network", async () => {
  const data = Uint8Array.of(1, 2, 3);
  writeFileSync(join(folder, "config.json"), '{"model_type":"llama"}');
  writeFileSync(
    join(folder, "model.safetensors"),
    writeSafetensors([{ name: "w", dtype: "U8", shape: [3], data }]),
  );
  for (const files of [hub(), hub({ cache: memoryCache() })]) {
    const checkpoint = await openCheckpoint(files);
    expect(await checkpoint.read(checkpoint.tensors.get("w")!, 1)).toEqual(data.subarray(1));
  }
});

test.each([
  ["owner/name", { kind: "hub", repo: "owner/name", revision: undefined }],
  [" owner/name@v1.0 ", { kind: "hub", repo: "owner/name", revision: "v1.0" }],
  ["owner/na.me-1_x@refs/pr/1", { kind: "hub", repo: "owner/na.me-1_x", revision: "refs/pr/1" }],
  ["https://host/models/x", { kind: "url", url: "https://host/models/x" }],
  ["http://localhost:8000", { kind: "url", url: "http://localhost:8000" }],
  ["https://huggingface.co/owner/name", { kind: "hub", repo: "owner/name", revision: undefined }],
  ["https://huggingface.co/owner/name/tree/dev/", { kind: "hub", repo: "owner/name", revision: "dev" }],
  ["./name", { kind: "folder", path: "./name" }],
  ["../name", { kind: "folder", path: "../name" }],
  ["/a/b", { kind: "folder", path: "/a/b" }],
  ["a/b/c", { kind: "folder", path: "a/b/c" }],
  ["gpt2", { kind: "folder", path: "gpt2" }],
  ["C:\\models\\x", { kind: "folder", path: "C:\\models\\x" }],
])("parseModelReference(%j)", (text, expected) => {
  expect(parseModelReference(text)).toEqual(expected);
});

test("refuses an empty reference, a bad id and a bad address", async () => {
  expect((await errorOf(() => parseModelReference(" "))).message).toContain("the name is empty");
  expect((await errorOf(() => hubFiles({ ...node, repo: "x" }))).message).toContain("expected owner/name");
  expect((await errorOf(() => urlFiles({ ...node, url: "ftp://x" }))).message).toContain(
    "no http(s) address",
  );
});

test("a repository's files are listed with their sizes and digests, and whether they are gated", async () => {
  const digest = "a".repeat(64);
  const siblings = [
    { rfilename: "config.json", size: 8, blobId: "b".repeat(40) },
    { rfilename: "model.safetensors", size: 5e9, lfs: { sha256: digest } },
  ];
  server.switches.intercept = ({ url }, response) => {
    if (url !== "/api/models/owner/tiny/revision/v1?blobs=true") return false;
    response.end(JSON.stringify({ gated: "auto", siblings }));
    return true;
  };
  const options = { ...node, repo, endpoint: server.origin, delay };
  expect(await hubListing({ ...options, revision: "v1" })).toEqual({
    isGated: true,
    files: [
      { name: "config.json", size: 8, digest: `git-sha1:${"b".repeat(40)}` },
      { name: "model.safetensors", size: 5e9, digest: `sha256:${digest}` },
    ],
  });
  const error = await errorOf(() => hubListing(options));
  expect([error.kind, error.message]).toEqual(["network", expect.stringContaining("accept its terms")]);
});
