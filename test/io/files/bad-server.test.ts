import type { IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { errorOf, utf8 } from "../helpers.ts";
import { memoryCache } from "./memory-cache.ts";
import { CONFIG, content, SIZE, useTwoServers } from "./two-servers.ts";

const rig = useTwoServers();

describe("a server that misbehaves", () => {
  const answering = (answer: (request: IncomingMessage, response: ServerResponse) => void) => {
    rig.server.switches.intercept = (request, response) => {
      answer(request, response);
      return true;
    };
  };

  test("no answer begins", async () => {
    answering(() => {});
    const limits = { answer: 60, stall: 400 };
    const { kind, message } = await errorOf(() => rig.hub({ limits }).size("config.json"));
    expect(kind).toBe("network");
    expect(message).toContain("gave up after 5 attempts: no answer began for 0.06 s");
    expect(rig.server.requests.length).toBe(5);
  });

  test("no answer begins, or 503: what was downloaded before is used after one attempt", async () => {
    const cache = memoryCache();
    await rig.hub({ cache }).read("config.json", 0, 8);
    const before = rig.server.requests.length;
    answering(() => {});
    const limits = { answer: 60, stall: 400 };
    expect(await rig.hub({ cache, limits }).read("config.json", 0, 8)).toEqual(utf8(CONFIG));
    answering((_, response) => response.writeHead(503).end());
    expect(await rig.hub({ cache }).read("config.json", 0, 8)).toEqual(utf8(CONFIG));
    expect(rig.server.requests.length).toBe(before + 2);
    expect(rig.warnings).toEqual([
      expect.stringMatching(/no answer began for 0.06 s.*; what was downloaded before is used$/),
      expect.stringMatching(/the server answered 503.*; what was downloaded before is used$/),
    ]);
  });

  test("a body that stalls is asked for again from where it stopped", async () => {
    let stalls = 1;
    answering((request, response) => {
      const [, start = 0, end = 0] = (/(\d+)-(\d+)/.exec(request.headers.range ?? "") ?? []).map(Number);
      const range = `bytes ${start}-${end}/${SIZE}`;
      response.writeHead(206, { "content-range": range, "content-length": end + 1 - start, etag: "x" });
      const body = content.subarray(start, end + 1);
      if (body.length > 9 && stalls-- > 0) response.write(body.subarray(0, 5));
      else response.end(body);
    });
    expect(await rig.hub().read("big.bin", 0, 100)).toEqual(content.subarray(0, 100));
    expect(rig.server.requests.at(-1)?.range).toBe("bytes=5-99");
    expect(rig.waits).toEqual([500]);
  });

  test("redirects in a circle", async () => {
    answering((request, response) => response.writeHead(302, { location: request.url }).end());
    const { message } = await errorOf(() => rig.hub().size("config.json"));
    expect(message).toContain("redirects more than 10 times");
    expect(rig.server.requests.length).toBe(11);
  });

  test("a redirect that says no where is no answer", async () => {
    answering((_, response) => response.writeHead(302).end());
    expect((await errorOf(() => rig.hub().size("config.json"))).message).toContain("the server answered 302");
  });

  test("redirects with a user and a password are followed without them", async () => {
    const elsewhere = `${rig.cdn.origin.replace("//", "//me:secret@")}/files/config.json`;
    answering((_, response) => response.writeHead(302, { location: elsewhere }).end());
    expect(await rig.hub().read("config.json", 0, 8)).toEqual(utf8(CONFIG));
    expect(rig.cdn.requests.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  test("redirects to another protocol", async () => {
    answering((_, response) => response.writeHead(302, { location: "file:///etc/passwd" }).end());
    expect((await errorOf(() => rig.hub().size("config.json"))).message).toContain(
      "redirects from http: to file:",
    );
  });

  test("https that goes on by http is refused, in browsers too", async () => {
    for (const seesRedirects of [true, false]) {
      const asked: string[] = [];
      const fetch = (async (url: string) => {
        asked.push(url);
        if (seesRedirects) return new Response(null, { status: 302, headers: { location: "http://host/x" } });
        return Object.defineProperty(new Response("x"), "url", { value: "http://host/x" });
      }) as typeof globalThis.fetch;
      const files = rig.hub({ fetch, seesRedirects, endpoint: "https://host" });
      expect((await errorOf(() => files.size("x"))).message).toContain(
        "redirects from https: to http://host/x",
      );
      expect(asked.filter((url) => url.startsWith("http:"))).toEqual([]);
    }
  });

  test("a web page instead of the file is an outage, not a file", async () => {
    const cache = memoryCache();
    await rig.hub({ cache }).read("config.json", 0, 8);
    answering((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<html>log in"));
    expect(await rig.hub({ cache }).read("config.json", 0, 8)).toEqual(utf8(CONFIG));
    expect(rig.warnings.join()).toMatch(/a web page came instead of the file.*downloaded before is used/);
    expect((await errorOf(() => rig.hub().size("config.json"))).message).toContain("wants a login");
    const part = { "content-type": "text/html", "content-range": "bytes 0-0/1" };
    answering((_, response) => response.writeHead(206, part).end("x"));
    expect(await rig.hub().read("config.json", 0, 1)).toEqual(utf8("x"));
  });

  test("a part of a packed file is refused, a whole one unpacked", async () => {
    const packed = gzipSync(content.subarray(0, 1000));
    const headers = { "content-encoding": "gzip", etag: "x" };
    answering((_, response) => response.writeHead(200, headers).end(packed));
    expect(await rig.hub().read("big.bin", 10, 1000)).toEqual(content.subarray(10, 1000));
    answering((request, response) => {
      const end = Number(/-(\d+)/.exec(request.headers.range ?? "")?.[1]);
      response.writeHead(206, { ...headers, "content-range": `bytes 0-${end}/1000` }).end(packed);
    });
    expect((await errorOf(() => rig.hub().read("big.bin", 0, 10))).message).toContain("packed with gzip");
  });

  test.each([
    ["bytes 0-9/999", `${SIZE} bytes became 999`],
    [`bytes 0-99/${SIZE}`, "asked for bytes up to 10, the server sent up to 100"],
  ])("a part described as %s", async (range, complaint) => {
    const files = rig.hub();
    await files.size("big.bin");
    answering((_, response) => response.writeHead(206, { "content-range": range }).end("0123456789"));
    expect((await errorOf(() => files.read("big.bin", 0, 10))).message).toContain(complaint);
  });

  test("a body longer than was asked for is cut", async () => {
    const files = rig.hub();
    await files.size("big.bin");
    answering((_, response) => response.writeHead(206).end("0123456789abcdef"));
    expect(await files.read("big.bin", 0, 10)).toEqual(utf8("0123456789"));
  });

  test("a body without a length or an end is given up", async () => {
    const endless = () => {
      const chunk = new Uint8Array(2 ** 26);
      return new ReadableStream({ pull: (controller) => controller.enqueue(chunk) });
    };
    const fetch = (async () => new Response(endless())) as typeof globalThis.fetch;
    const { message } = await errorOf(() => rig.hub({ fetch }).size("config.json"));
    expect(message).toContain("does not tell how long it is, and sends more than 67108864 bytes");
  });

  test("a wait that the server asks for is told", async () => {
    Object.assign(rig.server.switches, { failures: 1, status: 429, retryAfter: "60" });
    await rig.hub().size("config.json");
    expect(rig.waits).toEqual([60_000]);
    expect(rig.warnings).toEqual([
      "owner/tiny/config.json: the server answered 429 Too Many Requests and asks to wait 60 s",
    ]);
  });
});
