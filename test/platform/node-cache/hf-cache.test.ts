import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { attach } from "../../../src/adapters/adapter.ts";
import { lora } from "../../../src/adapters/lora/lora.ts";
import { type FileSource, readText } from "../../../src/io/files/files.ts";
import { openCheckpoint } from "../../../src/io/formats/checkpoint.ts";
import { adapterFiles } from "../../../src/load/adapter.ts";
import { openModel } from "../../../src/load/model.ts";
import {
  cachedRepository,
  hfCacheFolder,
  hfTimeLimits,
  hfToken,
  offlineVariable,
} from "../../../src/platform/node-cache/hf-cache.ts";
import { folderFiles } from "../../../src/platform/node-files.ts";
import { resolveModelFiles } from "../../../src/platform/node-sources.ts";
import { type HubServer, serveHub } from "../../io/files/hub-server.ts";
import { errorOf } from "../../io/helpers.ts";
import { testDevice } from "../../support/device.ts";
import { fixturePath } from "../../support/fixtures.ts";

type Tree = Record<string, string | { link: string }>;

const MADE = JSON.parse(readFileSync(fixturePath("hf-cache.json"), "utf8")) as Record<
  "links" | "copies",
  { tree: Tree; lookups: Record<string, string> }
>;
const [OLD, NEW] = ["1".repeat(40), "2".repeat(40)];
const repo = "acme/tiny";
/** Nothing answers there. */
const NOWHERE = "http://127.0.0.1:1";

let home: string;
let hub: string;
let warnings: string[];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "hf-"));
  hub = join(home, "hub");
  warnings = [];
  vi.stubEnv("HF_HOME", home);
  vi.stubEnv("WEBGPU_LORA_CACHE", join(home, "own"));
  vi.stubEnv("HF_ENDPOINT", NOWHERE);
  for (const name of [
    "HF_HUB_CACHE",
    "HUGGINGFACE_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_TOKEN",
  ])
    vi.stubEnv(name, "");
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(home, { recursive: true });
});

function plant(tree: Tree): void {
  for (const [name, content] of Object.entries(tree)) {
    const path = join(home, name);
    mkdirSync(dirname(path), { recursive: true });
    if (typeof content === "string") writeFileSync(path, content);
    else symlinkSync(content.link, path);
  }
}

const delay = async () => {};
const onWarning = (line: string) => void warnings.push(line);
const open = (reference = repo, more: { revision?: string; cache?: boolean } = {}) =>
  resolveModelFiles(reference, { delay, onWarning, ...more });
const versionOf = async (files: FileSource) => JSON.parse(await readText(files, "config.json")).version;

describe.each(["links", "copies"] as const)("a cache of huggingface_hub with %s", (kind) => {
  beforeEach(() => plant(MADE[kind].tree));

  test("finds what huggingface_hub finds", async () => {
    const repository = await cachedRepository(repo);
    for (const [question, answer] of Object.entries(MADE[kind].lookups)) {
      const [revision = "", name = ""] = question.split(" ");
      const commit = await repository?.commitOf(revision);
      const snapshot = commit === undefined ? undefined : await repository?.snapshot(commit);
      const found = (await snapshot?.find(name)) ?? "unknown";
      expect(found === "here" ? `${commit}/${name}` : found, question).toBe(answer);
    }
  });

  test.each([
    [undefined, 2],
    ["main", 2],
    ["v1", 1],
    ["refs/pr/1", 1],
    [OLD, 1],
    [OLD.slice(0, 7), 1],
  ])("is used offline at the revision %s", async (revision, version) => {
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    const files = await open(repo, revision === undefined ? {} : { revision });
    expect(await versionOf(files)).toBe(version);
    expect(files.hub).toEqual({ repo, revision });
    expect(files.label).toBe(revision === undefined || revision === "main" ? repo : `${repo}@${revision}`);
    expect(await files.size("tokenizer.json")).toBeUndefined();
    expect(await files.commit?.()).toBe(version === 2 ? NEW : OLD);
    expect(warnings).toEqual([]);
  });
});

