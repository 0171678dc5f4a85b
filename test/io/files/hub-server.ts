import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/** Misbehaviour, to be switched while the server runs. */
export interface Switches {
  /** Break the connection off after this many body bytes of a response. */
  breakAfter?: number;
  /** How often to break off; always where undefined. */
  breaks?: number;
  /** Answer this many requests with `status` before serving. */
  failures?: number;
  status?: number;
  retryAfter?: string;
  ignoreRange?: boolean;
  /** Answer every file with a redirect to this origin. */
  redirectTo?: string;
  token?: string;
  /** Send neither Content-Length nor Content-Range nor ETag. */
  secretive?: boolean;
  errorCode?: string;
  /** Shift the part that is sent. */
  wrongRange?: boolean;
  /** Told as X-Repo-Commit, as the hub does; files then have git's blob ids for ETags. */
  commit?: string;
  /** Files of the hub are large ones: their SHA-256 is told, and they are sent by the server at this origin. */
  lfs?: string;
  /** Damages bytes on their way; the digests are those of the sound file. */
  damage?: (content: Buffer) => Buffer;
  /** Answers instead of the server; false: does not. */
  intercept?: (request: IncomingMessage, response: ServerResponse) => boolean;
}

export interface Seen {
  readonly method: string;
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export interface HubServer extends AsyncDisposable {
  readonly origin: string;
  readonly switches: Switches;
  readonly requests: Seen[];
  /** Body bytes handed out so far. */
  sent: number;
}

/** Serves `folder` as `/<owner>/<name>/resolve/<revision>/<file>` and as `/files/<file>`, with ranges and ETags. */
export async function serveHub(folder: string): Promise<HubServer> {
  const server = createServer((request, response) => answer(hub, folder, request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const hub: HubServer = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    switches: {},
    requests: [],
    sent: 0,
    [Symbol.asyncDispose]: () => close(server),
  };
  return hub;
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

function answer(hub: HubServer, folder: string, request: IncomingMessage, response: ServerResponse): void {
  const { switches } = hub;
  const { range, authorization } = request.headers;
  if (switches.commit) response.setHeader("x-repo-commit", switches.commit);
  const path = request.url!;
  hub.requests.push({ method: request.method!, path, range, authorization });
  if (switches.failures) {
    switches.failures--;
    if (switches.status === undefined) return void request.socket.destroy();
    const headers = switches.retryAfter ? { "retry-after": switches.retryAfter } : {};
    return void response.writeHead(switches.status, headers).end();
  }
  if (switches.token && authorization !== `Bearer ${switches.token}`)
    return void response.writeHead(401).end();
  if (switches.intercept?.(request, response)) return;
  if (switches.redirectTo)
    return void response.writeHead(302, { location: switches.redirectTo + path }).end();
  const body = read(folder, path);
  if (!body) {
    const headers = switches.errorCode ? { "x-error-code": switches.errorCode } : {};
    return void response.writeHead(404, headers).end();
  }
  const name = /\/resolve\/[^/]+\/(.+)$/.exec(path)?.[1];
  if (switches.lfs !== undefined && name !== undefined) {
    const location = `${switches.lfs}/files/${name}?X-Amz-Signature=signed`;
    const etag = `"${createHash("sha256").update(body).digest("hex")}"`;
    return void response
      .writeHead(302, { location, "x-linked-etag": etag, "x-linked-size": body.length })
      .end();
  }
  sendFile(hub, request, response, body);
}

/** The id that git gives a file of this content. */
export function gitBlobId(content: Uint8Array): string {
  return createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
}

function read(folder: string, path: string): Buffer | undefined {
  const name =
    /^\/files\/([^?]+)/.exec(path)?.[1] ?? /^\/[^/]+\/[^/]+\/resolve\/[^/]+\/(.+)$/.exec(path)?.[1];
  try {
    return readFileSync(join(folder, decodeURIComponent(name ?? "none")));
  } catch {
    return undefined;
  }
}

function sendFile(hub: HubServer, request: IncomingMessage, response: ServerResponse, body: Buffer): void {
  const { switches } = hub;
  const headers: Record<string, string | number> = switches.secretive
    ? {}
    : { etag: `"${switches.commit ? gitBlobId(body) : createHash("md5").update(body).digest("hex")}"` };
  const match = switches.ignoreRange ? null : /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
  const start = match ? Number(match[1]) + (switches.wrongRange ? 1 : 0) : 0;
  const end = match ? Math.min(Number(match[2]) + 1, body.length) : body.length;
  if (match && start >= body.length) {
    return void response.writeHead(416, { "content-range": `bytes */${body.length}` }).end();
  }
  if (match && !switches.secretive) headers["content-range"] = `bytes ${start}-${end - 1}/${body.length}`;
  if (!switches.secretive) headers["content-length"] = end - start;
  response.writeHead(match ? 206 : 200, headers);
  if (request.method === "HEAD") return void response.end();
  sendBody(hub, response, (switches.damage?.(body) ?? body).subarray(start, end));
}

function sendBody(hub: HubServer, response: ServerResponse, part: Buffer): void {
  const { switches } = hub;
  const breaks =
    switches.breakAfter !== undefined && part.length > switches.breakAfter && switches.breaks !== 0;
  if (!breaks) {
    hub.sent += part.length;
    return void response.end(part);
  }
  if (switches.breaks !== undefined) switches.breaks--;
  const piece = part.subarray(0, switches.breakAfter);
  hub.sent += piece.length;
  // Breaking at once could drop bytes that the client has not read yet.
  response.write(piece, () => setTimeout(() => response.destroy(), 30));
}
