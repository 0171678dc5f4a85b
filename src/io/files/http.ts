import { fail, LoraError } from "../../util/fail.ts";

/** How requests are made. */
export interface HttpClient {
  readonly fetch: typeof globalThis.fetch;
  /** Bearer token; sent to the origin that is asked only: fetch drops it on a redirect to another origin. */
  readonly token?: string | undefined;
  /** Waits; injectable for tests. */
  readonly delay: (milliseconds: number) => Promise<void>;
  /** What to do about a refusal (401, 403). */
  readonly refusedHelp: string;
  /** What to do where the server cannot be reached. */
  readonly unreachableHelp: string;
  /** Attempts without any progress before a request is given up. */
  readonly attempts: number;
  /** Longest wait for an answer to begin, in milliseconds; the platform's own unless given. */
  readonly timeout?: number | undefined;
}

/** One file on a server. */
export interface RemoteFile {
  readonly url: string;
  /** The file in messages. */
  readonly where: string;
}

/** What the server says about a file. */
export interface RemoteInfo {
  readonly size: number;
  /** ETag, else Last-Modified, else empty: changes when the content does. */
  readonly version: string;
  /** Whether the server sends parts of files (206). */
  readonly ranges: boolean;
}

const ATTEMPTS = 5;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 120_000;

/** A client with the platform's fetch and clock, unless given. */
export function httpClient(options: Partial<HttpClient> & Pick<HttpClient, "refusedHelp">): HttpClient {
  const { fetch = globalThis.fetch, token, refusedHelp } = options;
  const { attempts = ATTEMPTS, unreachableHelp = "check the connection and try again", timeout } = options;
  const delay = options.delay ?? ((ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)));
  // Called as a plain function: a browser's fetch refuses any `this` but the window.
  const plain: HttpClient["fetch"] = (url, init) => fetch(url, init);
  return { fetch: plain, token, delay, refusedHelp, unreachableHelp, attempts, timeout };
}

/** The client for a question whose answer is not needed badly: one attempt of ten seconds, as in huggingface_hub. */
export function impatient(client: HttpClient): HttpClient {
  return { ...client, attempts: 1, timeout: 10_000 };
}

/**
 * Asks for a file's size and version; undefined where there is none (404).
 * Asks by a one-byte range, not by HEAD: a range is never compressed, while the Content-Length of a HEAD may be
 * that of a gzip stream, and a browser hides which it is.
 */
export async function probe(client: HttpClient, file: RemoteFile): Promise<RemoteInfo | undefined> {
  const response = await request(client, file, { range: "bytes=0-0" });
  if (response.status === 404) return undefined;
  const size = await sizeOf(client, file, response);
  return { size, version: versionOf(response), ranges: response.status !== 200 };
}

/**
 * The headers of the server's own answer, before it redirects to another. Not in browsers, which hide them.
 * Throws as {@link probe} does.
 */
export async function ownHeaders(client: HttpClient, file: RemoteFile): Promise<Headers> {
  const { headers } = await request(client, file, { method: "HEAD", redirect: "manual" });
  return headers;
}

async function sizeOf(client: HttpClient, file: RemoteFile, response: Response): Promise<number> {
  await response.body?.cancel();
  const told = response.status === 200 ? plainLength(response) : contentRange(response)?.total;
  return told ?? (await sizeByHead(client, file)) ?? countBytes(client, file);
}

async function sizeByHead(client: HttpClient, file: RemoteFile): Promise<number | undefined> {
  const response = await request(client, file, { method: "HEAD" });
  return wholeNumber(response.headers.get("x-linked-size")) ?? plainLength(response);
}

/** The last resort, for a server that gives no length: reads the file once. */
async function countBytes(client: HttpClient, file: RemoteFile): Promise<number> {
  const { body } = await request(client, file, {});
  let size = 0;
  for await (const chunk of cut(body, 0, Number.POSITIVE_INFINITY)) size += chunk.length;
  return size;
}

/**
 * The bytes [start, end) of a file, in order. Goes on after a broken connection where it stopped; a server
 * that ignores ranges (200) is read from the start and cut.
 * Throws a LoraError of kind `network` where the file changed, or the server cannot be reached.
 */
export async function* streamRange(
  client: HttpClient,
  file: RemoteFile,
  range: { start: number; end: number; version: string },
): AsyncGenerator<Uint8Array> {
  const { end, version } = range;
  let at = range.start;
  let failures = 0;
  while (at < end) {
    const before = at;
    let reason: unknown = "the connection ended early";
    try {
      for await (const chunk of receive(client, file, { start: at, end, version })) {
        at += chunk.length;
        yield chunk;
      }
    } catch (error) {
      if (error instanceof LoraError) throw error;
      reason = error;
    }
    if (at >= end) return;
    failures = at > before ? 1 : failures + 1;
    if (failures >= client.attempts) throw unreachable(client, file, reason);
    await client.delay(pause(failures));
  }
}

/** One request's share of [start, end): all of it, or less where the connection breaks. */
async function* receive(
  client: HttpClient,
  file: RemoteFile,
  { start, end, version }: { start: number; end: number; version: string },
): AsyncGenerator<Uint8Array> {
  const response = await request(client, file, { range: `bytes=${start}-${end - 1}` });
  const complaint = mismatch(response, start, version);
  if (complaint) {
    await response.body?.cancel();
    throw networkError(file, complaint, "open the model again; if it persists, the server is at fault");
  }
  yield* cut(response.body, response.status === 206 ? 0 : start, end - start);
}

/**
 * Why a response is not what was asked for. Versions are compared here instead of by If-Range: that header
 * needs a CORS permission in browsers, and does not accept weak ETags.
 */