describe("with a hub that answers", () => {
  let server: HubServer;

  beforeEach(async () => {
    plant(MADE.links.tree);
    mkdirSync(join(home, "served"));
    writeFileSync(join(home, "served/config.json"), '{"version": 3}');
    writeFileSync(join(home, "served/new.json"), "new");
    writeFileSync(join(home, "served/generation_config.json"), "never asked for");
    server = await serveHub(join(home, "served"));
    vi.stubEnv("HF_ENDPOINT", server.origin);
  });
  afterEach(() => server[Symbol.asyncDispose]());

  test("files of the same commit are not downloaded again, and those that are missing are", async () => {
    server.switches.commit = NEW;
    const files = await open();
    expect(await versionOf(files)).toBe(2);
    expect(await files.size("generation_config.json")).toBeUndefined(); // known not to be there
    expect(server.sent).toBe(0);
    expect(await readText(files, "new.json")).toBe("new");
    expect(warnings).toEqual([]);
  });

  test("another commit is downloaded", async () => {
    server.switches.commit = "3".repeat(40);
    const files = await open();
    expect(await files.commit?.()).toBeUndefined();
    expect(await versionOf(files)).toBe(3);
    expect(await files.commit?.()).toBe("3".repeat(40));
    expect(await versionOf(await open(repo, { cache: false }))).toBe(3);
    server.switches.failures = 99; // what was downloaded before is still of that commit
    const kept = await open();
    expect([await versionOf(kept), await kept.commit?.()]).toEqual([3, "3".repeat(40)]);
  });

  test("a branch that now stands for a commit that is here is not downloaded either", async () => {
    server.switches.commit = OLD;
    expect(await versionOf(await open(repo, { revision: "main" }))).toBe(1);
    expect(server.sent).toBe(0);
  });

  test("a server that tells no commit is asked for everything", async () => {
    expect(await versionOf(await open())).toBe(3);
  });

  test("a commit never changes: what is here of it needs no question", async () => {
    const files = await open(repo, { revision: NEW });
    expect(await versionOf(files)).toBe(2);
    expect(await files.size("generation_config.json")).toBeUndefined();
    expect(server.requests).toEqual([]);
    expect(await readText(files, "new.json")).toBe("new");
  });

  test("a link whose blob is gone is downloaded", async () => {
    server.switches.commit = NEW;
    unlinkSync(join(hub, "models--acme--tiny/blobs/683aaf1bf6cb41170a5c01c40a4125df2d37f200"));
    expect(await versionOf(await open())).toBe(3);
  });

  test("a revision that the hub does not have is an error, whatever is here", async () => {
    rmSync(join(home, "served"), { recursive: true });
    server.switches.errorCode = "RevisionNotFound";
    expect((await errorOf(() => open(repo, { revision: "v1" }))).message).toContain("no such revision");
  });

  test.each([401, 403, 503])("one that answers %s leaves the copy, with a warning", async (status) => {
    Object.assign(server.switches, { status, failures: 99 });
    expect(await versionOf(await open())).toBe(2);
    expect(warnings.join()).toMatch(new RegExp(`${status}.*the copy in .*snapshots/${NEW} is used`));
    expect(server.requests.length).toBe(1);
  });

  test("the token of hf auth login reaches it, and no other server", async () => {
    await using other = await serveHub(join(home, "served"));
    writeFileSync(join(home, "token"), "stored\n");
    server.switches.redirectTo = other.origin;
    expect(await versionOf(await open())).toBe(3);
    expect(server.requests.every(({ authorization }) => authorization === "Bearer stored")).toBe(true);
    expect(other.requests.map(({ authorization }) => authorization)).not.toContain("Bearer stored");
    await (await resolveModelFiles(`${server.origin}/files`)).size("config.json");
    expect(server.requests.at(-1)?.authorization).toBeUndefined();
  });
});

describe("with a hub that cannot be reached", () => {
  test("the copy of huggingface_hub is used, with a warning", async () => {
    plant(MADE.links.tree);
    expect(await versionOf(await open())).toBe(2);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/cannot be reached.*the copy in .* is used/);
  });

  test("a commit is used as far as it is here, with a warning where something is missing", async () => {
    plant(MADE.links.tree);
    const files = await open(repo, { revision: OLD });
    expect(await versionOf(files)).toBe(1);
    expect(warnings).toEqual([]);
    expect(await files.size("tokenizer.json")).toBeUndefined();
    expect(warnings.join()).toMatch(/cannot be reached.*only what is in .* is used/);
  });

  test("what was downloaded before is used, by setting or because nothing answers", async () => {
    mkdirSync(join(home, "served"));
    writeFileSync(join(home, "served/config.json"), '{"version": 4}');
    writeFileSync(join(home, "served/big.bin"), new Uint8Array(3_000_000));
    const server = await serveHub(join(home, "served"));
    vi.stubEnv("HF_ENDPOINT", server.origin);
    const online = await open();
    expect(await versionOf(online)).toBe(4);
    expect(await online.size("tokenizer.json")).toBeUndefined();
    expect(await online.read("big.bin", 0, 10)).toHaveLength(10); // a part of it
    await server[Symbol.asyncDispose]();

    const cut = await open();
    expect(await versionOf(cut)).toBe(4);
    expect(await cut.size("tokenizer.json")).toBeUndefined();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/config.json: the server cannot be reached.*downloaded before is used/);
    expect((await errorOf(() => cut.size("big.bin"))).message).toContain("only a part of its 3000000 bytes");

    vi.stubEnv("HF_HUB_OFFLINE", "yes");
    const offline = await open();
    expect(await versionOf(offline)).toBe(4);
    const { message } = await errorOf(() => readText(offline, "vocab.json"));
    expect(message).toMatch(/HF_HUB_OFFLINE is set; download it .* hf download acme\/tiny/);

    // Their cache holds no weights of it, ours may.
    plant(MADE.links.tree);
    expect(await versionOf(await open())).toBe(4);
    expect(warnings).toHaveLength(1);
  });

  test("nothing anywhere: says where it looked and what to do", async () => {
    const { kind, message } = await errorOf(async () => (await open()).size("config.json"));
    expect(kind).toBe("network");
    expect(message).toContain("gave up after 5 attempts");
    expect(message).toContain(`no copy of acme/tiny is in ${hub} or ${join(home, "own")}`);
    expect(message).toContain("hf download acme/tiny");
  });
});

