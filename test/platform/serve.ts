import { readFile, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".js": "text/javascript",
  ".json": "application/json",
  ".html": "text/html",
  "": "text/html",
};

/** What a server offers: the content of a path, or the folder behind a path that ends in `/`. */
export type Offers = Readonly<Record<string, { content: string } | { folder: string }>>;

/** A server on a free port of this machine that lives until `close`; `sent` counts the bytes of each path. */
export async function serve(
  offers: Offers,
): Promise<{ url: string; sent: ReadonlyMap<string, number>; close: () => void }> {
  const sent = new Map<string, number>();
  const server = createServer((request, response) => {
    answer(offers, request, response)
      .then(({ pathname, bytes }) => sent.set(pathname, (sent.get(pathname) ?? 0) + bytes))
      .catch(() => response.writeHead(404).end());
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, sent, close: () => server.close() };
}

async function answer(
  offers: Offers,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<{ pathname: string; bytes: number }> {
  const { pathname } = new URL(request.url ?? "/", "http://localhost");
  const body = await contentOf(offers, pathname);
  const type = TYPES[extname(pathname)] ?? "application/octet-stream";
  const headers = { "content-type": type, "accept-ranges": "bytes", etag: `"${body.length}"` };
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  if (!range) {
    response.writeHead(200, { ...headers, "content-length": body.length }).end(body);
    return { pathname, bytes: body.length };
  }
  const start = Number(range[1]);
  const part = body.subarray(start, Number(range[2]) + 1);
  const contentRange = `bytes ${start}-${start + part.length - 1}/${body.length}`;
  response
    .writeHead(206, { ...headers, "content-length": part.length, "content-range": contentRange })
    .end(part);
  return { pathname, bytes: part.length };
}

async function contentOf(offers: Offers, pathname: string): Promise<Buffer> {
  const exact = offers[pathname];
  if (exact && "content" in exact) return Buffer.from(exact.content);
  const folder = `${pathname.split("/").slice(0, -1).join("/")}/`;
  const offer = offers[folder];
  if (!offer || !("folder" in offer)) throw new Error("no such file");
  const path = join(offer.folder, pathname.slice(folder.length));
  await stat(path);
  return readFile(path);
}
