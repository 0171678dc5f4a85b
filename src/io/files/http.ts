import { concatBytes } from "../../util/bytes.ts";
import type { LoraError } from "../../util/fail.ts";
import { type Digest, etagDigest, isCommitHash } from "./digest.ts";
import {
  type Answer,
  discard,
  type HttpClient,
  networkError,
  type RemoteFile,
  request,
  rest,
  unreachable,
  wholeNumber,
} from "./request.ts";
import { inTime, TIME_LIMITS } from "./time-limits.ts";

/** What the server says about a file. */
export interface RemoteInfo {
  readonly size: number;
  /** Digest or ETag, else Last-Modified, else empty: changes when the content does. */
  readonly version: string;
  /** Whether the server sends parts of files (206). */
  readonly ranges: boolean;
  /** What the hub says that the content is. */
  readonly digest?: Digest | undefined;
  /** The commit of the hub's repository that the file was of. */
  readonly commit?: string | undefined;
}

const ATTEMPTS = 5;

/** Bytes that are read of a file whose length nobody tells: as many as a text may have. */
const MAX_COUNTED_BYTES = 2 ** 29;
/** The same of a text, which a few bytes of gzip can make of any length. */
const MAX_COUNTED_TEXT_BYTES = 2 ** 26;

/** Bytes of an answer that is no file. */
const MAX_REPLY_BYTES = 2 ** 24;

/** A client with the platform's fetch and clock, unless given. */
export function httpClient(options: Partial<HttpClient> & Pick<HttpClient, "refusedHelp">): HttpClient {
  const { fetch = globalThis.fetch, authorization, refusedHelp, onWarning } = options;
  const { attempts = ATTEMPTS, unreachableHelp = "check the connection and try again" } = options;
  const { limits = TIME_LIMITS, seesRedirects = false, signal, onDownload } = options;
  const delay = options.delay ?? ((ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)));
  // Called as a plain function: a browser's fetch refuses any `this` but the window.
  const plain: HttpClient["fetch"] = (url, init) => fetch(url, init);
  return {
    ...{ fetch: plain, authorization, delay, onWarning, refusedHelp, unreachableHelp },
    ...{ attempts, limits, seesRedirects, signal, onDownload },
  };
}

/** Longest wait for an answer that is not needed badly, as in huggingface_hub. */
const IMPATIENT_MS = 10_000;

/** The client for a question whose answer is not needed badly: one attempt, ten seconds at most. */
export function impatient(client: HttpClient): HttpClient {
  const { limits } = client;
  return { ...client, attempts: 1, limits: { ...limits, answer: Math.min(limits.answer, IMPATIENT_MS) } };
}

/**
 * Asks for a file's size and version; undefined where there is none (404).
 * Asks by a one-byte range, not by HEAD: a range is never compressed, while the Content-Length of a HEAD may be
 * that of a gzip stream, and a browser hides which it is.
 */
export async function probe(client: HttpClient, file: RemoteFile): Promise<RemoteInfo | undefined> {
  const answer = await request(client, file, { range: "bytes=0-0" });
  const { response, told } = answer;
  await discard(response);
  if (response.status === 404) return undefined;
  checkIsFile(file, answer);
  const size = await sizeOf(client, file, response);
  if (told.size !== undefined && told.size !== size) {
    throw networkError(file, `has ${told.size} bytes as the hub says, but ${size} would be sent`, TRY_LATER);
  }
  const digest = etagDigest(told.etag);
  const info = { size, version: versionOf(answer), ranges: response.status !== 200 };
  const { commit } = told;
  return { ...info, ...(digest && { digest }), ...(commit && isCommitHash(commit) && { commit }) };
}

const TRY_LATER = "open the model again; if it persists, the server is at fault";

/** The commit that a hub's revision stands for, told before it redirects to another server. Not in browsers, which hide it. */
export async function commitOf(client: HttpClient, file: RemoteFile): Promise<string | undefined> {
  const { response, told } = await request(client, file, { method: "HEAD", staysHome: true });
  await discard(response);
  return told.commit;
}

/** A short text that a server gives, at most {@link MAX_REPLY_BYTES}; undefined where there is none. */
export async function fetchText(client: HttpClient, file: RemoteFile): Promise<string | undefined> {
  const { response } = await request(client, file, {});
  if (!response.ok) return undefined;
  const chunks: Uint8Array[] = [];
  for await (const chunk of cut(client, response.body, 0, MAX_REPLY_BYTES)) chunks.push(chunk);
  return new TextDecoder().decode(concatBytes(chunks));
}

/**
 * Throws where a page came instead of the file, such as one that asks to log in to a network. Whoever sends a part as it
 * was asked for has the file, whatever it takes it for.
 */
function checkIsFile(file: RemoteFile, { response, told }: Answer): void {
  const isHtml = /^text\/html\b/i.test(response.headers.get("content-type") ?? "");
  const isPage = isHtml && response.status === 200;
  if (!isPage || told.commit !== undefined || /\.html?$/i.test(file.where)) return;
  const help = "check the address; a network that wants a login answers so, too";
  throw networkError(file, "a web page came instead of the file", help);
}

async function sizeOf(client: HttpClient, file: RemoteFile, response: Response): Promise<number> {
  const told = response.status === 200 ? plainLength(response) : contentRange(response)?.total;
  return told ?? (await sizeByHead(client, file)) ?? countBytes(client, file);
}

