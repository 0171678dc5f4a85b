import { createHash } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import { hubCommit, urlFiles } from "../../../src/io/files/hub.ts";
import { errorOf, utf8 } from "../helpers.ts";
import { gitBlobId, type Switches } from "./hub-server.ts";
import { memoryCache } from "./memory-cache.ts";
import { COMMIT, CONFIG, content, MIB, SIZE, useTwoServers } from "./two-servers.ts";

const rig = useTwoServers();

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const flipped = (bytes: Buffer) => {
  const copy = Buffer.from(bytes);
  copy[copy.length - 1]! ^= 1;
  return copy;
};
/** Damages the first few bodies beyond a probe's single byte. */
function damaging(times: number): NonNullable<Switches["damage"]> {
  let left = times;
  return (bytes) => (left-- > 0 ? flipped(bytes) : bytes);
}

describe("a large file, whose SHA-256 the hub tells before it redirects", () => {
  beforeEach(() => Object.assign(rig.server.switches, { lfs: rig.cdn.origin, commit: COMMIT }));

  test("is downloaded whole and checked before anything beyond its head is handed out", async () => {
    const cache = memoryCache();
    const files = rig.hub({ cache });
    expect(await files.size("big.bin")).toBe(SIZE);
    expect(await files.read("big.bin", 0, 8)).toEqual(content.subarray(0, 8));
    expect(rig.cdn.sent).toBe(1 + MIB);
    expect(await files.read("big.bin", MIB, MIB + 9)).toEqual(content.subarray(MIB, MIB + 9));
    expect(rig.cdn.sent).toBe(1 + SIZE);
    expect([...cache.notes.values()].join()).toContain(`"digest":"sha256:${sha256(content)}","stamp"`);
    expect(sha256(await rig.hub({ cache }).read("big.bin", 0, SIZE))).toBe(sha256(content));
    expect(rig.cdn.sent).toBe(2 + SIZE);
  });

  test("with a byte flipped on the way is downloaded once more", async () => {
    const cache = memoryCache();
    rig.cdn.switches.damage = damaging(2); // the probe's body, and the file's
    expect(await rig.hub({ cache }).read("big.bin", SIZE - 9, SIZE)).toEqual(content.subarray(SIZE - 9));
    expect(rig.warnings.join()).toMatch(/big.bin: what came of it has sha256:.*; it is downloaded again/);
  });

  test("flipped each time is refused, and not kept", async () => {
    const cache = memoryCache();
    rig.cdn.switches.damage = flipped;
    const error = await errorOf(() => rig.hub({ cache }).read("big.bin", 0, SIZE));
    expect(error.kind).toBe("network");
    const found = sha256(flipped(Buffer.from(content)));
    expect(error.message).toContain(
      `owner/tiny/big.bin: has sha256:${found}, expected sha256:${sha256(content)}`,
    );
    expect(error.message).toContain("nothing of it was kept: try again");
    expect(cache.entries.size).toBe(0);
    expect([...cache.notes.values()].join()).not.toContain("stamp");
  });

  test("is checked without a cache where it is read whole", async () => {
    rig.cdn.switches.damage = flipped;
    expect((await errorOf(() => rig.hub().read("big.bin", 0, SIZE))).message).toContain("expected sha256:");
    expect(await rig.hub().read("big.bin", 0, 9)).toEqual(content.subarray(0, 9));
  });

  test("a head that was other than the checked file is refused", async () => {
    const files = rig.hub({ cache: memoryCache() });
    rig.cdn.switches.damage = (bytes) => Buffer.from(bytes).fill(7, 0, MIB);
    expect(await files.read("big.bin", 0, 2)).toEqual(Uint8Array.of(7, 7));
    delete rig.cdn.switches.damage;
    expect((await errorOf(() => files.read("big.bin", 0, SIZE))).message).toContain("header changed");
  });

  test("that has another size than the hub says is refused", async () => {
    rig.cdn.switches.damage = (bytes) => bytes;
    rig.server.switches.intercept = (_, response) => {
      response
        .writeHead(302, { location: `${rig.cdn.origin}/files/big.bin`, "x-linked-size": SIZE + 1 })
        .end();
      return true;
    };
    const { message } = await errorOf(() => rig.hub().size("big.bin"));
    expect(message).toContain(`has ${SIZE + 1} bytes as the hub says, but ${SIZE} would be sent`);
  });

  test("that becomes another between two parts is noticed by the hub's word", async () => {
    const files = rig.hub();
    await files.read("big.bin", 0, 10);
    rig.server.switches.intercept = (_, response) => {
      const etag = `"${"0".repeat(64)}"`;
      response.writeHead(302, { location: `${rig.cdn.origin}/files/big.bin`, "x-linked-etag": etag }).end();
      return true;
    };
    expect((await errorOf(() => files.read("big.bin", 10, 20))).message).toContain(
      "changed while being read",
    );
  });

  test("a download that broke off is checked from its start when it goes on", async () => {
    const cache = memoryCache();
    await rig.hub({ cache }).read("big.bin", 0, 8);
    cache.flip(true);
    expect(sha256(await rig.hub({ cache }).read("big.bin", 0, SIZE))).toBe(sha256(content));
    expect(rig.warnings.join()).toContain("it is downloaded again");
  });

  test("two that download the same file into one cache at once both get it whole and checked", async () => {
    const cache = memoryCache();
    const readers = [rig.hub({ cache }), rig.hub({ cache })];
    const parts = await Promise.all(readers.map((files) => files.read("big.bin", 5, SIZE)));
    for (const part of parts) expect(sha256(part)).toBe(sha256(content.subarray(5)));
    const { sent } = rig.cdn;
    expect(sha256(await rig.hub({ cache }).read("big.bin", 0, SIZE))).toBe(sha256(content));
    expect(rig.cdn.sent).toBe(sent + 1);
  });

  test("a broken connection is taken up where it broke, and the hash goes on", async () => {
    Object.assign(rig.cdn.switches, { breakAfter: 1_500_000, breaks: 2 });
    expect(sha256(await rig.hub({ cache: memoryCache() }).read("big.bin", 0, SIZE))).toBe(sha256(content));
    expect(rig.cdn.requests.map(({ range }) => range)).toContain(`bytes=1500000-${SIZE - 1}`);
    expect(rig.warnings).toEqual([]);
  });

  test("the commit is told before the redirect, and nothing is asked of the other server", async () => {
    rig.server.switches.intercept = (_, response) => {
      response.writeHead(302, { location: `${rig.cdn.origin}/x`, "x-repo-commit": COMMIT }).end();
      return true;
    };
    expect(await hubCommit({ ...rig.options, repo: "o/n", endpoint: rig.server.origin }, "big.bin")).toBe(
      COMMIT,
    );
    expect(rig.cdn.requests).toEqual([]);
  });
});