describe("offline", () => {
  test.each([
    [{ HF_HUB_OFFLINE: "1" }, "HF_HUB_OFFLINE"],
    [{ HF_HUB_OFFLINE: "on" }, "HF_HUB_OFFLINE"],
    [{ TRANSFORMERS_OFFLINE: "True" }, "TRANSFORMERS_OFFLINE"],
    [{ HF_HUB_OFFLINE: "", TRANSFORMERS_OFFLINE: "YES" }, "TRANSFORMERS_OFFLINE"],
    [{ HF_HUB_OFFLINE: "0", TRANSFORMERS_OFFLINE: "1" }, undefined],
    [{ HF_HUB_OFFLINE: "false" }, undefined],
    [{}, undefined],
  ])("%j", (variables, expected) => {
    expect(offlineVariable(variables)).toBe(expected);
  });

  test("nothing here: an error at once, with the revisions that are", async () => {
    vi.stubEnv("TRANSFORMERS_OFFLINE", "1");
    const nothing = await errorOf(() => open());
    expect(nothing.message).toMatch(
      /acme\/tiny: TRANSFORMERS_OFFLINE is set, and no copy of acme\/tiny is in .*\n.*unset TRANSFORMERS_OFFLINE, or download/,
    );
    plant(MADE.links.tree);
    const other = await errorOf(() => open(`${repo}@v2`));
    expect(other.message).toContain(`of other revisions there are the commits ${OLD}, ${NEW}`);
    expect((await errorOf(() => open(repo, { cache: false }))).message).toContain("cache: false");
    await errorOf(() => open(repo, { revision: "../../../etc" }));
  });

  test("a missing shard, missing weights, and a link whose blob is gone, are named with the remedy", async () => {
    const snapshot = `hub/models--acme--tiny/snapshots/${NEW}`;
    plant(MADE.links.tree);
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    const nothing = await errorOf(async () => openCheckpoint(await open()));
    expect(nothing.message).toMatch(
      /found neither model.safetensors[\s\S]*lacks it, and HF_HUB_OFFLINE is set/,
    );
    const shards = join(home, snapshot);
    rmSync(shards, { recursive: true });
    cpSync(fixturePath("llama-tied"), shards, { recursive: true });
    rmSync(join(shards, "model-00002-of-00003.safetensors"));
    const device = await testDevice();
    const shard = await errorOf(async () => openModel(await open(), device));
    expect(shard.message).toMatch(/should be in model-00002-of-00003.safetensors, which is not there/);
    plant({ [`${snapshot}/other.safetensors`]: { link: "../../blobs/gone.incomplete" } });
    const files = await open();
    const broken = await errorOf(() => files.size("other.safetensors"));
    expect(broken.message).toContain("is a link to ../../blobs/gone.incomplete, which is not there");
  });
});