async function sizeByHead(client: HttpClient, file: RemoteFile): Promise<number | undefined> {
  const { response, told } = await request(client, file, { method: "HEAD" });
  return told.size ?? plainLength(response);
}

/** The last resort, for a server that gives no length: reads the file once. */
async function countBytes(client: HttpClient, file: RemoteFile): Promise<number> {
  const most = /\.(?:json|txt|jinja)$/.test(file.where) ? MAX_COUNTED_TEXT_BYTES : MAX_COUNTED_BYTES;
  const { response } = await request(client, file, {});
  let size = 0;
  for await (const chunk of cut(client, response.body, 0, most + 1)) size += chunk.length;
  if (size <= most) return size;
  const message = `the server does not tell how long it is, and sends more than ${most} bytes`;
  throw networkError(file, message, "download it to a folder, and give that");
}

/**
 * The bytes [start, end) of a file, in order. Goes on after a broken connection where it stopped; a server
 * that ignores ranges (200) is read from the start and cut.
 * Throws a LoraError of kind `network` where the file changed, or the server cannot be reached.
 */
export async function* streamRange(
  client: HttpClient,
  file: RemoteFile,
  range: { start: number; end: number; info: RemoteInfo },
): AsyncGenerator<Uint8Array> {
  const { end, info } = range;
  let at = range.start;
  let failures = 0;
  while (at < end) {
    const before = at;
    let reason: unknown = "the connection ended early";
    const { body, skip } = await openRange(client, file, { start: at, end, info });
    try {
      for await (const chunk of cut(client, body, skip, end - at)) {
        at += chunk.length;
        client.onDownload?.(chunk.length);
        yield chunk;
      }
    } catch (error) {
      client.signal?.throwIfAborted();
      reason = error;
    }
    if (at >= end) return;
    failures = at > before ? 1 : failures + 1;
    if (failures >= client.attempts) throw unreachable(client, file, reason);
    await rest(client, file, reason, failures);
  }
}

/** A body that has the bytes from `start`, after `skip` others. */
async function openRange(
  client: HttpClient,
  file: RemoteFile,
  { start, end, info }: { start: number; end: number; info: RemoteInfo },
): Promise<{ body: Response["body"]; skip: number }> {
  const answer = await request(client, file, { range: `bytes=${start}-${end - 1}` });
  const { response } = answer;
  const complaint = mismatch(answer, { start, end }, info);
  if (complaint !== undefined) {
    await discard(response);
    throw complaintError(file, complaint);
  }
  return { body: response.body, skip: response.status === 206 ? 0 : start };
}

function complaintError(file: RemoteFile, complaint: string): LoraError {
  return networkError(file, complaint, TRY_LATER);
}

/**
 * Why a response is not what was asked for. Versions are compared here instead of by If-Range: that header
 * needs a CORS permission in browsers, and does not accept weak ETags.
 */
function mismatch(
  answer: Answer,
  { start, end }: { start: number; end: number },
  info: RemoteInfo,
): string | undefined {
  const { status, headers } = answer.response;
  if (status === 404 || status === 416) return "the file was removed or cut while being read";
  const now = versionOf(answer);
  if (now !== info.version && now !== "")
    return `the file changed while being read (${info.version} became ${now})`;
  if (status !== 206) return undefined;
  const packing = headers.get("content-encoding") ?? "identity";
  if (packing !== "identity") return `the server sends a part of a file packed with ${packing}`;
  const sent = contentRange(answer.response);
  if (sent?.start !== undefined && sent.start !== start)
    return `asked for byte ${start}, the server sent from byte ${sent.start}`;
  if (sent?.total !== undefined && sent.total !== info.size)
    return `the file changed while being read (${info.size} bytes became ${sent.total})`;
  if (sent?.end !== undefined && sent.end > end)
    return `asked for bytes up to ${end}, the server sent up to ${sent.end}`;
  return undefined;
}

/** The stream without its first `skip` bytes, at most `length` bytes; the connection is closed afterwards. */
async function* cut(
  { limits }: HttpClient,
  body: ReadableStream<Uint8Array> | null,
  skip: number,
  length: number,
): AsyncGenerator<Uint8Array> {
  if (!body) return;
  const reader = body.getReader();
  const close = () => reader.cancel().catch(() => {});
  let from = skip;
  let left = length;
  try {
    while (left > 0) {
      const { done, value } = await inTime(reader.read(), limits.stall, "no byte came", close);
      if (done) return;
      const piece = value.subarray(from, from + left);
      from = Math.max(0, from - value.length);
      left -= piece.length;
      if (piece.length > 0) yield piece;
    }
  } finally {
    await close();
  }
}

function versionOf({ response: { headers }, told }: Answer): string {
  const version = told.etag ?? headers.get("etag") ?? headers.get("last-modified") ?? "";
  return version.replace(/^W\//, ""); // proxies weaken an ETag without changing what it stands for
}

/** Content-Length, unless it counts compressed bytes. */
function plainLength(response: Response): number | undefined {
  if (response.headers.has("content-encoding")) return undefined;
  return wholeNumber(response.headers.get("content-length"));
}

/** `bytes 5-9/100`, its end exclusive, or `bytes *\/100`; undefined where missing, or hidden from a browser by CORS. */
function contentRange(
  response: Response,
): Partial<Record<"start" | "end" | "total", number | undefined>> | undefined {
  const match = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
  if (!match) return undefined;
  const [start, last, total] = match.slice(1).map(wholeNumber);
  return { start, end: last === undefined ? undefined : last + 1, total };
}
