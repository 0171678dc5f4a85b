import { createReadStream } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import type { RequestListener, ServerResponse } from "node:http";
import { extname, join } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".jsonl": "application/jsonl",
  ".svg": "image/svg+xml",
};

/** The page's own policy stands in its head; what only a header can say stands here. */
const HEADERS = {
  "content-security-policy": "frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};

/**
 * Answers with the files of a folder that are there now, and with nothing else.
 * @param others folders that stand below it, by their paths in it (`/model`)
 */
export async function staticFiles(
  folder: string,
  others: Readonly<Record<string, string>> = {},
): Promise<RequestListener> {
  const paths = new Map([["/", join(folder, "index.html")]]);
  for (const [at, from] of Object.entries({ "": folder, ...others }))
    for (const name of await readdir(from, { recursive: true }))
      paths.set(`${at}/${name.replaceAll("\\", "/")}`, join(from, name));
  return async ({ method, url = "/" }, response) => {
    if (method !== "GET" && method !== "HEAD") return end(response, 405);
    const path = paths.get(url.split("?")[0] as string);
    const found = path === undefined ? undefined : await stat(path).catch(() => undefined);
    if (path === undefined || !found?.isFile()) return end(response, 404);
    const type = TYPES[extname(path)] ?? "application/octet-stream";
    response.writeHead(200, { ...HEADERS, "content-type": type, "content-length": found.size });
    if (method === "HEAD") return void response.end();
    createReadStream(path)
      .on("error", () => response.destroy()) // it went away; the head is sent
      .pipe(response);
  };
}

function end(response: ServerResponse, status: number): void {
  response.writeHead(status, HEADERS).end();
}
