import { createHash } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { readText } from "../../../src/io/files/files.ts";
import { type ResolveOptions, resolveModelFiles } from "../../../src/platform/node-sources.ts";
import { gitBlobId, serveHub } from "../../io/files/hub-server.ts";
import { errorOf, utf8 } from "../../io/helpers.ts";

const COMMIT = "1".repeat(40);
const WEIGHTS = "not really weights";
const REPO = "acme/tiny";
let home: string;
let snapshot: string;
let warnings: string[];

/** A file as huggingface_hub keeps it: a link to a blob that is named after the content. */
function plant(name: string, content: string, digest: string): string {
  const blob = join(home, "hub/models--acme--tiny/blobs", digest);
  for (const path of [blob, join(snapshot, name)]) mkdirSync(dirname(path), { recursive: true });
  writeFileSync(blob, content);
  utimesSync(blob, 1e9, 1e9); // whole seconds, which can be set again
  symlinkSync(`../../blobs/${digest}`, join(snapshot, name));
  return blob;
}

/** Changes a byte as a disk does that loses bits: behind the back of the file's time. */
function flip(path: string): void {
  const { atime, mtime } = statSync(path);
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(path, bytes);
  utimesSync(path, atime, mtime);
}

let weights: string;
let config: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "checked-"));
  snapshot = join(home, "hub/models--acme--tiny/snapshots", COMMIT);
  warnings = [];
  const variables = { HF_HOME: home, WEBGPU_LORA_CACHE: join(home, "own"), HF_HUB_OFFLINE: "1" };
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value);
  for (const name of ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN"]) vi.stubEnv(name, "");
  weights = plant("model.safetensors", WEIGHTS, createHash("sha256").update(WEIGHTS).digest("hex"));
  config = plant("config.json", "{}", gitBlobId(utf8("{}")));
  mkdirSync(join(home, "hub/models--acme--tiny/refs"));
  writeFileSync(join(home, "hub/models--acme--tiny/refs/main"), COMMIT);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true });
});

const open = (reference = REPO, options: ResolveOptions = {}) =>
  resolveModelFiles(reference, { onWarning: (line) => void warnings.push(line), ...options });

test("files of Hugging Face's cache are checked by the names of their blobs, and then known by size and time", async () => {
  const files = await open();
  expect(await readText(files, "model.safetensors")).toBe(WEIGHTS);
  expect(await readText(files, "config.json")).toBe("{}");
  flip(weights);
  expect(await readText(await open(), "model.safetensors")).not.toBe(WEIGHTS);
  const { message } = await errorOf(async () =>
    readText(await open(REPO, { verify: true }), "model.safetensors"),
  );
  expect(message).toContain(`/model.safetensors: ${weights} is damaged: it has sha256:`);
  expect(message).toContain("hf download REPOSITORY");
  expect(readFileSync(weights).length).toBe(WEIGHTS.length); // it is not ours to remove
});

test.each(["online", "offline"])("a damaged one is refused %s", async (where) => {
  await using server = await serveHub(snapshot);
  server.switches.commit = COMMIT;
  vi.stubEnv("HF_ENDPOINT", server.origin);
  if (where === "online") vi.stubEnv("HF_HUB_OFFLINE", "0");
  flip(config);
  const { message } = await errorOf(async () => readText(await open(), "config.json"));
  expect(message).toMatch(/config.json: .* is damaged: it has git-sha1:\w{40}, and its name says git-sha1:/);
});

test("a folder that is named itself is checked where that is asked for", async () => {
  flip(config);
  expect(await readText(await open(snapshot), "config.json")).not.toBe("{}");
  const verified = await open(snapshot, { verify: true });
  expect((await errorOf(() => readText(verified, "config.json"))).message).toContain("is damaged");
  expect(await readText(verified, "model.safetensors")).toBe(WEIGHTS);
  expect(warnings).toEqual([]);
});

test("a folder without digests is told", async () => {
  const folder = join(home, "mine");
  mkdirSync(folder);
  writeFileSync(join(folder, "config.json"), "{}");
  expect(await readText(await open(folder, { verify: true }), "config.json")).toBe("{}");
  expect(warnings.join()).toContain("mine: nothing says what its files should be");
});

test("without a cache to write to, each start checks anew", async () => {
  writeFileSync(join(home, "own"), "a file where the folder should be");
  expect(await readText(await open(), "config.json")).toBe("{}");
});