describe("a small file, whose ETag is git's blob id", () => {
  beforeEach(() => Object.assign(rig.server.switches, { commit: COMMIT }));

  test("is checked", async () => {
    const cache = memoryCache();
    expect(await rig.hub({ cache }).read("config.json", 0, 8)).toEqual(utf8(CONFIG));
    expect([...cache.notes.values()].join()).toContain(`git-sha1:${gitBlobId(utf8(CONFIG))}`);
    rig.server.switches.damage = flipped;
    for (const kept of [memoryCache(), undefined]) {
      const error = await errorOf(() => rig.hub({ cache: kept }).read("config.json", 0, 8));
      expect(error.message).toMatch(/has git-sha1:\w{40}, expected git-sha1:\w{40}/);
    }
  });

  test("a mirror may give the SHA-1 of the content alone", async () => {
    rig.server.switches.intercept = (_, response) => {
      const etag = createHash("sha1").update("hello").digest("hex");
      response.writeHead(200, { etag, "x-repo-commit": COMMIT, "content-length": 5 }).end("hello");
      return true;
    };
    expect(await rig.hub({ cache: memoryCache() }).read("config.json", 0, 5)).toEqual(utf8("hello"));
  });
});

describe("what was kept", () => {
  beforeEach(() => Object.assign(rig.server.switches, { lfs: rig.cdn.origin, commit: COMMIT }));

  test("is checked again where its time has changed, and downloaded where it is damaged", async () => {
    const cache = memoryCache();
    await rig.hub({ cache }).read("big.bin", 0, SIZE);
    const { sent } = rig.cdn;
    cache.flip(true);
    expect(sha256(await rig.hub({ cache }).read("big.bin", 0, SIZE))).toBe(sha256(content));
    expect(rig.cdn.sent - sent).toBe(1 + SIZE);
    expect(rig.warnings.join()).toMatch(/what was kept of it has sha256:/);
  });

  test("with its time unchanged is taken as it is, unless all is to be verified", async () => {
    const cache = memoryCache();
    await rig.hub({ cache }).read("big.bin", 0, SIZE);
    cache.flip(false);
    expect(sha256(await rig.hub({ cache }).read("big.bin", 0, SIZE))).not.toBe(sha256(content));
    expect(sha256(await rig.hub({ cache, verify: true }).read("big.bin", 0, SIZE))).toBe(sha256(content));
    expect(rig.warnings).toHaveLength(1);
  });

  test("is an error where it is damaged and the server must not be asked", async () => {
    const cache = memoryCache();
    await rig.hub({ cache }).read("big.bin", 0, SIZE);
    cache.flip(true);
    const error = await errorOf(() =>
      rig.hub({ cache, offline: "HF_HUB_OFFLINE is set" }).read("big.bin", 0, SIZE),
    );
    expect(error.message).toMatch(
      /what was kept of it has sha256:.*, expected .*, and HF_HUB_OFFLINE is set/,
    );
  });

  test("of a server that tells no digest is compared with what first came", async () => {
    const cache = memoryCache();
    const files = () => urlFiles({ ...rig.options, cache, url: `${rig.cdn.origin}/files` });
    await files().read("big.bin", 0, SIZE);
    cache.flip(true);
    expect(sha256(await files().read("big.bin", 0, SIZE))).toBe(sha256(content));
    expect(rig.warnings.join()).toContain(`expected sha256:${sha256(content)}`);
  });
});

