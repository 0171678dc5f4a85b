import { createHash } from "node:crypto";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { serveHub } from "../io/files/hub-server.ts";
import { fixturePath } from "../support/fixtures.ts";
import { useCli } from "./run-cli.ts";

const cli = useCli();
const COMMIT = "1".repeat(40);
let home: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "home-"));
});
afterEach(() => rmSync(home, { recursive: true }));

const generate = (model: string, more: readonly string[], env: Readonly<Record<string, string>>) =>
  cli.run(["generate", "--model", model, "--prompt", "a", "--max-tokens", "1", ...more], {
    env: { HF_HOME: home, HF_HUB_CACHE: "", WEBGPU_LORA_CACHE: join(home, "own"), HF_TOKEN: "", ...env },
  });

/** A model of test/fixtures as huggingface_hub keeps it; returns the folder of the blobs. */
function plantModel(): string {
  const repository = join(home, "hub/models--acme--tiny");
  const [blobs, snapshot] = [join(repository, "blobs"), join(repository, "snapshots", COMMIT)];
  for (const folder of [blobs, snapshot, join(repository, "refs")]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(repository, "refs/main"), COMMIT);
  cpSync(fixturePath("llama-tied"), snapshot, { recursive: true });
  const files = readdirSync(snapshot, { withFileTypes: true }).filter((entry) => entry.isFile());
  for (const { name } of files) {
    const digest = createHash("sha256")
      .update(readFileSync(join(snapshot, name)))
      .digest("hex");
    renameSync(join(snapshot, name), join(blobs, digest));
    symlinkSync(join("../../blobs", digest), join(snapshot, name));
  }
  return snapshot;
}

test("a flipped byte of a weight is refused by name, with both digests", async () => {
  const snapshot = plantModel();
  const name = readdirSync(snapshot).find((name) => /^model.*\.safetensors$/.test(name)) as string;
  const path = join(snapshot, name);
  const bytes = readFileSync(path);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(path, bytes);
  const { code, stderr } = await generate("acme/tiny", ["--verify"], { HF_HUB_OFFLINE: "1" });
  expect(code).toBe(1);
  expect(stderr).toMatch(
    new RegExp(`${name}: .* is damaged: it has sha256:\\w{64}, and its name says sha256:`),
  );
});

test("no password, token or signature of an address is printed", async () => {
  mkdirSync(join(home, "served"));
  writeFileSync(join(home, "served/config.json"), "{}");
  await using server = await serveHub(join(home, "served"));
  const secretive = server.origin.replace("//", "//me:passw0rd@");
  const endpoint = { HF_ENDPOINT: secretive, HF_TOKEN: "hf_t0ken" };
  const runs = [
    await generate(`${secretive}/files?X-Amz-Signature=s1gned`, [], {}),
    await generate("acme/tiny", [], endpoint),
    await cli.run(["env"], { env: { ...endpoint, WEBGPU_LORA_ADAPTER: "none" } }),
    await cli.run(["cache", "list"], { env: { WEBGPU_LORA_CACHE: join(home, "own") } }),
  ];
  const kept = readdirSync(join(home, "own"), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name + readFileSync(join(entry.parentPath, entry.name), "latin1"));
  const all = [...runs.flatMap(({ stdout, stderr }) => [stdout, stderr]), ...kept].join("\n");
  expect(all).not.toMatch(/passw0rd|t0ken|s1gned/);
  expect(all).toContain(server.origin);
  expect(server.requests.some(({ path }) => path.includes("s1gned"))).toBe(true);
});