function mismatch(response: Response, start: number, version: string): string | undefined {
  if (response.status === 404 || response.status === 416)
    return "the file was removed or cut while being read";
  const now = versionOf(response);
  if (now !== version && now !== "") return `the file changed while being read (${version} became ${now})`;
  const sent = response.status === 206 ? contentRange(response)?.start : undefined;
  if (sent !== undefined && sent !== start)
    return `asked for byte ${start}, the server sent from byte ${sent}`;
  return undefined;
}

/** The stream without its first `skip` bytes, at most `length` bytes; the connection is closed afterwards. */
async function* cut(
  body: ReadableStream<Uint8Array> | null,
  skip: number,
  length: number,
): AsyncGenerator<Uint8Array> {
  if (!body) return;
  const reader = body.getReader();
  let from = skip;
  let left = length;
  try {
    while (left > 0) {
      const { done, value } = await reader.read();
      if (done) return;
      const piece = value.subarray(from, from + left);
      from = Math.max(0, from - value.length);
      left -= piece.length;
      if (piece.length > 0) yield piece;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * One request, repeated after network errors, 408, 429 and 5xx. Answers 2xx, 404, 416 and redirects that are not to be
 * followed. Throws a LoraError of kind `network` for everything else, but of kind `input` where the hub has no such
 * revision.
 */
async function request(
  client: HttpClient,
  file: RemoteFile,
  {
    method = "GET",
    range,
    redirect = "follow",
  }: { method?: string; range?: string; redirect?: RequestRedirect },
): Promise<Response> {
  const headers = new Headers();
  if (range) headers.set("range", range);
  if (client.token) headers.set("authorization", `Bearer ${client.token}`);
  for (let attempt = 1; ; attempt++) {
    const signal = client.timeout === undefined ? null : AbortSignal.timeout(client.timeout);
    const answer = await client
      .fetch(file.url, { method, headers, redirect, signal })
      .catch((error: unknown) => asError(error));
    if (answer instanceof Response && !isPassing(answer.status)) return accept(answer, file, client);
    if (answer instanceof Response) await answer.body?.cancel();
    if (attempt >= client.attempts) throw unreachable(client, file, answer);
    await client.delay(retryAfter(answer) ?? pause(attempt));
  }
}

function accept(response: Response, file: RemoteFile, client: HttpClient): Response {
  const { status } = response;
  const code = response.headers.get("x-error-code");
  if (status === 404 && code === "RepoNotFound")
    throw networkError(file, "the hub knows no such repository", CHECK_ID);
  // The repository is there, so what is asked for is wrong: no copy from earlier can stand for it.
  if (status === 404 && code === "RevisionNotFound")
    fail(file.where, `the hub knows no such revision (${file.url})`, CHECK_ID);
  const redirected = status >= 300 && status < 400;
  if (response.ok || redirected || status === 404 || status === 416) return response;
  const refused = status === 401 || status === 403;
  throw networkError(
    file,
    `the server answered ${describe(response)}`,
    refused ? client.refusedHelp : undefined,
  );
}

const CHECK_ID = "check the spelling of owner/name@revision";

/** Failures that another attempt may mend. */
function isPassing(status: number): boolean {
  return status >= 500 || status === 429 || status === 408;
}

/** Exponential backoff: 0.5, 1, 2, 4 … seconds. */
function pause(failures: number): number {
  return Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS);
}

/** Milliseconds that a response's Retry-After asks for (seconds or a date), if any. */
function retryAfter(answer: Response | Error): number | undefined {
  const header = answer instanceof Response ? answer.headers.get("retry-after") : null;
  if (header === null) return undefined;
  const milliseconds =
    wholeNumber(header) !== undefined ? Number(header) * 1000 : Date.parse(header) - Date.now();
  if (Number.isNaN(milliseconds)) return undefined;
  return Math.min(Math.max(milliseconds, 0), LONGEST_PAUSE_MS);
}

function versionOf(response: Response): string {
  const version = response.headers.get("etag") ?? response.headers.get("last-modified") ?? "";
  return version.replace(/^W\//, ""); // proxies weaken an ETag without changing what it stands for
}

/** Content-Length, unless it counts compressed bytes. */
function plainLength(response: Response): number | undefined {
  if (response.headers.has("content-encoding")) return undefined;
  return wholeNumber(response.headers.get("content-length"));
}

/** `bytes 5-9/100` or `bytes *\/100`; undefined where missing, or hidden from a browser by CORS. */
function contentRange(
  response: Response,
): { start: number | undefined; total: number | undefined } | undefined {
  const match = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  return match ? { start: wholeNumber(match[1]), total: wholeNumber(match[2]) } : undefined;
}

function wholeNumber(text: string | null | undefined): number | undefined {
  return text && /^\d+$/.test(text) ? Number(text) : undefined;
}

function unreachable(
  { attempts, unreachableHelp }: HttpClient,
  file: RemoteFile,
  reason: unknown,
): LoraError {
  const text = reason instanceof Response ? `the server answered ${describe(reason)}` : describeError(reason);
  const tries = attempts === 1 ? "the server cannot be reached" : `gave up after ${attempts} attempts`;
  return networkError(file, `${tries}: ${text}`, unreachableHelp);
}

function networkError(file: RemoteFile, message: string, help?: string): LoraError {
  return new LoraError("network", file.where, `${message} (${file.url})`, help);
}

function describe({ status, statusText }: Response): string {
  return `${status} ${statusText}`.trim();
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** fetch hides the reason (refused, no such host) in `cause`. */
function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : "";
  return `${error.message}${cause}`;
}