describe("secrets", () => {
  const withUser = () => rig.server.origin.replace("//", "//me:p%40ss@");
  const basic = `Basic ${btoa("me:p@ss")}`;

  test("user and password of the endpoint are sent to it, before a token, and to nobody else", async () => {
    Object.assign(rig.server.switches, { lfs: rig.cdn.origin });
    const files = rig.hub({ endpoint: withUser(), token: "secret" });
    await files.read("big.bin", 0, 5);
    expect(new Set(rig.server.requests.map(({ authorization }) => authorization))).toEqual(new Set([basic]));
    expect(new Set(rig.cdn.requests.map(({ authorization }) => authorization))).toEqual(new Set([undefined]));
  });

  test("a token is not sent again by a server that redirects back", async () => {
    rig.cdn.switches.redirectTo = rig.server.origin;
    rig.server.switches.intercept = (request, response) => {
      if (request.headers.authorization === undefined) return false;
      response.writeHead(302, { location: `${rig.cdn.origin}/files/big.bin` }).end();
      return true;
    };
    expect(await rig.hub({ token: "secret" }).size("big.bin")).toBe(SIZE);
    expect(rig.server.requests.map(({ authorization }) => authorization)).toEqual([
      "Bearer secret",
      undefined,
    ]);
  });

  test("neither they nor a signature are in messages, labels, keys or notes", async () => {
    const cache = memoryCache();
    const url = `${withUser()}/files?X-Amz-Signature=s3cret#frag`;
    const texts: string[] = [];
    for (const files of [
      urlFiles({ ...rig.options, cache, url }),
      rig.hub({ endpoint: withUser(), cache }),
    ]) {
      await files.read("config.json", 0, 8);
      texts.push(files.label, (await errorOf(() => files.read("none", 0, 1))).message);
    }
    expect(rig.server.requests.map(({ path }) => path)).toContain(
      "/files/config.json?X-Amz-Signature=s3cret",
    );
    rig.server.switches.failures = 99;
    for (const files of [urlFiles({ ...rig.options, url }), rig.hub({ endpoint: withUser() })]) {
      rig.server.switches.status = 401;
      texts.push((await errorOf(() => files.size("x"))).message);
      rig.server.switches.status = 500;
      texts.push((await errorOf(() => files.size("x"))).message);
    }
    for (const bad of ["me:p@ss@host", "htp://me:p@ss@host", "https://me:p@ss@[bad?s3cret"]) {
      texts.push((await errorOf(() => urlFiles({ ...rig.options, url: bad }))).message);
      texts.push((await errorOf(() => rig.hub({ endpoint: bad }))).message);
    }
    const kept = [...cache.notes.keys(), ...cache.notes.values(), ...cache.entries.keys()];
    const all = [...texts, ...kept, ...rig.warnings].join("\n");
    expect(all).not.toMatch(/p%40ss|p@ss|ss@|me:|s3cret|frag/);
    expect(texts[0]).toBe(`${rig.server.origin}/files`);
  });

  test("a file that was signed anew is the one that was kept", async () => {
    const cache = memoryCache();
    for (const signature of ["a", "b"]) {
      await urlFiles({ ...rig.options, cache, url: `${rig.server.origin}/files?sig=${signature}` }).read(
        "big.bin",
        0,
        SIZE,
      );
    }
    expect(rig.server.sent).toBe(2 + SIZE);
  });
});