describe("a folder of the cache that is named itself", () => {
  test.each(["", "/snapshots"])("%s gives its snapshot, and says so", async (end) => {
    plant(MADE.links.tree);
    const folder = join(hub, `models--acme--tiny${end}`);
    expect(await versionOf(await open(folder))).toBe(2);
    const older = await open(folder, { revision: "v1" });
    expect(await versionOf(older)).toBe(1);
    expect([older.hub, await older.commit?.()]).toEqual([{ repo, revision: "v1" }, OLD]);
    expect(warnings[0]).toContain(`its snapshot ${join(hub, "models--acme--tiny/snapshots", NEW)} is used`);
    rmSync(join(hub, "models--acme--tiny/refs/main"));
    const { message } = await errorOf(() => open(folder));
    expect(message).toContain("has no snapshot of main");
    expect(message).toContain(join("snapshots", OLD));
  });

  test("any other folder is one of a model", async () => {
    mkdirSync(join(home, "models--mine"));
    expect((await open(join(home, "models--mine"))).label).toBe(join(home, "models--mine"));
  });

  test("an old name without an owner is found", async () => {
    plant({
      "hub/models--gpt2/refs/main": NEW,
      [`hub/models--gpt2/snapshots/${NEW}/config.json`]: '{"version": 5}',
    });
    const files = await open("gpt2");
    expect(files.label).toBe("gpt2");
    expect(await versionOf(files)).toBe(5);
  });
});

test("time limits are whole seconds, as in huggingface_hub", async () => {
  for (const nothing of ["", undefined, "0", "x", "-1"]) {
    expect(hfTimeLimits({ HF_HUB_DOWNLOAD_TIMEOUT: nothing, HF_HUB_ETAG_TIMEOUT: nothing })).toBeUndefined();
  }
  expect(hfTimeLimits({ HF_HUB_DOWNLOAD_TIMEOUT: "5" })).toEqual({ answer: 5000, stall: 5000 });
  expect(hfTimeLimits({ HF_HUB_ETAG_TIMEOUT: "7" })).toEqual({ answer: 7000 });
  const both = { HF_HUB_ETAG_TIMEOUT: "7", HF_HUB_DOWNLOAD_TIMEOUT: "5" };
  expect(hfTimeLimits(both)).toEqual({ answer: 7000, stall: 5000 });
});

test("folders and tokens are where huggingface_hub looks for them", async () => {
  expect(hfCacheFolder({ HF_HUB_CACHE: "/a", HUGGINGFACE_HUB_CACHE: "/b", HF_HOME: "/c" })).toBe("/a");
  expect(hfCacheFolder({ HUGGINGFACE_HUB_CACHE: "/b", HF_HOME: "/c" })).toBe("/b");
  expect(hfCacheFolder({ HF_HOME: "$ROOT/c", ROOT: "/r", XDG_CACHE_HOME: "/d" })).toBe("/r/c/hub");
  expect(hfCacheFolder({ XDG_CACHE_HOME: "/d" })).toBe("/d/huggingface/hub");
  vi.stubEnv("HOME", "/home/me");
  expect(hfCacheFolder({})).toBe("/home/me/.cache/huggingface/hub");
  expect(hfCacheFolder({ HF_HUB_CACHE: "~/hub" })).toBe("/home/me/hub");

  writeFileSync(join(home, "token"), "stored\n");
  writeFileSync(join(home, "other"), "elsewhere");
  expect(await hfToken({ HF_HOME: home })).toBe("stored");
  expect(await hfToken({ HF_HOME: home, HF_TOKEN: " given\n" })).toBe("given");
  expect(await hfToken({ HF_HOME: home, HUGGING_FACE_HUB_TOKEN: "old" })).toBe("old");
  expect(await hfToken({ HF_HOME: home, HF_TOKEN_PATH: join(home, "other") })).toBe("elsewhere");
  expect(await hfToken({ HF_HOME: home, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1", HF_TOKEN: "x" })).toBeUndefined();
  expect(await hfToken({ HF_HOME: join(home, "none") })).toBeUndefined();
});

test("a link that leads nowhere is no missing file", async () => {
  symlinkSync("nowhere", join(home, "config.json"));
  expect((await errorOf(() => folderFiles(home).size("config.json"))).message).toContain(
    "is a link to nowhere",
  );
});

test("an adapter names its base as PEFT does: the repository, and its commit in a field of its own", async () => {
  const snapshot = `hub/models--acme--tiny/snapshots/${NEW}`;
  plant({ "hub/models--acme--tiny/refs/v1": NEW });
  mkdirSync(join(home, snapshot), { recursive: true });
  cpSync(fixturePath("llama-tied"), join(home, snapshot), { recursive: true });
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  const device = await testDevice();
  for (const reference of [`${repo}@v1`, join(home, snapshot)]) {
    const model = await openModel(await open(reference), device);
    const files = await adapterFiles(attach(model, lora({ r: 1 })));
    expect(JSON.parse(files.get("adapter_config.json") as string)).toMatchObject({
      base_model_name_or_path: repo,
      revision: NEW,
    });
    model.release();
  }
});