describe("a browser, which sees only the server that a file is redirected to", () => {
  const web = { seesRedirects: false };

  test("asks the hub's description of the repository, once", async () => {
    Object.assign(rig.server.switches, { lfs: rig.cdn.origin });
    const siblings = [
      { rfilename: "big.bin", size: SIZE, blobId: "1".repeat(40), lfs: { sha256: sha256(content) } },
      { rfilename: "config.json", blobId: gitBlobId(utf8(CONFIG)) },
    ];
    rig.server.switches.intercept = (request, response) => {
      if (request.url !== "/api/models/owner/tiny/revision/main?blobs=true") return false;
      response.end(JSON.stringify({ siblings }));
      return true;
    };
    const files = rig.hub({ ...web, cache: memoryCache() });
    expect(sha256(await files.read("big.bin", 0, SIZE))).toBe(sha256(content));
    expect(await files.read("config.json", 0, 8)).toEqual(utf8(CONFIG));
    expect(rig.server.requests.filter(({ path }) => path.startsWith("/api")).length).toBe(1);
    rig.cdn.switches.damage = flipped;
    const error = await errorOf(() => rig.hub({ ...web, cache: memoryCache() }).read("config.json", 0, 8));
    expect(error.message).toContain("expected git-sha1:");
  });

  test.each(["", "{", "[]", '{"siblings": [1, {"rfilename": "big.bin", "lfs": {"sha256": 5}}]}'])(
    "goes on without digests where the description is %j",
    async (description) => {
      rig.server.switches.intercept = (request, response) => {
        if (!request.url?.startsWith("/api")) return false;
        response.end(description);
        return true;
      };
      expect(sha256(await rig.hub({ ...web, cache: memoryCache() }).read("big.bin", 5, SIZE))).toBe(
        sha256(content.subarray(5)),
      );
    },
  );
});
